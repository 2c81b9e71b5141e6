package proxy

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
)

var update = flag.Bool("update", false, "write the table of docs/observability.md anew")

const (
	observabilityPage = "../../docs/observability.md"
	// The table stands between these marks.
	tableBegin = "<!-- table metrics: make docs writes it -->\n"
	tableEnd   = "<!-- end -->\n"
)

func TestThePageOfMetricsSaysWhatIsRegistered(t *testing.T) {
	content, err := os.ReadFile(observabilityPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	before, rest, found := strings.Cut(page, tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", observabilityPage)
	}
	want := before + tableBegin + "\n" + metricsTable(t) + "\n" + tableEnd + after
	if *update {
		if err := os.WriteFile(observabilityPage, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(want, page); diff != "" {
		t.Errorf("%s is stale, run make docs (-want +got):\n%s", observabilityPage, diff)
	}
}

// described is how client_golang writes a description out; it has no other way to read one.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]*)",.*variableLabels: \{([^}]*)\}\}$`)

// metricsTable has a row for each metric of the proxy's registry but those of Go and of the process.
func metricsTable(t *testing.T) string {
	t.Helper()
	kept, replay, err := journal.Open(journal.Options{Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	registered := newMetrics()
	registered.watchLedger(client.New(client.Options{Journal: kept, Replay: replay}))
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		registered.registry.Describe(descriptions)
	}()
	type row struct{ name, labels, help string }
	var rows []row
	for one := range descriptions {
		parts := described.FindStringSubmatch(one.String())
		if parts == nil {
			t.Fatalf("client_golang writes %s now", one)
		}
		if name := parts[1]; !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			rows = append(rows, row{name: name, labels: strings.ReplaceAll(parts[3], ",", ", "), help: parts[2]})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	var out strings.Builder
	out.WriteString("| metric | what | labels |\n| --- | --- | --- |\n")
	for _, one := range rows {
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", one.name, one.help, one.labels)
	}
	return out.String()
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
	if diff := gocmp.Diff(want, errorTypes); diff != "" {
		t.Errorf("errorTypes are not the codes of docs/errors.md (-want +got):\n%s", diff)
	}
}
