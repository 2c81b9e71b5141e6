package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/modelroute/modelroute/controllers"
	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfMetricsHasThoseOfTheManager(t *testing.T) {
	others := []string{"go_", "process_", "controller_runtime_", "workqueue_", "rest_client_", "leader_election_", "certwatcher_"}
	pagetest.Check(t, "metrics.md", map[string]string{
		"table manager": pagetest.Metrics(t, metrics.Registry.(prometheus.Collector), others...),
		"table spend":   pagetest.Metrics(t, controllers.SpendMetrics()),
	})
}

func TestThePageOfFlagsHasThoseOfTheManager(t *testing.T) {
	pagetest.Check(t, "flags.md", map[string]string{"table manager": pagetest.Flags(new(flags).set())})
}
