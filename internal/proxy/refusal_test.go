package proxy_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// nothingHappened says that a refused request reached neither the upstream nor the books.
func (w *world) nothingHappened() {
	w.t.Helper()
	if got := w.received.all(); len(got) > 0 {
		w.t.Errorf("the upstream got %d requests", len(got))
	}
	for owner, got := range w.ledger.spends(w.t) {
		if got != (spend{}) {
			w.t.Errorf("the ledger has %+v for %s", got, owner)
		}
	}
}

func TestWhatIsRefusedBeforeTheUpstreamHearsOfIt(t *testing.T) {
	const other = "mr-other-0123456789abcdef"
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)},
		edit: func(config *routeconfig.Config) {
			route := config.Routes[0]
			route.Name, route.Model.Name, route.Model.Aliases = "other", "other-model", nil
			route.Consumers = []routeconfig.Consumer{{Name: "other", Keys: []routeconfig.Key{keyOf("k_2", other)}}}
			config.Routes = append(config.Routes, route)
		},
	})
	const chat, textRequest = "/v1/chat/completions", `{"model":"mixtral-8x22b-instruct","prompt":"Once"}`
	bearer := func(key string) http.Header { return http.Header{"Authorization": {"Bearer " + key}} }
	mine := bearer(consumerKey)
	with := func(header http.Header, name, value string) http.Header {
		header = header.Clone()
		header.Set(name, value)
		return header
	}
	cases := map[string]struct {
		method, path, body string
		header             http.Header
		status             int
		code               string
	}{
		"no key":                       {"POST", chat, pageRequest, http.Header{}, 401, "invalid_api_key"},
		"a wrong key":                  {"POST", chat, pageRequest, bearer("mr-wrong"), 401, "invalid_api_key"},
		"the hash instead of the key":  {"POST", chat, pageRequest, bearer(keyOf("", consumerKey).SHA256), 401, "invalid_api_key"},
		"another scheme":               {"POST", chat, pageRequest, http.Header{"Authorization": {"Basic " + consumerKey}}, 401, "invalid_api_key"},
		"a key of another route":       {"POST", chat, pageRequest, bearer(other), 404, "model_not_found"},
		"an unknown model":             {"POST", chat, strings.Replace(pageRequest, "mixtral-8x22b-instruct", "gpt-4o", 1), mine, 404, "model_not_found"},
		"a model list":                 {"GET", "/v1/models", "", bearer("mr-wrong"), 401, "invalid_api_key"},
		"a model of another route":     {"GET", "/v1/models/other-model", "", mine, 404, "model_not_found"},
		"a path that is not served":    {"POST", "/v1/images/generations", pageRequest, mine, 404, "unknown_url"},
		"an endpoint of other models":  {"POST", "/v1/completions", textRequest, mine, 404, "endpoint_not_found"},
		"the upstream's own endpoints": {"GET", "/v1/key", "", mine, 404, "unknown_url"},
		"a path with dots in it":       {"POST", "/v1/models/../chat/completions", pageRequest, mine, 405, "method_not_allowed"},
		"a wrong method":               {"GET", chat, "", mine, 405, "method_not_allowed"},
		"a compressed body":            {"POST", chat, pageRequest, with(mine, "Content-Encoding", "gzip"), 415, "unsupported_content_encoding"},
		"a body that is too large":     {"POST", chat, strings.Repeat(" ", 32<<20+1), mine, 413, "body_too_large"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			answer := w.do(w.request(t.Context(), test.method, w.url+test.path, test.body, test.header))
			answer.expectFailure(t, test.status, test.code)
			if test.status == http.StatusMethodNotAllowed && answer.header.Get("Allow") == "" {
				t.Error("a refused method has to name the one that is served")
			}
		})
	}
	w.nothingHappened()
}

func TestABadRequestIsRefusedByName(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	const image = `{"model":"mixtral-8x22b-instruct","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}`
	cases := map[string]struct{ body, param string }{
		"other models":         {asking("", `,"models":["openai/gpt-4o"]`), "models"},
		"another provider":     {asking("", `,"provider":{"sort":"price"}`), "provider"},
		"a plugin that costs":  {asking("", `,"plugins":[{"id":"web"}]`), "plugins"},
		"a dearer tier":        {asking("", `,"service_tier":"priority"`), "service_tier"},
		"a dearer variant":     {strings.Replace(asking("", ""), "-instruct", "-instruct:nitro", 1), "model"},
		"an image":             {image, "messages[0].content[0]"},
		"five stop sequences":  {asking("", `,"stop":["a","b","c","d","e"]`), "stop"},
		"two values for a key": {asking("", `,"max_tokens":1,"max_tokens":2`), "max_tokens"},
		"a limit of nothing":   {asking("", `,"max_tokens":0`), "max_tokens"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			answer := w.ask(test.body)
			if answer.status != http.StatusBadRequest {
				t.Fatalf("status %d: %s", answer.status, answer.body)
			}
			if found := answer.failure(t); found.Param == nil || !strings.HasPrefix(*found.Param, test.param) {
				t.Errorf("the error does not name %s: %s", test.param, answer.body)
			}
		})
	}
	w.nothingHappened()
}

