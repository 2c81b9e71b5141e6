package gitops

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

// route is a route without proxies, since nobody runs them here.
const route = `
apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  model: {contextLength: 65536}
  upstreams:
  - name: openrouter
    provider: OpenRouter
    baseURL: https://openrouter.ai/api/v1
    apiKeySecretRef: {name: openrouter, key: apiKey}
    pricing: {prompt: "2.00", completion: "6.00"}
  budgets:
  - {name: monthly, amount: "100.00", window: {period: Month, timeZone: Europe/Berlin}, enforcement: Deny}
  consumers:
  - name: search
  proxy: {replicas: 0}
`

// gateway is a gateway without proxies.
const gateway = `
apiVersion: modelroute.dev/v1alpha1
kind: ModelGateway
metadata: {name: front}
spec: {replicas: 0}
`

// Flux, and kubectl's own tools, know a route's state by kstatus.
func TestKstatusSaysOf(t *testing.T) {
	cases := map[string]struct {
		manifest string
		want     status.Status
		message  string
	}{
		"a route that is as it should be, that it is current":        {route, status.CurrentStatus, ""},
		"a route that waits for its proxies, that it is in progress": {withReplicas(1), status.InProgressStatus, "No proxy is ready"},
		"a route whose Secret is missing, that it is in progress": {
			strings.Replace(route, "{name: openrouter,", "{name: nowhere,", 1), status.InProgressStatus, `"nowhere"`},
		"a route that only a person can help, that it failed": {
			strings.Replace(route, "Europe/Berlin", "Europe/Nowhere", 1), status.FailedStatus, "Europe/Nowhere"},
		"a gateway that is as it should be, that it is current": {gateway, status.CurrentStatus, ""},
		"a gateway that waits for its proxies, that it is in progress": {
			strings.Replace(gateway, "replicas: 0", "replicas: 1", 1), status.InProgressStatus, "No proxy is ready"},
		"a gateway that only a person can help, that it failed": {
			strings.Replace(gateway, "{replicas: 0}", "{networkPolicy: {from: [{ipBlock: {cidr: nowhere}}]}}", 1), status.FailedStatus, "nowhere"},
		"a route whose gateway is missing, that it is in progress": {
			strings.Replace(route, "proxy: {replicas: 0}", "gatewayRef: {name: nowhere}", 1), status.InProgressStatus, `"nowhere"`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			manifest := parse(t, test.manifest)
			stored := w.apply(manifest)
			if got, err := status.Compute(stored); err != nil || got.Status != status.InProgressStatus {
				t.Errorf("before the operator has seen it, it is %+v (%v)", got, err)
			}
			w.startOperator()
			w.eventually(fmt.Sprintf("it is %s", test.want), func() error {
				got, err := status.Compute(w.read(manifest))
				if err == nil && (got.Status != test.want || !strings.Contains(got.Message, test.message)) {
					err = fmt.Errorf("it is %s: %s", got.Status, got.Message)
				}
				return err
			})
		})
	}
}

func withReplicas(replicas int) string {
	return strings.Replace(route, "replicas: 0", fmt.Sprintf("replicas: %d", replicas), 1)
}

// The health of a route in Argo CD and its status in kstatus are two words for one thing.
func TestArgoCDAndKstatusAgree(t *testing.T) {
	dir := filepath.Join("..", "..", "config", "argocd", "resource_customizations", "modelroute.dev", "_")
	var health struct {
		Tests []struct {
			InputPath    string `json:"inputPath"`
			HealthStatus struct {
				Status string `json:"status"`
			} `json:"healthStatus"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(dir, "health_test.yaml"))), &health); err != nil {
		t.Fatal(err)
	}
	words := map[string]status.Status{
		"Healthy": status.CurrentStatus, "Suspended": status.CurrentStatus,
		"Progressing": status.InProgressStatus, "Degraded": status.FailedStatus,
	}
	for _, test := range health.Tests {
		if test.InputPath == "testdata/degraded-not-ready.yaml" {
			continue // kstatus takes what is not ready for in progress, unless it is stalled.
		}
		got, err := status.Compute(parse(t, read(t, filepath.Join(dir, test.InputPath))))
		if err != nil {
			t.Fatal(err)
		}
		if want := words[test.HealthStatus.Status]; got.Status != want {
			t.Errorf("%s is %s to Argo CD and %s to kstatus", test.InputPath, test.HealthStatus.Status, got.Status)
		}
	}
}
