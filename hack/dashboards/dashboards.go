package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// row begins a part of a dashboard.
func row(title string) *dashboard.RowBuilder { return dashboard.NewRowBuilder(title) }

// dashboards are all there are.
func dashboards() []*dashboard.DashboardBuilder {
	return []*dashboard.DashboardBuilder{fleet(), route(), team(), operator(), ledger()}
}

func fleet() *dashboard.DashboardBuilder {
	return begin("modelroute-fleet", "ModelRoute / Fleet", "What is spent, by whom, and whether it works.").
		WithPanel(figure("Spent in 24 hours", "By the ledger's books.", usd,
			query{`sum(increase(modelroute_spend_usd_total{consumer=""}[24h]))`, ""})).
		WithPanel(figure("Requests a second", "", perSecond,
			query{`sum(rate(modelroute_proxy_requests_total[5m]))`, ""})).
		WithPanel(figure("Answers that are errors", "The share of answers that are 5xx.", ratio,
			query{`sum(rate(modelroute_proxy_requests_total{status_class="5xx"}[5m])) / sum(rate(modelroute_proxy_requests_total[5m]))`, ""})).
		WithPanel(figure("Budgets used up", "", count,
			query{`count(modelroute_budget_spent_usd >= (modelroute_budget_limit_usd > 0)) or vector(0)`, ""})).
		WithRow(row("Money")).
		WithPanel(graph("Spend an hour, by route", "The ten that spend most, as proxies settle it.", usd,
			query{`topk(10, sum by (namespace, route) (rate(modelroute_proxy_spend_nano_usd_total[15m])) * 3600 / 1e9)`, "{{namespace}}/{{route}}"})).
		WithPanel(graph("Spend an hour, by consumer", "The ten that spend most.", usd,
			query{`topk(10, sum by (namespace, route, consumer) (rate(modelroute_proxy_spend_nano_usd_total[15m])) * 3600 / 1e9)`,
				"{{namespace}}/{{route}} {{consumer}}"})).
		WithPanel(budgets("Budgets of routes and teams", `consumer="",upstream=""`,
			"{{namespace}} {{route}}{{team}}{{key}} {{budget}}")).
		WithRow(row("Requests")).
		WithPanel(graph("Answers, by status", "", perSecond,
			query{`sum by (status_class) (rate(modelroute_proxy_requests_total[$__rate_interval]))`, "{{status_class}}"})).
		WithPanel(graph("Denials, by reason", "", perSecond,
			query{`sum by (reason, budget) (rate(modelroute_proxy_denials_total[$__rate_interval]))`, "{{reason}} {{budget}}"})).
		WithPanel(graph("Attempts at upstreams that fail", "The share, by upstream.", ratio,
			query{`sum by (upstream) (rate(modelroute_proxy_upstream_attempts_total{result="failed"}[$__rate_interval]))` +
				` / sum by (upstream) (rate(modelroute_proxy_upstream_attempts_total[$__rate_interval]))`, "{{upstream}}"})).
		WithPanel(graph("Time to the first token", "Of streams, as clients see it.", seconds,
			query{quantile("0.5", "gen_ai_server_time_to_first_token_seconds_bucket", ""), "p50"},
			query{quantile("0.95", "gen_ai_server_time_to_first_token_seconds_bucket", ""), "p95"})).
		WithPanel(graph("Time of a request", "", seconds,
			query{quantile("0.5", "gen_ai_server_request_duration_seconds_bucket", ""), "p50"},
			query{quantile("0.95", "gen_ai_server_request_duration_seconds_bucket", ""), "p95"})).
		WithPanel(graph("Tokens a second", "As upstreams reported them.", count,
			query{`sum by (kind) (rate(modelroute_proxy_tokens_total[$__rate_interval]))`, "{{kind}}"}))
}

