package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfMetricsHasThoseOfTheLedger(t *testing.T) {
	registry := prometheus.NewRegistry()
	ledger.NewMetrics(registry)
	pagetest.Check(t, "metrics.md", map[string]string{"table ledger": pagetest.Metrics(t, registry)})
}

func TestThePageOfFlagsHasTheManualsOfTheLedger(t *testing.T) {
	manuals := []string{"```\n" + usageOf("ledger") + "```\n"}
	for _, name := range commandNames() {
		if name != "help" {
			manuals = append(manuals, fmt.Sprintf("### ledger %s\n\n```\n%s```\n", name, usageOf(name)))
		}
	}
	pagetest.Check(t, "flags.md", map[string]string{"manuals of ledger": strings.Join(manuals, "\n")})
}
