package proxy_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// yearly is a limit of the route on requests or tokens, in a window that does not end during a test.
func yearly(unit ledgerpb.Unit, limit int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref: &ledgerpb.BudgetRef{Name: "burst", Unit: unit}, Limit: limit,
		Period: ledgerpb.Period_PERIOD_SECONDS, PeriodSeconds: 365 * 24 * 3600, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// wantRateLimited expects a 429 in OpenAI's shape for a limit on a unit.
func wantRateLimited(t *testing.T, answer reply, unit string) {
	t.Helper()
	var body struct {
		Error struct{ Type, Code string }
	}
	err := json.Unmarshal([]byte(answer.body), &body)
	if err != nil || answer.status != http.StatusTooManyRequests || body.Error.Type != unit || body.Error.Code != "rate_limit_exceeded" {
		t.Errorf("status %d, want 429 for %s: %s", answer.status, unit, answer.body)
	}
}

// header reads a header that is a number.
func number(t *testing.T, header http.Header, name string) int64 {
	t.Helper()
	value, err := strconv.ParseInt(header.Get(name), 10, 64)
	if err != nil {
		t.Errorf("%s is %q, want a number", name, header.Get(name))
	}
	return value
}

func TestAClientIsToldWhereItStandsWithItsRateLimits(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{yearly(ledgerpb.Unit_UNIT_REQUESTS, 3), yearly(ledgerpb.Unit_UNIT_TOKENS, 100_000)}})
	for left := int64(2); left >= 0; left-- {
		header := w.ask(asking("answer=10", `,"max_completion_tokens":100`)).expectOK(t).header
		limit, remaining := number(t, header, "X-Ratelimit-Limit-Requests"), number(t, header, "X-Ratelimit-Remaining-Requests")
		if limit != 3 || remaining != left {
			t.Errorf("%d of %d requests remain, want %d of 3", remaining, limit, left)
		}
		if remaining := number(t, header, "X-Ratelimit-Remaining-Tokens"); remaining <= 0 || remaining > 100_000-100 {
			t.Errorf("%d tokens remain, want those of this request not among them", remaining)
		}
		if _, err := time.ParseDuration(header.Get("X-Ratelimit-Reset-Tokens")); err != nil {
			t.Errorf("when the limit resets: %v", err)
		}
	}
	answer := w.ask(asking("", ""))
	wantRateLimited(t, answer, "requests")
	if number(t, answer.header, "Retry-After") < 1 || number(t, answer.header, "X-Ratelimit-Remaining-Requests") != 0 {
		t.Errorf("headers = %v", answer.header)
	}
	if !strings.Contains(answer.body, `Rate limit \"burst\" of 3 requests is used up. Retry in `) {
		t.Errorf("the client is told: %s", answer.body)
	}
	if billed := w.upstream.Billed(upstream.Filter{}); len(billed.Requests) != 3 {
		t.Errorf("%d requests went upstream, want 3", len(billed.Requests))
	}
	w.booksAgree()
}

func TestTokensCountAsTheUpstreamReportsThem(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{yearly(ledgerpb.Unit_UNIT_TOKENS, 2000)}})
	var used struct {
		Usage struct {
			Total int64 `json:"total_tokens"`
		}
	}
	answer := w.ask(asking("answer=10", `,"max_completion_tokens":1500`)).expectOK(t)
	w.must(json.Unmarshal([]byte(answer.body), &used))
	answer = w.ask(asking("answer=10", `,"max_completion_tokens":1500`)).expectOK(t)
	bound := 2000 - used.Usage.Total - number(t, answer.header, "X-Ratelimit-Remaining-Tokens")
	if bound < 1500 || bound > 1900 {
		t.Errorf("after %d tokens, the next request holds %d, want its prompt and 1500", used.Usage.Total, bound)
	}
	w.settled()
}

func TestARequestThatCanTakeMoreThanTheWholeLimitIsNotToBeRetried(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{yearly(ledgerpb.Unit_UNIT_TOKENS, 500)}})
	answer := w.ask(asking("", `,"max_completion_tokens":501`))
	wantRateLimited(t, answer, "tokens")
	if answer.header.Get("X-Should-Retry") != "false" || answer.header.Get("Retry-After") != "" {
		t.Errorf("headers = %v", answer.header)
	}
	if !strings.Contains(answer.body, "more than the whole limit") {
		t.Errorf("the client is told: %s", answer.body)
	}
}

func TestARequestWithoutALimitGetsItsFairShareOfTheTokens(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{yearly(ledgerpb.Unit_UNIT_TOKENS, 2000)}})
	answer := w.ask(asking("answer=10", "")).expectOK(t)
	limit := number(t, answer.header, "X-Modelroute-Max-Completion-Tokens")
	if limit < 600 || limit > 1000 || w.limitSent() != limit {
		t.Errorf("the client is told of %d tokens and the upstream of %d, want half of the limit less the prompt", limit, w.limitSent())
	}
}

func TestARequestThatAnUpstreamRefusesCountsAsARequestWithoutTokens(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{yearly(ledgerpb.Unit_UNIT_REQUESTS, 2), yearly(ledgerpb.Unit_UNIT_TOKENS, 1500)}})
	if answer := w.ask(asking("status=503", `,"max_completion_tokens":1000`)); answer.status/100 == 2 {
		t.Fatalf("status %d, want the upstream's refusal", answer.status)
	}
	header := w.ask(asking("answer=10", `,"max_completion_tokens":1000`)).expectOK(t).header
	if remaining := number(t, header, "X-Ratelimit-Remaining-Requests"); remaining != 0 {
		t.Errorf("%d requests remain, want 0", remaining)
	}
}
