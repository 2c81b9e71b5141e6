package proxy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfMetricsHasThoseOfTheProxy(t *testing.T) {
	kept, replay, err := journal.Open(journal.Options{Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	registered := newMetrics()
	registered.watchLedger(client.New(client.Options{Journal: kept, Replay: replay}))
	pagetest.Check(t, "metrics.md", map[string]string{"table proxy": pagetest.Metrics(t, registered.registry, "go_", "process_")})
}

// The page has every code that there is: test/docs holds it to the code.
func TestMetricsTellApartTheErrorsOfThePage(t *testing.T) {
	content, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "\n## What clients get\n")
	section, _, ended := strings.Cut(rest, "\n## ")
	if !found || !ended {
		t.Fatal("docs/errors.md does not say what clients get")
	}
	want := map[string]bool{errorClientGone: true, openai.TypeInvalidRequest: true}
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, code := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
			want[code[1]] = true
		}
	}
	if diff := cmp.Diff(want, errorTypes); diff != "" {
		t.Errorf("errorTypes are not the codes of docs/errors.md (-want +got):\n%s", diff)
	}
}