func TestAnExhaustedBudgetDenies(t *testing.T) {
	cases := map[string]*ledgerpb.Budget{
		"of the route":    monthly("", 1_000),
		"of the consumer": monthly(consumerName, 1_000),
		"of nothing":      monthly("", 0),
	}
	for name, budget := range cases {
		t.Run(name, func(t *testing.T) {
			w := begin(t, setup{budgets: []*ledgerpb.Budget{budget}})
			account := "route/monthly"
			if budget.GetRef().GetConsumer() != "" {
				account = "consumer/monthly"
			}
			for _, members := range []string{"", streamed} {
				answer := w.ask(asking("", members))
				found := answer.expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
				if answer.header.Get("X-Should-Retry") != "false" {
					t.Error("SDKs would try again")
				}
				if !strings.Contains(found.Message, `"monthly"`) {
					t.Errorf("the message does not name the budget: %s", found.Message)
				}
			}
			w.nothingHappened()
			w.counts(`modelroute_proxy_denials_total{budget="` + account + `",consumer="search",namespace="ai-platform",reason="exhausted",` +
				`route="mixtral-8x22b-instruct"} 2`)
		})
	}
}

func TestABudgetThatOnlyWarnsDeniesNothing(t *testing.T) {
	budget := monthly("", 1)
	budget.Enforcement = ledgerpb.Enforcement_ENFORCEMENT_WARN
	w := begin(t, setup{budgets: []*ledgerpb.Budget{budget}})
	w.ask(asking("", "")).expectOK(t)
	w.booksAgree()
}

func TestMoneyThatOthersHoldDeniesForNow(t *testing.T) {
	// One request of this length can cost at most a little more than 1,200,000 nano-USD, so the budget has room for one and not for two.
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 2_000_000)}})
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	w.received.answerWith(func(answer http.ResponseWriter, request *http.Request) {
		arrived <- struct{}{}
		<-release
		w.upstream.ServeHTTP(answer, request)
	})
	first := make(chan reply, 1)
	go func() { first <- w.ask(asking("", `,"max_tokens":200`)) }()
	<-arrived
	answer := w.ask(asking("", `,"max_tokens":200`))
	close(release)
	answer.expectFailure(t, http.StatusTooManyRequests, "budget_held")
	if answer.header.Get("Retry-After") == "" {
		t.Error("SDKs are not told when to try again")
	}
	(<-first).expectOK(t)
	w.booksAgree()
	if got := w.upstream.Billed(upstream.Filter{}).Count; got != 1 {
		t.Errorf("the upstream billed %d requests", got)
	}
}

func TestALedgerThatIsAwayDeniesAndItsReturnServes(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	w.ledger.stop()
	answer := w.ask(asking("", ""))
	answer.expectFailure(t, http.StatusServiceUnavailable, "ledger_unavailable")
	if answer.header.Get("Retry-After") == "" {
		t.Error("SDKs are not told when to try again")
	}
	if got := w.status(w.adminURL + "/readyz"); got != http.StatusOK {
		t.Errorf("readiness %d: a proxy that can still say why it refuses stays ready", got)
	}
	if len(w.received.all()) > 0 {
		t.Error("the upstream was called without a hold")
	}
	w.ledger.resume(t)
	w.eventually("the proxy serves again", func() bool { return w.ask(asking("", "")).status == http.StatusOK })
	w.booksAgree()
}

func TestAnUpstreamKeyThatIsMissingIsSaidAndARotatedOneIsUsed(t *testing.T) {
	const rotated = "sk-or-v1-rotated"
	w := begin(t, setup{upstream: upstream.Options{Keys: []upstream.Key{{Label: "rotated", Secret: rotated, LimitNano: upstream.NoLimit}}}})
	w.must(os.Remove(w.keyFile))
	w.ask(asking("", "")).expectFailure(t, http.StatusServiceUnavailable, "upstream_key_missing")
	if !strings.Contains(w.logs.String(), w.keyFile) {
		t.Error("the log does not name the file of the key")
	}
	w.nothingHappened()
	w.write(w.keyFile, rotated)
	w.eventually("the rotated key is used", func() bool { return w.ask(asking("", "")).status == http.StatusOK })
	if got := w.last().header.Get("Authorization"); got != "Bearer "+rotated {
		t.Errorf("the upstream got %q", got)
	}
}
