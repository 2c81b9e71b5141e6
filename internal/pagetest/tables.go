package pagetest

import (
	"cmp"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// described is how client_golang writes a description out; it has no other way to read one.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]*)",.*variableLabels: \{([^}]*)\}\}$`)

// Metrics is a table with a row for each metric, but for those of others, whose names begin with one of the prefixes.
func Metrics(t *testing.T, of prometheus.Collector, others ...string) string {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		of.Describe(descriptions)
	}()
	type row struct{ name, labels, help string }
	var rows []row
	for one := range descriptions {
		parts := described.FindStringSubmatch(one.String())
		if parts == nil {
			t.Errorf("client_golang writes %s now", one)
			continue
		}
		if !slices.ContainsFunc(others, func(prefix string) bool { return strings.HasPrefix(parts[1], prefix) }) {
			rows = append(rows, row{name: parts[1], labels: labels(parts[3]), help: parts[2]})
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

// labels writes the names of labels as code.
func labels(list string) string {
	if list == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(list, ",", "`, `") + "`"
}

// Flags is a table with a row for each flag.
func Flags(set *flag.FlagSet) string {
	var out strings.Builder
	out.WriteString("| flag | what | default |\n| --- | --- | --- |\n")
	set.VisitAll(func(one *flag.Flag) {
		value := ""
		if one.DefValue != "" {
			value = "`" + one.DefValue + "`"
		}
		fmt.Fprintf(&out, "| `--%s` | %s | %s |\n", one.Name, one.Usage, value)
	})
	return out.String()
}
