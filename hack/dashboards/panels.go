package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Units, as Grafana names them.
const (
	usd       = "currencyUSD"
	ratio     = "percentunit"
	perSecond = "reqps"
	seconds   = "s"
	bytes     = "bytes"
	count     = "short"
)

// query is one query of a panel, and how its series are called.
type query struct{ expr, legend string }

// source is the Prometheus that the visitor has chosen.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

func target(q query) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(source()).Expr(q.expr).LegendFormat(q.legend)
}

// begin makes a dashboard with a choice of the Prometheus and with these variables.
func begin(uid, title, description string, variables ...*dashboard.QueryVariableBuilder) *dashboard.DashboardBuilder {
	made := dashboard.NewDashboardBuilder(title).Uid(uid).Description(description).Tags([]string{"modelroute"}).
		Time("now-6h", "now").Refresh("30s").Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus"))
	for _, variable := range variables {
		made = made.WithVariable(variable)
	}
	return made
}

// choice is a variable whose values are those of a label.
func choice(name, label, labelValues string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source()).
		Query(dashboard.StringOrMap{String: new("label_values(" + labelValues + ")")}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc)
}

// graph is a panel of lines over time, a third of the page wide.
func graph(title, description, unit string, queries ...query) *timeseries.PanelBuilder {
	panel := timeseries.NewPanelBuilder().Title(title).Description(description).Datasource(source()).Unit(unit).Min(0).
		Span(8).Height(8).FillOpacity(10).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom))
	for _, q := range queries {
		panel = panel.WithTarget(target(q))
	}
	return panel
}

// figure is a panel with one number.
func figure(title, description, unit string, q query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(description).Datasource(source()).Unit(unit).
		Span(6).Height(4).WithTarget(target(q).Instant())
}

// budgets is a panel with a bar for each budget, which turns yellow at 80 percent and red when it is used up.
func budgets(title, selector, legend string) *bargauge.PanelBuilder {
	steps := []dashboard.Threshold{
		{Color: "green"}, {Value: new(0.8), Color: "yellow"}, {Value: new(1.0), Color: "red"},
	}
	used := "modelroute_budget_spent_usd{" + selector + "} / (modelroute_budget_limit_usd{" + selector + "} > 0)"
	return bargauge.NewPanelBuilder().Title(title).Datasource(source()).Unit(ratio).Min(0).Max(1).Span(8).Height(8).
		Description("The share of each budget that is used in its present window.").
		Orientation(common.VizOrientationHorizontal).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)).
		WithTarget(target(query{"sort_desc(" + used + ")", legend}).Instant())
}

// quantile is a quantile of a histogram, by the given labels.
func quantile(q, histogram, by string) string {
	return "histogram_quantile(" + q + ", sum by (le" + by + ") (rate(" + histogram + "[$__rate_interval])))"
}
