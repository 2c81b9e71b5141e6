package wire

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// by lets the route's upstream be another provider's.
func by(provider routeconfig.Provider) func(*routeconfig.Config) {
	return func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].Provider = provider }
}

func TestCase12WhatARequestCostsFollowsFromItsUsage(t *testing.T) {
	t.Parallel()
	const (
		tokens = `"prompt_tokens":100,"completion_tokens":10,"total_tokens":110`
		// priced is what these tokens cost by the route's prices.
		priced = 100*world.PromptNano + 10*world.CompletionNano
	)
	cases := map[string]struct {
		provider routeconfig.Provider
		usage    string
		want     int64
	}{
		"the upstream's own figure, in USD":           {routeconfig.OpenRouter, tokens + `,"cost":0.00012345,"is_byok":false`, 123_450},
		"the same with an exponent":                   {routeconfig.OpenRouter, tokens + `,"cost":1.2345e-4`, 123_450},
		"a figure below a nano-USD is rounded up":     {routeconfig.OpenRouter, tokens + `,"cost":0.0000000001`, 1},
		"a figure of nothing is nothing":              {routeconfig.OpenRouter, tokens + `,"cost":0`, 0},
		"the breakdown of the charge is not added":    {routeconfig.OpenRouter, tokens + `,"cost":0.0001,"is_byok":false,"cost_details":{"upstream_inference_cost":0.0001}`, 100_000},
		"absent is_byok means that it is not":         {routeconfig.OpenRouter, tokens + `,"cost":0.0001,"cost_details":{"upstream_inference_cost":0.0001}`, 100_000},
		"with a key of one's own the inference is":    {routeconfig.OpenRouter, tokens + `,"cost":0.000005,"is_byok":true,"cost_details":{"upstream_inference_cost":0.0001}`, 105_000},
		"a fee of nothing beside the inference":       {routeconfig.OpenRouter, tokens + `,"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0.0001}`, 100_000},
		"no figure, so the prices count":              {routeconfig.OpenRouter, tokens, priced},
		"null for a figure":                           {routeconfig.OpenRouter, tokens + `,"cost":null`, priced},
		"OpenAI's tokens":                             {routeconfig.OpenAI, tokens, priced},
		"a figure that nobody vouches for":            {routeconfig.OpenAICompatible, tokens + `,"cost":0.0000001`, priced},
		"cached tokens are part of the prompt":        {routeconfig.OpenAI, tokens + `,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30}`, priced},
		"reasoning tokens are part of the completion": {routeconfig.OpenAI, tokens + `,"completion_tokens_details":{"reasoning_tokens":9,"rejected_prediction_tokens":1}`, priced},
		"cached tokens under a figure":                {routeconfig.OpenRouter, tokens + `,"cost":0.0001,"prompt_tokens_details":{"cached_tokens":60}`, 100_000},
		"an answer from the upstream's cache is free": {routeconfig.OpenRouter, `"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"cost":0`, 0},
	}
	worlds := map[routeconfig.Provider]*client{}
	for _, provider := range []routeconfig.Provider{routeconfig.OpenRouter, routeconfig.OpenAI, routeconfig.OpenAICompatible} {
		worlds[provider] = begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}, Edit: by(provider)})
	}
	for name, test := range cases {
		c := worlds[test.provider]
		for how, with := range map[string]struct {
			members string
			answer  http.HandlerFunc
		}{
			"plain":    {"", answer(`{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"usage":{` + test.usage + `}}`)},
			"streamed": {streamed, events(delta("a"), last, usageEvent("{"+test.usage+"}"), done)},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				before := c.Mark()
				c.AnswerWith(with.answer)
				c.ask(asking("", with.members)).expectOK(t)
				c.booked(t, before, world.Spend{Settled: test.want})
			})
		}
	}
}

