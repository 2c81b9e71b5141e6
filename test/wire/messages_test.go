package wire

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// messageFailure is an error as Anthropic's clients read it, with our own code beside it.
func (r reply) messageFailure(t *testing.T) (kind, code string) {
	t.Helper()
	var shape struct {
		Type  string
		Error struct{ Type, Message, Code string }
	}
	if err := json.Unmarshal([]byte(r.body), &shape); err != nil || shape.Type != "error" || shape.Error.Message == "" {
		t.Fatalf("status %d: no error of Anthropic's: %s", r.status, r.body)
	}
	return shape.Error.Type, shape.Error.Code
}

func TestErrorsAreToldToAnthropicsClientsInTheirShape(t *testing.T) {
	t.Parallel()
	good := messages.ask(question, "")
	cases := map[string]struct {
		path, body string
		change     func(http.Header)
		status     int
		kind, code string
	}{
		"a wrong key":          {"/v1/messages", good, func(h http.Header) { h.Set("Authorization", "Bearer no") }, 401, "authentication_error", "invalid_api_key"},
		"an unknown model":     {"/v1/messages", strings.Replace(good, world.Model, "claude", 1), nil, 404, "not_found_error", "model_not_found"},
		"no limit":             {"/v1/messages", strings.Replace(good, `"max_tokens":200,`, "", 1), nil, 400, "invalid_request_error", "missing_required_parameter"},
		"no JSON":              {"/v1/messages", "{", nil, 400, "invalid_request_error", "invalid_json"},
		"a tool of the server": {"/v1/messages", messages.ask(question, `,"tools":[{"type":"web_search_20250305","name":"web_search"}]`), nil, 400, "invalid_request_error", ""},
		"counting tokens":      {"/v1/messages/count_tokens", good, nil, 404, "not_found_error", "unknown_url"},
		"a batch":              {"/v1/messages/batches", good, nil, 404, "not_found_error", "unknown_url"},
		"an unknown version":   {"/v1/messages", good, func(h http.Header) { h.Set("Anthropic-Version", "2023-01-01") }, 400, "invalid_request_error", ""},
	}
	c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			request := c.request(t.Context(), http.MethodPost, test.path, test.body)
			if test.change != nil {
				test.change(request.Header)
			}
			got := c.send(request)
			if id := got.header.Get("Request-Id"); id == "" || !strings.Contains(got.body, `"request_id":"`+id+`"`) {
				t.Errorf("the request is named %q, and otherwise in %s", id, got.body)
			}
			if kind, code := got.messageFailure(t); got.status != test.status || kind != test.kind || code != test.code {
				t.Errorf("%d %s %s, want %d %s %s: %s", got.status, kind, code, test.status, test.kind, test.code, got.body)
			}
		})
	}
	if sent := len(c.Received()); sent != 0 {
		t.Errorf("the upstream got %d requests", sent)
	}
}

func TestAnthropicsKeyAndVersionAreTakenAndOurOwnAreSent(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		provider      routeconfig.Provider
		bearer, ofKey string
	}{
		"OpenRouter":     {routeconfig.OpenRouter, "Bearer " + world.UpstreamKey, ""},
		"compatible one": {routeconfig.OpenAICompatible, "Bearer " + world.UpstreamKey, world.UpstreamKey},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := begin(t, world.Setup{Edit: speaking(by(test.provider)), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
			request := c.request(t.Context(), http.MethodPost, "/v1/messages", messages.ask(question, ""))
			request.Header.Del("Authorization")
			request.Header.Set("X-Api-Key", world.Key)
			request.Header.Set("Anthropic-Version", "2026-10-21")
			request.Header.Set("Anthropic-Beta", "fast-mode-2026-02-01")
			c.send(request).expectOK(t)
			header := c.Last().Header
			for of, want := range map[string]string{
				"Authorization": test.bearer, "X-Api-Key": test.ofKey, "Anthropic-Version": "2023-06-01", "Anthropic-Beta": "",
			} {
				if got := header.Get(of); got != want {
					t.Errorf("%s is %q, want %q", of, got, want)
				}
			}
		})
	}
}