func route() *dashboard.DashboardBuilder {
	const of = `namespace="$namespace",route="$route"`
	return begin("modelroute-route", "ModelRoute / Route", "One route: its budgets, its consumers, how fast it answers, how its upstreams fare.",
		choice("namespace", "Namespace", "modelroute_spend_usd_total, namespace"),
		choice("route", "Route", `modelroute_spend_usd_total{namespace="$namespace"}, route`)).
		WithPanel(figure("Spent in 24 hours", "By the ledger's books.", usd,
			query{`sum(increase(modelroute_spend_usd_total{` + of + `,consumer=""}[24h]))`, ""})).
		WithPanel(figure("Spent in all", "Since the ledger began, what is uncertain included.", usd,
			query{`sum(modelroute_spend_usd_total{` + of + `,consumer=""})`, ""})).
		WithPanel(figure("Requests a second", "", perSecond, query{`sum(rate(modelroute_proxy_requests_total{` + of + `}[5m]))`, ""})).
		WithPanel(figure("Requests under way", "That money is held for.", count, query{`sum(modelroute_proxy_holds_open{` + of + `}) or vector(0)`, ""})).
		WithRow(row("Money")).
		WithPanel(budgets("Budgets", of, "{{consumer}}{{upstream}} {{budget}}")).
		WithPanel(graph("Spend an hour, by consumer", "As proxies settle it.", usd,
			query{`sum by (consumer) (rate(modelroute_proxy_spend_nano_usd_total{` + of + `}[15m])) * 3600 / 1e9`, "{{consumer}}"})).
		WithPanel(graph("What budgets have left", "In their present windows.", usd,
			query{`modelroute_budget_limit_usd{` + of + `} - modelroute_budget_spent_usd{` + of + `}`, "{{consumer}}{{upstream}} {{budget}}"})).
		WithRow(row("Requests")).
		WithPanel(graph("Answers, by status", "", perSecond,
			query{`sum by (status_class) (rate(modelroute_proxy_requests_total{` + of + `}[$__rate_interval]))`, "{{status_class}}"})).
		WithPanel(graph("Denials", "", perSecond,
			query{`sum by (consumer, reason, budget) (rate(modelroute_proxy_denials_total{` + of + `}[$__rate_interval]))`,
				"{{consumer}} {{reason}} {{budget}}"})).
		WithPanel(graph("Time of a request", "", seconds,
			query{quantile("0.5", `gen_ai_server_request_duration_seconds_bucket{`+of+`}`, ""), "p50"},
			query{quantile("0.95", `gen_ai_server_request_duration_seconds_bucket{`+of+`}`, ""), "p95"})).
		WithPanel(graph("Time to the first token", "Of streams, as clients see it.", seconds,
			query{quantile("0.5", `gen_ai_server_time_to_first_token_seconds_bucket{`+of+`}`, ""), "p50"},
			query{quantile("0.95", `gen_ai_server_time_to_first_token_seconds_bucket{`+of+`}`, ""), "p95"})).
		WithPanel(graph("Time waited for money", "Of those that found too little of it drawn ahead of need.", seconds,
			query{quantile("0.95", `modelroute_proxy_queue_seconds_bucket{`+of+`}`, ""), "p95"})).
		WithPanel(graph("Tokens a second", "As upstreams reported them.", count,
			query{`sum by (kind) (rate(modelroute_proxy_tokens_total{` + of + `}[$__rate_interval]))`, "{{kind}}"})).
		WithRow(row("Upstreams")).
		WithPanel(graph("Attempts", "By what came of them.", perSecond,
			query{`sum by (upstream, result) (rate(modelroute_proxy_upstream_attempts_total{` + of + `}[$__rate_interval]))`, "{{upstream}} {{result}}"})).
		WithPanel(graph("Time of an attempt", "", seconds,
			query{quantile("0.95", `gen_ai_client_operation_duration_seconds_bucket{`+of+`}`, ", upstream"), "{{upstream}} p95"})).
		WithPanel(graph("Clients that left", "By what became of their answers.", perSecond,
			query{`sum by (result) (rate(modelroute_proxy_disconnects_total{` + of + `}[$__rate_interval]))`, "{{result}}"}))
}

func team() *dashboard.DashboardBuilder {
	const of = `team="$team"`
	return begin("modelroute-team", "ModelRoute / Team", "One team: its budgets, and on which routes it spends.",
		choice("team", "Team", "modelroute_team_spend_usd_total, team")).
		WithPanel(figure("Spent in 24 hours", "By the ledger's books.", usd,
			query{`sum(increase(modelroute_team_spend_usd_total{` + of + `}[24h]))`, ""})).
		WithPanel(figure("Spent in all", "Since the ledger began.", usd, query{`sum(modelroute_team_spend_usd_total{` + of + `})`, ""})).
		WithPanel(figure("Left of its tightest budget", "In its present window.", usd,
			query{`min(modelroute_budget_limit_usd{` + of + `} - modelroute_budget_spent_usd{` + of + `})`, ""})).
		WithPanel(figure("Next window", "When the first of its budgets begins anew.", "dateTimeFromNow",
			query{`min(modelroute_budget_window_end_timestamp_seconds{` + of + `}) * 1000`, ""})).
		WithRow(row("Money")).
		WithPanel(budgets("Budgets", of, "{{budget}}")).
		WithPanel(graph("Spend an hour, by route", "By the ledger's books.", usd,
			query{`sum by (namespace, route) (rate(modelroute_team_spend_usd_total{` + of + `}[15m])) * 3600`, "{{namespace}}/{{route}}"})).
		WithPanel(graph("What budgets have left", "In their present windows.", usd,
			query{`modelroute_budget_limit_usd{` + of + `} - modelroute_budget_spent_usd{` + of + `}`, "{{budget}}"}))
}

