package wire

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

func TestCase14NothingOfTheClientsHeaderGoesUpstream(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	for how, members := range map[string]string{"application/json": "", "text/event-stream": streamed} {
		t.Run(how, func(t *testing.T) {
			request := c.request(t.Context(), http.MethodPost, chatPath+"?debug=1", asking("", members))
			for name, value := range map[string]string{
				"Cookie": "session=1", "X-Api-Key": world.Key, "X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1",
				"Openai-Organization": "org", "Openai-Project": "project", "Openai-Beta": "x",
				"X-Stainless-Lang": "js", "Idempotency-Key": "1",
				"Http-Referer": "https://x/", "X-Title": "app", "X-Openrouter-Title": "app",
				"X-Openrouter-Cache": "true", "X-Openrouter-Metadata": "enabled",
				"X-Upstream-Fault": "status=500", "Accept-Encoding": "gzip", "Te": "trailers", "Connection": "X-Named", "X-Named": "1",
				"Proxy-Authorization": "Basic eA==", "X-Request-Id": "mine-1",
				"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "a=b", "Baggage": "a=b",
			} {
				request.Header.Set(name, value)
			}
			c.send(request).expectOK(t)
			got := c.Last().Header
			want := http.Header{
				"Accept":          {how},
				"Accept-Encoding": {"identity"},
				"Authorization":   {"Bearer " + world.UpstreamKey},
				"Content-Length":  got["Content-Length"],
				"Content-Type":    {"application/json"},
				"User-Agent":      {"modelroute-proxy"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the header upstream (-want +got):\n%s", diff)
			}
		})
	}
}

// upstreamHeader is all that an upstream may send, kept is what of it a client gets.
func upstreamHeader() (sent, kept http.Header) {
	kept = http.Header{
		"Retry-After": {"7"}, "Retry-After-Ms": {"6500"}, "X-Should-Retry": {"true"},
		"X-Request-Id": {"req-1"}, "X-Generation-Id": {"gen-1"}, "Openai-Processing-Ms": {"12"}, "Openai-Version": {"2020-10-01"},
		"X-Ratelimit-Limit-Requests": {"100"}, "X-Ratelimit-Remaining-Tokens": {"5"}, "X-Ratelimit-Reset-Tokens": {"6m0s"}, "X-Ratelimit-Limit": {"9"},
	}
	sent = kept.Clone()
	for name, value := range map[string]string{
		"Set-Cookie": "session=1", "Authorization": "Bearer " + world.UpstreamKey, "X-Api-Key": world.UpstreamKey,
		"Www-Authenticate": "Bearer",
		"Server":           "cloudflare", "Via": "1.1 x", "Alt-Svc": "h3", "Location": "/elsewhere",
		"Openai-Organization": "our-own", "Cf-Ray": "1",
		"Access-Control-Allow-Origin": "*", "Strict-Transport-Security": "max-age=1", "Proxy-Authenticate": "Basic", "Upgrade": "h2c",
		"Keep-Alive": "timeout=5", "Trailer": "X-End", "X-Powered-By": "x", "Content-Language": "fr",
	} {
		sent.Set(name, value)
	}
	return sent, kept
}

func TestCase14OnlyWhatClientsNeedOfTheUpstreamsHeaderComesBack(t *testing.T) {
	t.Parallel()
	const failed = `{"error":{"code":429,"message":"Rate limited."}}`
	cases := map[string]struct {
		members, contentType, body string
		status                     int
		// own are headers of the proxy's.
		own http.Header
	}{
		"plain": {"", "application/json", `{"choices":[],"usage":` + usage(3, 2, "0.000018") + `}`, 200,
			http.Header{"Content-Type": {"application/json"}, "X-Modelroute-Cost": {"0.000018"}}},
		"streamed": {streamed, "text/event-stream", last + usageEvent(usage(3, 2, "0.000018")) + done, 200,
			http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-cache"}, "X-Accel-Buffering": {"no"}}},
		"refused": {"", "application/json", failed, 429,
			http.Header{"Content-Type": {"application/json"}, "X-Modelroute-Cost": {"0.00"}}},
	}
	c := begin(t, world.Setup{})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			sent, want := upstreamHeader()
			// One id finds the proxy's log line, and that has the upstream's.
			want["X-Upstream-Request-Id"] = want["X-Request-Id"]
			c.AnswerWith(func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), sent)
				w.Header().Set("Content-Type", test.contentType)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			got := c.ask(asking("", test.members))
			maps.Copy(want, test.own)
			if got.header.Get("X-Request-Id") == sent.Get("X-Request-Id") {
				t.Error("the upstream's id of the request is in the place of ours")
			}
			for _, name := range []string{"Content-Length", "Date", "X-Request-Id"} {
				if got.header[name] != nil {
					want[name] = got.header[name]
				}
			}
			if diff := cmp.Diff(want, got.header); diff != "" || got.status != test.status {
				t.Errorf("status %d; the header (-want +got):\n%s", got.status, diff)
			}
		})
	}
}

