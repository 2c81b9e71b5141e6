// Command dashboards writes what is made of other files in config/monitoring: the Grafana dashboards, of which dashboards.go says what they
// show, and the PrometheusRule, which has the rules of rules.yaml.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	directory := flag.String("directory", "config/monitoring", "the `directory` to write into")
	flag.Parse()
	if err := run(*directory); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run(directory string) error {
	for _, one := range dashboards() {
		if err := write(filepath.Join(directory, "dashboards"), one); err != nil {
			return err
		}
	}
	return writeRule(directory)
}

const ruleHead = `# Made from rules.yaml by make dashboards.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: modelroute
spec:
`

// writeRule puts the rules into an object for the Prometheus Operator, a step further in.
func writeRule(directory string) error {
	rules, err := os.ReadFile(filepath.Join(directory, "rules.yaml"))
	if err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	var rule strings.Builder
	rule.WriteString(ruleHead)
	for line := range strings.Lines(string(rules)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		rule.WriteString("  " + line)
	}
	return os.WriteFile(filepath.Join(directory, "prometheus_rule.yaml"), []byte(rule.String()), 0o600)
}

func write(directory string, builder *dashboard.DashboardBuilder) error {
	built, err := builder.Build()
	if err != nil {
		return fmt.Errorf("building a dashboard: %w", err)
	}
	encoded, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", *built.Title, err)
	}
	return os.WriteFile(filepath.Join(directory, *built.Uid+".json"), append(encoded, '\n'), 0o600)
}
