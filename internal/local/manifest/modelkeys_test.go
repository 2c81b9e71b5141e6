package manifest_test

import (
	"strings"
	"testing"
)

const (
	openRoute = "  keys: {allowedNamespaces: {from: All}}\n"
	modelKey  = `apiVersion: modelroute.dev/v1alpha1
kind: ModelKey
metadata: {name: crawler, namespace: search}
spec:
  routeRefs: [{namespace: ai, name: chat}]
`
)

func TestARouteFindsTheModelKeysThatItAllows(t *testing.T) {
	cases := map[string]struct {
		allowed, key string
		want         string
	}{
		"of every namespace": {openRoute, modelKey, ""},
		"of its own":         {"", strings.Replace(modelKey, "namespace: search", "namespace: ai", 1), ""},
		"of those with labels, which namespaces do not have here": {
			"  keys: {allowedNamespaces: {from: Selector, selector: {matchLabels: {team: search}}}}\n", modelKey, "",
		},
		"but of no other": {
			"", modelKey, `(ModelKey search/crawler): spec.routeRefs[0]: Forbidden: ModelRoute ai/chat does not allow ModelKeys of namespace search`,
		},
		"only where there is the route": {
			openRoute, strings.Replace(modelKey, "name: chat", "name: code", 1),
			`(ModelKey search/crawler): spec.routeRefs[0]: Invalid value: "ai/code": there is no such ModelRoute in the files`,
		},
		"only with a Secret of its own": {
			"", strings.NewReplacer("namespace: search", "namespace: ai", "spec:", "spec:\n  secretName: chat-search").Replace(modelKey),
			`spec.secretName: Invalid value: "chat-search": is also the Secret of consumer search of route ai/chat`,
		},
		"only if it keeps the rules": {
			openRoute, modelKey + "  rotation: {}\n", `(ModelKey search/crawler): spec.rotation: Invalid value`,
		},
		"only with fields that are known": {
			openRoute, modelKey + "  budgetz: []\n", `(ModelKey search/crawler): unknown field "spec.budgetz"`,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			routes, err := read(t, test.key+separator+route+test.allowed+separator+secret, nil)
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want == "" && (len(routes[0].ModelKeys) != 1 || routes[0].ModelKeys[0].Name != "crawler"):
				t.Errorf("it has %v", routes[0].ModelKeys)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestAModelKeyReachesNoTwoModelsOfOneName(t *testing.T) {
	named := func(name string) string {
		return strings.Replace(route, "name: chat", "name: "+name, 1) + "  keys: {allowedNamespaces: {from: All}}\n"
	}
	other := strings.Replace(named("code"), "model: {", "model: {name: chat, ", 1)
	key := strings.Replace(modelKey, "name: chat}", "name: chat}, {namespace: ai, name: code}", 1)
	_, err := read(t, strings.Join([]string{named("chat"), other, secret, key}, separator), nil)
	if want := `spec.routeRefs[1]: Invalid value: "ai/code": has a model "chat", as ModelRoute ai/chat has`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
