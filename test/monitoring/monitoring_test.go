package monitoring

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/modelroute/modelroute/test/world"
)

const (
	directory = "../../config/monitoring"
	// patience is how long a query may take until it finds something.
	patience = 60 * time.Second
	// Debian's package has them here.
	prometheusProgram, promtool = "/usr/bin/prometheus", "/usr/bin/promtool"
)

// rare are the metrics that have no series before something rare has happened: an alert, or ten minutes with an upstream that tells what it
// billed. The manager has them all the same.
var rare = []string{"modelroute_budget_alerts_total", "modelroute_upstream_drift_usd"}

// reader is a Prometheus.
type reader struct {
	t   *testing.T
	url string
}

// startPrometheus starts a Prometheus with the rules that reads the programs once a second.
func startPrometheus(t *testing.T, p *programs) *reader {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(directory, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	fmt.Fprintf(&config, "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n", rules)
	for job, target := range p.targets {
		at, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&config, "- {job_name: %s, honor_labels: true, metrics_path: '%s', static_configs: [{targets: ['%s']}]}\n",
			job, "/"+strings.TrimPrefix(at.Path, "/"), at.Host)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	start(t, nil, prometheusProgram, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	r := &reader{t: t, url: "http://" + address}
	p.Eventually("Prometheus reads all programs", func() bool {
		found, err := r.query("count(up == 1)")
		return err == nil && len(found) == 1 && found[0] == fmt.Sprint(len(p.targets))
	})
	return r
}

// query returns the values that a query finds now.
func (r *reader) query(expr string) ([]string, error) {
	content, err := fetch(r.t.Context(), r.url+"/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, err
	}
	var values []string
	for _, one := range answer.Data.Result {
		values = append(values, fmt.Sprint(one.Value[1]))
	}
	return values, nil
}

// finds waits until a query finds something.
func (r *reader) finds(expr string) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	pause := time.NewTicker(200 * time.Millisecond)
	defer pause.Stop()
	for {
		found, err := r.query(expr)
		if err != nil || len(found) > 0 {
			return err
		}
		select {
		case <-limit.C:
			return fmt.Errorf("%s finds nothing", expr)
		case <-pause.C:
		}
	}
}

// panel is what is of interest here of a panel or a row of a dashboard.
type panel struct {
	Title   string `json:"title"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

// panels reads a dashboard.
func panels(t *testing.T, file string) (panels []panel, variables []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels     []panel `json:"panels"`
		Templating struct {
			List []struct {
				Type  string `json:"type"`
				Query any    `json:"query"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type == "query" {
			variables = append(variables, fmt.Sprint(variable.Query))
		}
	}
	return dashboard.Panels, variables
}

// chosen are a query's forms with values in the place of the dashboard's variables: the proxy serves one route, the manager has another.
func chosen(expr string) []string {
	var made []string
	for _, one := range [][2]string{{world.Namespace, world.Model}, {namespace, route}} {
		made = append(made, strings.NewReplacer(
			"$namespace", one[0], "$route", one[1], "$team", team, "$__rate_interval", "10s").Replace(expr))
	}
	return slices.Compact(made)
}

func TestEveryQueryOfTheDashboardsFindsSomething(t *testing.T) {
	p := begin(t)
	prometheus := startPrometheus(t, p)
	files, err := filepath.Glob(filepath.Join(directory, "dashboards", "*.json"))
	if err != nil || len(files) != 5 {
		t.Fatalf("the dashboards are %v, error %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			panels, variables := panels(t, file)
			for _, variable := range variables {
				inside, isLabels := strings.CutPrefix(variable, "label_values(")
				metric, _, hasLabel := strings.Cut(strings.TrimSuffix(inside, ")"), ", ")
				if !isLabels || !hasLabel {
					t.Errorf("variable %s", variable)
				}
				if err := prometheus.finds("(" + strings.Join(chosen(metric), ") or (") + ")"); err != nil {
					t.Errorf("variable %s: %v", variable, err)
				}
			}
			for _, panel := range panels {
				for _, target := range panel.Targets {
					isRare := slices.ContainsFunc(rare, func(metric string) bool { return strings.Contains(target.Expr, metric) })
					if isRare {
						if _, err := prometheus.query(chosen(target.Expr)[0]); err != nil {
							t.Errorf("panel %s: %v", panel.Title, err)
						}
					} else if err := prometheus.finds("(" + strings.Join(chosen(target.Expr), ") or (") + ")"); err != nil {
						t.Errorf("panel %s: %v", panel.Title, err)
					}
				}
			}
		})
	}
	t.Run("alerts", func(t *testing.T) { prometheus.checkRules(t) })
}

// checkRules checks that Prometheus evaluates every rule, and that the metrics of each are there.
func (r *reader) checkRules(t *testing.T) {
	t.Helper()
	content, err := fetch(t.Context(), r.url+"/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, Query, Health, LastError string
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			rules++
			if rule.Health != "ok" {
				t.Errorf("rule %s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
			for _, metric := range metricNames.FindAllString(rule.Query, -1) {
				if slices.Contains(rare, metric) {
					continue
				}
				if err := r.finds(metric); err != nil {
					t.Errorf("rule %s: %v", rule.Name, err)
				}
			}
		}
	}
	if rules < 10 {
		t.Errorf("there are %d rules", rules)
	}
}

// metricNames are those of our metrics and of controller-runtime's.
var metricNames = regexp.MustCompile(`\b(modelroute|gen_ai|controller_runtime)[_:][a-z_:]+`)

func TestTheRareMetricsAreTheManagers(t *testing.T) {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		metrics.Registry.(prometheus.Collector).Describe(descriptions)
	}()
	var all strings.Builder
	for one := range descriptions {
		all.WriteString(one.String())
	}
	for _, metric := range rare {
		if !strings.Contains(all.String(), `"`+metric+`"`) {
			t.Errorf("nobody has a metric %s", metric)
		}
	}
}

func TestTheAlertsFireWhenTheyShould(t *testing.T) {
	for _, arguments := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		command := exec.CommandContext(t.Context(), promtool, arguments...)
		command.Dir = directory
		if said, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, said)
		}
	}
}

func TestEveryAlertHasItsPartOfTheDocumentation(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(directory, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`(?m)^  - alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	for _, alert := range alerts {
		if !strings.Contains(string(page), "\n### "+alert[1]+"\n") {
			t.Errorf("docs/monitoring.md says nothing of %s", alert[1])
		}
		if !strings.Contains(string(rules), "docs/monitoring.md#"+strings.ToLower(alert[1])+"\n") {
			t.Errorf("%s does not say where it is described", alert[1])
		}
	}
	if len(alerts) < 10 {
		t.Errorf("there are %d alerts", len(alerts))
	}
}
