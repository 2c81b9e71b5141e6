// What makes config/monitoring/dashboards. A module of its own, so that the operator's go.mod stays clean.
module github.com/modelroute/modelroute/hack/dashboards

go 1.26.7

require github.com/grafana/grafana-foundation-sdk/go v0.0.22