func TestCase14AClientWithRateLimitsOfOursIsToldOfThoseAndNotOfTheUpstreams(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.RateLimit(world.Consumer, 50, 24*3600)}})
	c.AnswerWith(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ratelimit-Limit-Requests", "7")
		w.Header().Set("X-Ratelimit-Limit-Tokens", "7")
		c.Upstream.ServeHTTP(w, r)
	})
	header := c.ask(asking("", "")).expectOK(t).header
	if got := header.Get("X-Ratelimit-Limit-Requests"); got != "50" || header.Get("X-Ratelimit-Limit-Tokens") != "" {
		t.Errorf("the header is %v", header)
	}
}

func TestCase17TheModelsAreReadableByOpenAIsClientsAndOpenRouters(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	const model = `{"id":"mixtral-8x22b-instruct","object":"model","created":1713312000,"owned_by":"modelroute",` +
		`"canonical_slug":"mixtral-8x22b-instruct","name":"Mixtral 8x22B Instruct",` +
		`"description":"Mistral's official instruct fine-tune of Mixtral 8x22B.","context_length":65536,` +
		`"architecture":{"modality":"text->text","input_modalities":["text"],"output_modalities":["text"],"tokenizer":"Other","instruct_type":null},` +
		`"pricing":{"prompt":"0.000002","completion":"0.000006","request":"0","input_cache_read":"0.000002","input_cache_write":"0.000002"},` +
		`"top_provider":{"context_length":65536,"max_completion_tokens":16384,"is_moderated":false},"per_request_limits":null,` +
		`"supported_parameters":["max_tokens","response_format","stop","temperature","tool_choice","tools"],` +
		`"supported_endpoints":["/v1/chat/completions"],"default_parameters":null,` +
		`"supported_voices":null,"links":{"details":"/api/v1/models/mixtral-8x22b-instruct"}}`
	for path, want := range map[string]string{
		"/v1/models":                            `{"object":"list","data":[` + model + `],"total_count":1,"links":{"next":null}}`,
		"/api/v1/models?limit=10&offset=0":      `{"object":"list","data":[` + model + `],"total_count":1,"links":{"next":null}}`,
		"/v1/models/" + world.Model:             model,
		"/api/v1/models/" + world.Alias:         model,
		"/v1/models/mistralai%2f" + world.Model: model,
	} {
		t.Run(path, func(t *testing.T) {
			got := c.send(c.request(t.Context(), http.MethodGet, path, "")).expectOK(t)
			if diff := cmp.Diff(want, got.body); diff != "" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%v (-want +got):\n%s", got.header, diff)
			}
		})
	}
}

func TestCase17AKeyListsOnlyTheModelsThatItReaches(t *testing.T) {
	t.Parallel()
	const other = "mr-other-0123456789abcdef"
	c := begin(t, world.Setup{Edit: func(config *routeconfig.Config) {
		second := config.Routes[0]
		second.Name, second.Model.Name, second.Model.Aliases = "second", "second-model", nil
		second.Consumers = []routeconfig.Consumer{world.NewConsumer("other", other)}
		config.Routes = append(config.Routes, second)
	}})
	list := func(key string) string {
		c.key = key
		return c.send(c.request(t.Context(), http.MethodGet, "/v1/models", "")).expectOK(t).body
	}
	if mine := list(world.Key); !strings.Contains(mine, world.Model) || strings.Contains(mine, "second-model") {
		t.Errorf("the first key lists %s", mine)
	}
	if others := list(other); strings.Contains(others, world.Model) || !strings.Contains(others, "second-model") {
		t.Errorf("the other key lists %s", others)
	}
}

// page is the body of the model page's example, byte for byte.
const page = `{
    "model": "mixtral-8x22b-instruct",
    "messages": [
      { "role": "user", "content": "Explain quantum entanglement in one sentence." }
    ]
  }`

func TestTheModelPagesExampleWorksWithOnlyHostAndKeyChanged(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty(world.Consumer)}})
	for _, path := range []string{"/api/v1/chat/completions", "/v1/chat/completions"} {
		before := c.Mark()
		got := c.send(c.request(t.Context(), http.MethodPost, path, page)).expectOK(t)
		if !strings.Contains(got.body, `"object":"chat.completion"`) {
			t.Errorf("%s answers %s", path, got.body)
		}
		c.bookedAsBilled(t, before)
	}
}

func TestAPathThatIsNotKnownIsNoWayAroundABudget(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	for _, path := range []string{
		"/", "/v1", "/api/v1/key", "/api/v1/credits", "/api/v1/generation?id=gen-1", "/v1/embedding", "/v1/images/generations", "/billed",
		"/api/api/v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "/V1/chat/completions",
		"/v1/chat%2fcompletions/x",
	} {
		got := c.send(c.request(t.Context(), http.MethodPost, path, page))
		if got.status != http.StatusNotFound {
			t.Errorf("%s: status %d: %.200s", path, got.status, got.body)
		}
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
}
