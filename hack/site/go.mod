// What makes the guide's site from docs/. A module of its own, so that the operator's go.mod stays clean.
module github.com/modelroute/modelroute/hack/site

go 1.26.7

require (
	github.com/alecthomas/chroma/v2 v2.27.0
	github.com/yuin/goldmark v1.8.7
	golang.org/x/net v0.61.0
	sigs.k8s.io/yaml v1.6.0
)

require (
	github.com/dlclark/regexp2/v2 v2.2.1 // indirect
	go.yaml.in/yaml/v2 v2.4.2 // indirect
)
