package main

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

func TestAModelKeyReachesTheRoutesThatItNamesUntilItExpires(t *testing.T) {
	w := newWorld(t)
	open := "  keys: {allowedNamespaces: {from: All}}\n"
	w.write("routes.yaml", w.route("chat", open)+"---\n"+w.route("code", open))
	w.write("key.yaml", modelKeyManifest(""))
	s := w.start("-f", "routes.yaml", "-f", "key.yaml", keyFlag)
	environment := w.environment("../search/crawler")
	if environment["MODEL"] != "chat-model" || environment["MODEL_2"] != "code-model" {
		t.Errorf("the models are %q and %q", environment["MODEL"], environment["MODEL_2"])
	}
	for _, suffix := range []string{"", "_2"} {
		url := environment["OPENAI_BASE_URL"+suffix] + "/chat/completions"
		answer := w.post(url, environment["OPENAI_API_KEY"], environment["MODEL"+suffix], "Hello", false)
		if body := w.rest(answer); answer.StatusCode != http.StatusOK {
			t.Errorf("MODEL%s: %d %s", suffix, answer.StatusCode, body)
		}
	}
	w.wantBooksEqual() // The proxy reports in batches: then all of it is there.
	for _, route := range w.usage().Routes {
		if last := route.Consumers[len(route.Consumers)-1]; last.Name != "search/crawler" || last.Spent == "0.00" {
			t.Errorf("route %s shows %+v", route.Name, last)
		}
	}

	w.write("key.yaml", modelKeyManifest("  expireTime: "+time.Now().Add(2*time.Second).UTC().Format(time.RFC3339)+"\n"))
	refused := func() bool {
		answer := w.post(environment["OPENAI_BASE_URL"]+"/chat/completions", environment["OPENAI_API_KEY"], "chat-model", "Hello", false)
		_ = w.rest(answer)
		return answer.StatusCode == http.StatusUnauthorized
	}
	if !w.eventually(refused) {
		t.Error("the key is accepted though it has expired")
	}
	s.end()
	w.wantBooksEqual()
}

func TestAModelKeyOfTheFilesKeepsItsBudget(t *testing.T) {
	w := newWorld(t)
	w.write("all.yaml", w.route("chat", "  keys: {allowedNamespaces: {from: All}}\n")+"---\n"+`apiVersion: modelroute.dev/v1alpha1
kind: ModelKey
metadata: {name: crawler, namespace: search}
spec:
  routeRefs: [{namespace: ai, name: chat}]
`+`  budgets: [{name: total, amount: "0.003", window: {period: Total}, enforcement: Deny}]`+"\n")
	s := w.start("-f", "all.yaml", keyFlag)
	secret := filepath.Join("..", "search", "crawler")
	denied := func() bool {
		answer := w.ask(secret, "Say as much as you can.", false)
		_ = w.rest(answer)
		return answer.StatusCode == http.StatusPaymentRequired
	}
	if !w.eventually(denied) {
		t.Error("it is never denied")
	}
	w.answered("chat-search", "Hello", http.StatusOK)
	s.end()
	w.wantBooksEqual()
}

// modelKeyManifest is a ModelKey for both routes.
func modelKeyManifest(more string) string {
	return `apiVersion: modelroute.dev/v1alpha1
kind: ModelKey
metadata: {name: crawler, namespace: search}
spec:
  routeRefs: [{namespace: ai, name: chat}, {namespace: ai, name: code}]
` + more
}