func operator() *dashboard.DashboardBuilder {
	const of = `controller=~"modelroute|modelgateway|modelkey|teambudget|upstreamkey"`
	return begin("modelroute-operator", "ModelRoute / Operator", "Whether the operator keeps up.").
		WithPanel(graph("Passes a second", "By controller and result.", "ops",
			query{`sum by (controller, result) (rate(controller_runtime_reconcile_total{` + of + `}[$__rate_interval]))`, "{{controller}} {{result}}"})).
		WithPanel(graph("Time of a pass", "", seconds,
			query{quantile("0.95", `controller_runtime_reconcile_time_seconds_bucket{`+of+`}`, ", controller"), "{{controller}} p95"})).
		WithPanel(graph("Objects that wait", "", count,
			query{`sum by (controller) (workqueue_depth{` + of + `})`, "{{controller}}"})).
		WithPanel(graph("Requests to the API server", "By method and answer.", perSecond,
			query{`sum by (method, code) (rate(rest_client_requests_total[$__rate_interval]))`, "{{method}} {{code}}"})).
		WithPanel(graph("Memory", "Resident.", bytes, query{`process_resident_memory_bytes`, "{{job}} {{instance}}"})).
		WithPanel(graph("Processor time", "Of one core.", ratio, query{`rate(process_cpu_seconds_total[$__rate_interval])`, "{{job}} {{instance}}"})).
		WithPanel(graph("Configurations that are not taken up", "Proxies that serve an older one.", count,
			query{`count(modelroute_proxy_config_last_reload_successful == 0) or vector(0)`, "proxies"})).
		WithPanel(graph("Alerts of budgets in 24 hours", "Each once in a window.", count,
			query{`sum by (namespace, route) (increase(modelroute_budget_alerts_total[24h])) > 0`, "{{namespace}}/{{route}}"}))
}

func ledger() *dashboard.DashboardBuilder {
	return begin("modelroute-ledger", "ModelRoute / Ledger", "Whether the ledger keeps up, and whether the books agree with the upstreams'.").
		WithPanel(graph("Calls", "By method and how they ended.", perSecond,
			query{`sum by (method, code) (rate(modelroute_ledger_calls_total[$__rate_interval]))`, "{{method}} {{code}}"})).
		WithPanel(graph("Demands for money", "By what came of them.", perSecond,
			query{`sum by (result) (rate(modelroute_ledger_demands_total[$__rate_interval]))`, "{{result}}"})).
		WithPanel(graph("Settlements", "By how certain they are.", perSecond,
			query{`sum by (kind) (rate(modelroute_ledger_settlements_total[$__rate_interval]))`, "{{kind}}"})).
		WithPanel(graph("Time to write a transaction", "", seconds,
			query{quantile("0.5", "modelroute_ledger_store_commit_seconds_bucket", ""), "p50"},
			query{quantile("0.99", "modelroute_ledger_store_commit_seconds_bucket", ""), "p99"})).
		WithPanel(graph("Calls in a transaction", "", count,
			query{`sum(rate(modelroute_ledger_store_batch_size_sum[$__rate_interval])) / sum(rate(modelroute_ledger_store_batch_size_count[$__rate_interval]))`,
				"mean"})).
		WithPanel(graph("Records that proxies owe", "They are on the proxies' disks.", count,
			query{`sum by (instance) (modelroute_proxy_ledger_owed_records)`, "{{instance}}"})).
		WithRow(row("The books")).
		WithPanel(graph("Drift", "How much more upstreams have billed than was spent here.", usd,
			query{`max by (account, upstream) (modelroute_upstream_drift_usd)`, "{{upstream}} {{account}}"}).Min(-1)).
		WithPanel(graph("Uncertain spend", "The share of what is settled that is booked at its worst case.", ratio,
			query{`sum(rate(modelroute_proxy_spend_nano_usd_total{certainty="uncertain"}[15m])) / sum(rate(modelroute_proxy_spend_nano_usd_total[15m]))`,
				"uncertain"})).
		WithPanel(graph("Proxies that fell silent in an hour", "While money was out with them.", count,
			query{`increase(modelroute_ledger_lapsed_proxies_total[1h])`, "{{instance}}"}))
}
