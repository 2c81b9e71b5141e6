package main

import (
	"bufio"
	"fmt"
	"net/http"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/money"
)

// withReserve is a manifest whose consumer has a budget for a few answers; what it refuses goes on at another, dearer model.
func (w *world) withReserve() string {
	return `apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat, namespace: ai}
spec:
  model: {name: chat-model, contextLength: 65536}
  upstreams:
  - name: openrouter
    provider: OpenRouter
    baseURL: ` + w.url + `
    model: mistralai/mixtral-8x22b-instruct
    apiKeySecretRef: {name: openrouter, key: apiKey}
    pricing: {prompt: "2.00", completion: "6.00"}
  - name: reserve
    provider: OpenRouter
    baseURL: ` + w.url + `
    model: openai/gpt-4o
    apiKeySecretRef: {name: openrouter, key: apiKey}
    pricing: {prompt: "2.50", completion: "10.00"}
    budgets: [{name: total, amount: "1.00", window: {period: Total}, enforcement: Deny}]
  parameters: {defaults: {max_completion_tokens: 200}}
  consumers:
  - name: search
    budgets: [{name: total, amount: "0.004", window: {period: Total}, enforcement: Deny, whenExhausted: {upstream: reserve}}]
`
}

// billedFor is what the upstream billed for requests for a model.
func (w *world) billedFor(model string) (sum money.Amount, requests int) {
	for _, one := range w.upstream.Billed(upstream.Filter{}).Requests {
		if one.Model == model {
			sum, requests = sum.Add(money.FromNano(one.CostNanoUSD)), requests+1
		}
	}
	return sum, requests
}

func TestABudgetThatRunsOutGoesOnAtItsReserveAlsoAfterAKill(t *testing.T) {
	w := newWorld(t)
	w.write("chat.yaml", w.withReserve())
	s := w.start("-f", "chat.yaml", keyFlag)
	asked := 0
	for spent := 0; spent < 3; asked++ {
		w.answered("chat-search", fmt.Sprintf("Question %d: say as much as you can.", asked), http.StatusOK)
		_, spent = w.billedFor("openai/gpt-4o")
	}
	// It is killed in the midst of an answer of the reserve, which bills it all the same.
	answer := w.ask("chat-search", "[[fault: answer=50, chunk-delay=20ms]] And more.", true)
	if _, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.kill()
	if !w.eventually(func() bool { _, requests := w.billedFor("openai/gpt-4o"); return requests == 4 }) {
		t.Fatal("the upstream does not bill what was under way")
	}
	s = w.start("-f", "chat.yaml", keyFlag)
	w.wantBooksEqual()
	w.answered("chat-search", "And now?", http.StatusOK)
	w.wantBooksEqual()
	s.end()

	route := w.usage().Routes[0]
	ordinary, before := w.billedFor("mistralai/mixtral-8x22b-instruct")
	reserve, after := w.billedFor("openai/gpt-4o")
	if before != asked-3 || after != 5 {
		t.Errorf("%d requests went to the first upstream and %d to the reserve, of %d and 2", before, after, asked)
	}
	wantEqual(t, ordinary.String(), route.Consumers[0].Budgets[0].Spent)
	wantEqual(t, "Exhausted", route.Consumers[0].Budgets[0].State)
	wantEqual(t, "reserve", route.Upstreams[0].Name)
	wantEqual(t, reserve.String(), route.Upstreams[0].Budgets[0].Spent)
	wantEqual(t, ordinary.Add(reserve).String(), route.Spent)
	_, table, _ := w.call("usage")
	wantContains(t, table, "(at reserve)")
}