func TestCase12ACacheAndRequestsCostWhatTheRouteSays(t *testing.T) {
	t.Parallel()
	const read, written, request = 200, 2_500, 1_000_000 // nano-USD
	c := begin(t, world.Setup{Edit: func(config *routeconfig.Config) {
		by(routeconfig.OpenAI)(config)
		pricing := &config.Routes[0].Upstreams[0].Pricing
		pricing.CachedPromptPicoUSD, pricing.CacheWritePicoUSD = new(int64(read*1000)), new(int64(written*1000))
		pricing.RequestNanoUSD = request
	}, Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for details, prompt := range map[string]int64{
		`{}`:                   100 * world.PromptNano,
		`{"cached_tokens":90}`: 10*world.PromptNano + 90*read,
		`{"cached_tokens":50,"cache_write_tokens":40}`: 10*world.PromptNano + 50*read + 40*written,
		`{"cached_tokens":101}`:                        100 * written, // it cannot be, so that all may have the dearest price
	} {
		t.Run(details, func(t *testing.T) {
			before := c.Mark()
			c.AnswerWith(answer(`{"choices":[{"index":0,"message":{"content":"a"}}],"usage":{"prompt_tokens":100,"completion_tokens":10,` +
				`"prompt_tokens_details":` + details + `}}`))
			c.ask(asking("", "")).expectOK(t)
			c.booked(t, before, world.Spend{Settled: prompt + 10*world.CompletionNano + request})
		})
	}
}

func TestCase12AUsageThatCannotBeBelievedCountsAsTheHold(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for _, usage := range []string{
		`{"prompt_tokens":-1,"completion_tokens":2}`, `{"prompt_tokens":1}`, `{"prompt_tokens":"1","completion_tokens":2}`, `"none"`, `[]`,
		`{"prompt_tokens":1,"completion_tokens":2,"cost":"free"}`, `{"prompt_tokens":1,"completion_tokens":2,"cost":0,"is_byok":"yes"}`,
		`{"prompt_tokens":1,"completion_tokens":99999999999999}`,
	} {
		t.Run(usage, func(t *testing.T) {
			before := c.Mark()
			c.AnswerWith(answer(`{"choices":[{"index":0,"message":{"content":"a"}}],"usage":` + usage + `}`))
			c.ask(asking("", short)).expectOK(t)
			c.bookedAsUncertain(t, before)
		})
	}
}

func TestCase12AProviderThatFailedBeforeItSaidAnythingIsNotPaid(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	const none = `"usage":{"prompt_tokens":30,"completion_tokens":0,"total_tokens":30,"cost":0}`
	c.AnswerWith(answer(`{"choices":[{"index":0,"message":{"content":""},"finish_reason":null}],` + none + `}`))
	c.ask(asking("", "")).expectOK(t)
	c.booked(t, world.Mark{}, world.Spend{})
}

func TestCase13ADeniedBudgetIsA402ThatNobodyTriesAgain(t *testing.T) {
	t.Parallel()
	cases := map[string]*ledgerpb.Budget{
		"of the route": world.Monthly("", 1_000), "of the consumer": world.Monthly(world.Consumer, 1_000),
		"of nothing": world.Monthly("", 0),
	}
	for name, budget := range cases {
		t.Run(name, func(t *testing.T) {
			c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{budget}})
			for _, members := range []string{"", streamed, short} {
				got := c.ask(asking("", members))
				found := got.expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
				if found.Type != "insufficient_quota" || !strings.Contains(found.Message, `"monthly"`) {
					t.Errorf("the error is %+v", found)
				}
				if got.header.Get("X-Should-Retry") != "false" || got.header.Get("Retry-After") != "" || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("the header is %v", got.header)
				}
			}
			if sent := len(c.Received()); sent != 0 {
				t.Errorf("the upstream got %d requests", sent)
			}
			for owner, spend := range c.Spends() {
				if spend != (world.Spend{}) {
					t.Errorf("%s has %+v: a reservation is left", owner, spend)
				}
			}
		})
	}
}

func TestCase13ABudgetIsNeverOverspentByRequestsAtOnce(t *testing.T) {
	t.Parallel()
	// Each of them can cost up to 1,200,000 nano-USD and its prompt, so no more than nine fit at once, and some must be refused in the end.
	const limit, clients = 12_000_000, 60
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Monthly("", limit)}})
	replies := make(chan reply, clients)
	for i := range clients {
		go func() {
			response, err := c.Client.Do(c.request(t.Context(), http.MethodPost, chatPath, asking("answer=200", short+[]string{"", streamed}[i%2])))
			if err != nil {
				replies <- reply{broken: err}
				return
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			replies <- reply{status: response.StatusCode, header: response.Header, body: string(body), broken: err}
		}()
	}
	served, refused := 0, 0
	for range clients {
		switch got := <-replies; {
		case got.broken != nil:
			t.Error(got.broken)
		case got.status == http.StatusOK:
			served++
		case got.status == http.StatusPaymentRequired, got.status == http.StatusTooManyRequests:
			refused++
		default:
			t.Errorf("status %d: %s", got.status, got.body)
		}
	}
	if _, billed, requests := c.Since(world.Mark{}); billed > limit || requests != int64(served) || served == 0 || refused == 0 {
		t.Errorf("%d were served and %d refused; the upstream billed %d of %d nano-USD for %d requests",
			served, refused, billed, limit, requests)
	}
	c.BooksAgree()
}

func TestPricesAreStringsInUSDPerTokenAndBillsAreInUSD(t *testing.T) {
	t.Parallel()
	// The model page: 2 and 6 USD for a million tokens.
	c := begin(t, world.Setup{Edit: by(routeconfig.OpenAI)})
	models := c.send(c.request(t.Context(), http.MethodGet, "/v1/models", "")).expectOK(t)
	if want := `"pricing":{"prompt":"0.000002","completion":"0.000006",`; !strings.Contains(models.body, want) {
		t.Errorf("%s is not in %s", want, models.body)
	}
	c.AnswerWith(answer(`{"choices":[{"index":0,"message":{}}],"usage":` + fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d}`, 1_000_000, 1_000_000) + `}`))
	c.ask(asking("", "")).expectOK(t)
	c.booked(t, world.Mark{}, world.Spend{Settled: 8_000_000_000})
}
