//go:build e2e

package e2e

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestTheProgramsKeepWithinTheirMemory(t *testing.T) {
	s := newScene(t, nil)
	const megabyte = 1e6
	for _, program := range []struct {
		name, namespace string
		labels          client.MatchingLabels
		pods, port      int
		limit           float64
	}{
		{"manager", operatorNamespace, client.MatchingLabels{"app.kubernetes.io/name": "modelroute-manager"}, 1, 8080, 100 * megabyte},
		{"ledger", operatorNamespace, client.MatchingLabels{"app.kubernetes.io/name": "modelroute-ledger"}, 1, 8081, 60 * megabyte},
		{"proxy", s.namespace, s.proxyLabels(), 2, 8081, 40 * megabyte},
	} {
		pod := s.readyPods(t, program.namespace, program.labels, program.pods)[0]
		used := residentMemory(t, s.forward(t, pod, program.port)+"/metrics")
		t.Logf("%s uses %.1f MB", program.name, used/megabyte)
		if used <= 0 || used > program.limit {
			t.Errorf("%s uses %.1f MB, want at most %.0f", program.name, used/megabyte, program.limit/megabyte)
		}
	}
}

// residentMemory reads the resident memory, in bytes, from a program's metrics.
func residentMemory(t *testing.T, url string) float64 {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("reading metrics: %v", err)
	}
	defer response.Body.Close()
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		if value, found := strings.CutPrefix(scanner.Text(), "process_resident_memory_bytes "); found {
			bytes, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("reading metrics: %v", err)
			}
			return bytes
		}
	}
	t.Fatalf("%s has no process_resident_memory_bytes", url)
	return 0
}