func TestADeniedBudgetIsABillingErrorThatAnthropicsClientsDoNotTryAgain(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Monthly("", 1_000)}})
	got := c.speak(messages, messages.ask(question, streamed))
	if kind, code := got.messageFailure(t); got.status != http.StatusPaymentRequired || kind != "billing_error" || code != "budget_exhausted" {
		t.Errorf("%d %s %s", got.status, kind, code)
	}
	if got.header.Get("X-Should-Retry") != "false" {
		t.Errorf("SDKs would try again: %v", got.header)
	}
	if got := c.speak(responses, responses.ask(question, "")); got.status != http.StatusPaymentRequired {
		t.Errorf("a response is not denied: %s", got.body)
	}
	if c.Held() != 0 || len(c.Received()) != 0 {
		t.Errorf("%d are held, and the upstream got %d requests", c.Held(), len(c.Received()))
	}
}

func TestRateLimitsAreToldToAnthropicsClientsInTheirHeaders(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.RateLimit(world.Consumer, 1, 3600)}})
	served := c.speak(messages, messages.ask(question, "")).expectOK(t)
	refused := c.speak(messages, messages.ask(question, ""))
	if kind, code := refused.messageFailure(t); refused.status != http.StatusTooManyRequests || kind != "rate_limit_error" || code != "rate_limit_exceeded" {
		t.Errorf("%d %s %s", refused.status, kind, code)
	}
	for _, header := range []http.Header{served.header, refused.header} {
		if header.Get("Anthropic-Ratelimit-Requests-Limit") != "1" || header.Get("Anthropic-Ratelimit-Requests-Remaining") != "0" {
			t.Errorf("the headers are %v", header)
		}
		reset, err := time.Parse(time.RFC3339, header.Get("Anthropic-Ratelimit-Requests-Reset"))
		if left := time.Until(reset); err != nil || left < -time.Minute || left > time.Hour+time.Minute {
			t.Errorf("the reset is at %s, %v", reset, err)
		}
	}
	if after := refused.header.Get("Retry-After"); strings.Trim(after, "0123456789") != "" || after == "" {
		t.Errorf("Retry-After is %q", after)
	}
}

func TestMarksForCachingNeedAPrice(t *testing.T) {
	t.Parallel()
	const read, written = 200, 2_500 // nano-USD
	body := messages.ask(question, `,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}]`)
	without := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	if got := without.speak(messages, body); got.status != http.StatusBadRequest || !strings.Contains(got.body, "system[0].cache_control") {
		t.Errorf("%d %s", got.status, got.body)
	}
	priced := func(config *routeconfig.Config) {
		pricing := &config.Routes[0].Upstreams[0].Pricing
		pricing.CachedPromptPicoUSD, pricing.CacheWritePicoUSD = new(int64(read*1000)), new(int64(written*1000))
	}
	with := begin(t, world.Setup{Edit: speaking(priced), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	with.speak(messages, body).expectOK(t)
	if sent := with.Last().Body; !strings.Contains(sent, `"cache_control":{"type":"ephemeral"}`) {
		t.Errorf("the upstream gets %s", sent)
	}
	with.bookedAsBilled(t, world.Mark{})
}

func TestNothingIsStoredAndNothingThatWasIsNamed(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: speaking(by(routeconfig.OpenAI)), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for _, members := range []string{`,"previous_response_id":"resp_1"`, `,"conversation":"conv_1"`, `,"background":true`, `,"store":true`} {
		c.speak(responses, responses.ask(question, members)).expectFailure(t, http.StatusBadRequest, map[bool]string{
			true: "unsupported_value", false: "unsupported_parameter",
		}[strings.HasSuffix(members, "true")])
	}
	if sent := len(c.Received()); sent != 0 {
		t.Errorf("the upstream got %d requests", sent)
	}
	c.speak(responses, responses.ask(question, "")).expectOK(t)
	if sent := c.Last().Body; !strings.Contains(sent, `"store":false`) {
		t.Errorf("the upstream is asked to store: %s", sent)
	}
}
