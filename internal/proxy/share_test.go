package proxy_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// limitSent is the completion limit that the upstream got with the last request.
func (w *world) limitSent() int64 {
	w.t.Helper()
	all := w.received.all()
	var body struct {
		Limit int64 `json:"max_completion_tokens"`
	}
	w.must(json.Unmarshal([]byte(all[len(all)-1].body), &body))
	return body.Limit
}

func TestARequestWithoutALimitGetsItsFairShareOfWhatIsLeft(t *testing.T) {
	// A cent is 1666 tokens. One proxy serves the route, so half of that, less the prompt, is a fair share.
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000)}})
	answer := w.ask(asking("answer=10", "")).expectOK(t)
	limit, err := strconv.ParseInt(answer.header.Get("X-Modelroute-Max-Completion-Tokens"), 10, 64)
	w.must(err)
	if limit < 700 || limit > 833 {
		t.Errorf("the limit is %d tokens, want what half a cent buys beside the prompt", limit)
	}
	if sent := w.limitSent(); sent != limit {
		t.Errorf("the upstream got a limit of %d tokens, the client is told %d", sent, limit)
	}
	w.booksAgree()
}

func TestRequestsWithoutALimitUseABudgetUpToItsEnd(t *testing.T) {
	const limit = 5_000_000
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", limit)}})
	served := 0
	for range 200 {
		answer := w.ask(asking("", ""))
		if answer.status == http.StatusPaymentRequired {
			break
		}
		answer.expectOK(t)
		if sent := w.limitSent(); sent < 16 {
			t.Fatalf("a request was sent with a limit of %d tokens", sent)
		}
		served++
	}
	billed := w.upstream.Billed(upstream.Filter{}).TotalNanoUSD
	// What is left is less than the prompt can cost together with sixteen tokens.
	if billed > limit || billed < limit-750_000 {
		t.Errorf("%d requests were billed %d nano-USD of a budget of %d", served, billed, limit)
	}
	w.booksAgree()
}

func TestALimitThatTheClientNamesIsNotLowered(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000_000)}})
	answer := w.ask(asking("", `,"max_completion_tokens":1000`))
	if answer.status != http.StatusPaymentRequired || !strings.Contains(answer.body, "budget_exhausted") {
		t.Errorf("a request for more than is left got %d: %s", answer.status, answer.body)
	}
	answer = w.ask(asking("", `,"max_completion_tokens":20`)).expectOK(t)
	if header := answer.header.Get("X-Modelroute-Max-Completion-Tokens"); header != "" {
		t.Errorf("a client that named a limit is told of one: %s", header)
	}
	if sent := w.limitSent(); sent != 20 {
		t.Errorf("the upstream got a limit of %d tokens, want 20", sent)
	}
}
