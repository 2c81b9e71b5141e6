package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// An operation is one beside the chat, with what a test has to know to speak it and to stand in for its upstream.
type operation struct {
	path string
	// ask is a short request with this text and further members, which begin with a comma.
	ask func(text, members string) string
	// answer is a whole answer with a usage, usage one of so many tokens, of which some were read from a cache and written to one.
	answer func(usage string) string
	usage  func(prompt, read, written, completion int, more string) string
	// begin and text are events of a stream; end are those with its usage.
	begin, text string
	end         func(usage string) string
	// failed is an event that ends a stream with an error, of our own account there if ours is true.
	failed func(ours bool) string
	// last names the event that ends a stream well.
	last string
}

var messages = operation{
	path: "/v1/messages",
	ask: func(text, members string) string {
		return fmt.Sprintf(`{"model":%q,"max_tokens":200,"messages":[{"role":"user","content":%q}]%s}`, world.Model, text, members)
	},
	answer: func(usage string) string {
		return `{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":` + usage + `}`
	},
	usage: func(prompt, read, written, completion int, more string) string {
		return fmt.Sprintf(`{"input_tokens":%d,"cache_read_input_tokens":%d,"cache_creation_input_tokens":%d,"output_tokens":%d%s}`,
			prompt-read-written, read, written, completion, more)
	},
	begin: named(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}`),
	text: named(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`) +
		named(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}`),
	end: func(usage string) string {
		return named(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":`+usage+`}`) + named(`{"type":"message_stop"}`)
	},
	failed: func(ours bool) string {
		kind := "overloaded_error"
		if ours {
			kind = "billing_error"
		}
		return named(`{"type":"error","error":{"type":"` + kind + `","message":"Not now."}}`)
	},
	last: "message_stop",
}

var responses = operation{
	path: "/v1/responses",
	ask: func(text, members string) string {
		return fmt.Sprintf(`{"model":%q,"max_output_tokens":200,"input":%q%s}`, world.Model, text, members)
	},
	answer: responseOf,
	usage: func(prompt, read, written, completion int, more string) string {
		return fmt.Sprintf(`{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},"output_tokens":%d,"total_tokens":%d%s}`,
			prompt, read, written, completion, prompt+completion, more)
	},
	begin: named(`{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[],"usage":null}}`) +
		named(`{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[],"usage":null}}`),
	text: named(`{"type":"response.output_text.delta","sequence_number":2,"output_index":0,"delta":"hello"}`),
	end: func(usage string) string {
		return named(`{"type":"response.completed","sequence_number":3,"response":` + responseOf(usage) + `}`)
	},
	failed: func(ours bool) string {
		code := "server_error"
		if ours {
			code = "insufficient_quota"
		}
		return named(`{"type":"response.failed","sequence_number":3,"response":{"id":"resp_1","object":"response","status":"failed",` +
			`"error":{"code":"` + code + `","message":"Not now."},"output":[],"usage":null}}`)
	},
	last: "response.completed",
}

func responseOf(usage string) string {
	return `{"id":"resp_1","object":"response","status":"completed","error":null,"output":[{"id":"msg_1","type":"message","status":"completed",` +
		`"role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}],"usage":` + usage + `}`
}

// both are the operations that have events with names.
var both = map[string]operation{"messages": messages, "responses": responses}

// named is an event that is named after its type.
func named(data string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(data, `{"type":"`), `"`)
	return "event: " + name + "\ndata: " + data + "\n\n"
}

// speaking lets the route's upstream have the operations too, and changes the configuration further.
func speaking(edits ...func(*routeconfig.Config)) func(*routeconfig.Config) {
	return func(config *routeconfig.Config) {
		config.Routes[0].Upstreams[0].Endpoints = []routeconfig.Endpoint{
			routeconfig.ChatCompletions, routeconfig.Responses, routeconfig.Messages,
		}
		for _, edit := range edits {
			edit(config)
		}
	}
}

func (c *client) speak(o operation, body string) reply {
	c.t.Helper()
	return c.send(c.request(c.t.Context(), http.MethodPost, o.path, body))
}

// names are those of a stream's events.
func (r reply) names() (names []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(r.body, "\r", "\n"), "\n") {
		if name, found := strings.CutPrefix(line, "event: "); found {
			names = append(names, name)
		}
	}
	return names
}

func (r reply) lastName() string {
	names := r.names()
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

const question = "Explain quantum entanglement."

func faulty(fault string) string { return question + " [[fault:" + fault + "]]" }

func TestTheOtherOperationsAreServedAndBilled(t *testing.T) {
	t.Parallel()
	for name, o := range both {
		c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
		for how, test := range map[string]struct{ fault, members, last string }{
			"plain":                            {"answer=20", "", ""},
			"streamed":                         {"answer=20", streamed, o.last},
			"at a base URL of OpenRouter's":    {"answer=20", "", ""},
			"streamed with lines of CR LF":     {"answer=20,crlf", streamed, o.last},
			"streamed with lines of CR":        {"answer=20,cr", streamed, o.last},
			"streamed and torn to bytes":       {"answer=20,split", streamed, o.last},
			"streamed on several lines":        {"answer=20,multi-line", streamed, o.last},
			"with the reason of its end only":  {"answer=20,no-trailing-newline", streamed, o.last},
			"from a cache":                     {"answer=20,cached=10,cache-write=5", "", ""},
			"from a cache, streamed":           {"answer=20,cached=10,cache-write=5", streamed, o.last},
			"with the prompt at the begin":     {"answer=20,usage=first", streamed, o.last},
			"with a key of one's own":          {"answer=20,byok", streamed, o.last},
			"as JSON to a request of a stream": {"answer=20,json", streamed, o.last},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				before, at := c.Mark(), o
				if strings.HasPrefix(how, "at a base URL") {
					at.path = "/api" + o.path
				}
				got := c.speak(at, o.ask(faulty(test.fault), test.members)).expectOK(t)
				if got.lastName() != test.last || !strings.Contains(got.body, "tokens") {
					t.Errorf("the answer ends with %q, or has no usage: %s", got.lastName(), got.body)
				}
				c.bookedAsBilled(t, before)
			})
		}
	}
}

func TestWhatTheOtherOperationsCostFollowsFromTheirUsage(t *testing.T) {
	t.Parallel()
	const read, written = 200, 2_500 // nano-USD
	for name, o := range both {
		for provider, more := range map[routeconfig.Provider]string{routeconfig.OpenAICompatible: "", routeconfig.OpenRouter: `,"cost":0.00012345`} {
			c := begin(t, world.Setup{Edit: speaking(func(config *routeconfig.Config) {
				by(provider)(config)
				pricing := &config.Routes[0].Upstreams[0].Pricing
				pricing.CachedPromptPicoUSD, pricing.CacheWritePicoUSD = new(int64(read*1000)), new(int64(written*1000))
			}), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
			want := int64(30*world.PromptNano + 50*read + 20*written + 10*world.CompletionNano)
			if more != "" {
				want = 123_450
			}
			usage := o.usage(100, 50, 20, 10, more)
			for how, with := range map[string]struct {
				members string
				answer  http.HandlerFunc
			}{
				"plain":             {"", answer(o.answer(usage))},
				"streamed":          {streamed, events(o.begin, o.text, o.end(usage))},
				"JSON for a stream": {streamed, answer(o.answer(usage))},
				"a stray [DONE]":    {streamed, events(o.begin, o.text, o.end(usage), done)},
			} {
				t.Run(name+" at "+string(provider)+", "+how, func(t *testing.T) {
					before := c.Mark()
					c.AnswerWith(with.answer)
					got := c.speak(o, o.ask(question, with.members)).expectOK(t)
					if with.members != "" && got.lastName() != o.last || strings.Contains(got.body, "[DONE]") {
						t.Errorf("the stream ends otherwise: %s", got.body)
					}
					c.booked(t, before, world.Spend{Settled: want})
				})
			}
		}
	}
}

func TestTheOtherOperationsFailWithAStatusUntilSomethingIsSaid(t *testing.T) {
	t.Parallel()
	for name, o := range both {
		c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
		for how, test := range map[string]struct {
			fault, members string
			with           http.HandlerFunc
			status         int
			books          string
		}{
			"an error with a status":           {"status=503", streamed, nil, 503, free},
			"a bad request":                    {"status=400", "", nil, 400, free},
			"an error alone":                   {"error-chunk=0", streamed, nil, 502, free},
			"an error within a good answer":    {"error-200", "", nil, 502, free},
			"the same to a stream":             {"error-200", streamed, nil, 502, free},
			"an error where the answer begins": {"", streamed, events(o.begin, strings.Replace(o.failed(false), "overloaded_error", "api_error", 1)), 502, free},
			"our own account is empty":         {"", streamed, events(o.begin, o.failed(true)), 502, free},
			"our own key is refused":           {"status=401", "", nil, 502, free},
			"an end where the answer begins":   {"", streamed, events(o.begin), 502, uncertain},
			"an end before the first event":    {"cut=0", streamed, nil, 502, uncertain},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				before := c.Mark()
				c.AnswerWith(test.with)
				text := question
				if test.fault != "" {
					text = faulty(test.fault)
				}
				got := c.speak(o, o.ask(text, test.members))
				o.expectFailure(t, got, test.status)
				if strings.Contains(got.body, world.UpstreamKey) || strings.HasPrefix(how, "our own") && got.header.Get("X-Should-Retry") != "false" {
					t.Errorf("what is wrong with our key is shown as the client's fault: %v %s", got.header, got.body)
				}
				c.bookedAs(t, test.books, before)
			})
		}
	}
}

// expectFailure checks the status of an error, and that it is in the shape that the operation's clients read.
func (o operation) expectFailure(t *testing.T, got reply, status int) {
	t.Helper()
	var shape struct {
		Type  string
		Error struct{ Type, Message string }
	}
	err := json.Unmarshal([]byte(got.body), &shape)
	if wants := o.path == messages.path; err != nil || got.status != status || (shape.Type == "error") != wants || shape.Error.Type == "" || shape.Error.Message == "" {
		t.Errorf("status %d, want %d, with an error in the shape of %s: %s", got.status, status, o.path, got.body)
	}
}

func TestTheOtherOperationsFailWithAnEventOnceSomethingWasSaid(t *testing.T) {
	t.Parallel()
	for name, o := range both {
		c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
		usage := o.usage(10, 0, 0, 5, `,"cost":0.00005`)
		for how, test := range map[string]struct {
			pieces []string
			// says is in the last event.
			says  string
			books string
		}{
			"an error":                 {[]string{o.begin, o.text, o.failed(false)}, "Not now.", uncertain},
			"our account is empty":     {[]string{o.begin, o.text, o.failed(true)}, "upstream_payment_required", uncertain},
			"the connection breaks":    {[]string{o.begin, o.text}, "upstream_disconnected", uncertain},
			"an event is cut":          {[]string{o.begin, o.text, "event: x\ndata: {\"ty"}, "upstream_disconnected", uncertain},
			"it ends as a chat would":  {[]string{o.begin, o.text, done}, "upstream_disconnected", uncertain},
			"the end is without usage": {[]string{o.begin, o.text, strings.Replace(o.end(`null`), `"usage":null`, `"x":0`, 1)}, o.last, uncertain},
			"it ends well":             {[]string{o.begin, o.text, o.end(usage)}, o.last, "50000"},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				before := c.Mark()
				c.AnswerWith(events(test.pieces...))
				got := c.speak(o, o.ask(question, streamed)).expectOK(t)
				_, end, _ := strings.Cut(got.body, "hello")
				if !strings.Contains(end, test.says) || strings.Contains(got.body, "[DONE]") {
					t.Errorf("the end of the stream does not say %q: %s", test.says, got.body)
				}
				if test.books == "50000" {
					c.booked(t, before, world.Spend{Settled: 50_000})
				} else {
					c.bookedAs(t, test.books, before)
				}
			})
		}
	}
}

func TestAStreamThatOnlyBeganIsServedByAnotherUpstream(t *testing.T) {
	t.Parallel()
	for name, o := range both {
		t.Run(name, func(t *testing.T) {
			c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}, Edit: speaking(func(config *routeconfig.Config) {
				upstreams := &config.Routes[0].Upstreams
				second := (*upstreams)[0]
				second.Name = "second"
				config.Routes[0].MaxAttempts = 2
				*upstreams = append(*upstreams, second)
			})})
			first, usage := true, o.usage(10, 0, 0, 5, `,"cost":0.00005`)
			c.AnswerWith(func(w http.ResponseWriter, r *http.Request) {
				if first {
					first = false
					events(o.begin, o.failed(false))(w, r)
					return
				}
				events(o.begin, o.text, o.end(usage))(w, r)
			})
			got := c.speak(o, o.ask(question, streamed)).expectOK(t)
			if got.body != o.begin+o.text+o.end(usage) {
				t.Errorf("the client gets %s", got.body)
			}
			c.booked(t, world.Mark{}, world.Spend{Settled: 50_000})
		})
	}
}

func TestAClientOfTheOtherOperationsThatLeavesIsSettledOnce(t *testing.T) {
	t.Parallel()
	for name, o := range both {
		for when, until := range map[string]string{"where the answer begins": "event: ", "in the middle": "delta"} {
			t.Run(name+", "+when, func(t *testing.T) {
				c := begin(t, world.Setup{Edit: speaking(), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
				c.hangUp(o, until)
				c.bookedAsBilled(t, world.Mark{})
				if settlements := c.Settlements(); settlements != 1 {
					t.Errorf("the ledger has %d settlements", settlements)
				}
			})
		}
	}
}

// hangUp leaves a stream after a line that has the text.
func (c *client) hangUp(o operation, until string) {
	c.t.Helper()
	ctx, leave := context.WithCancel(c.t.Context())
	defer leave()
	response, err := c.Client.Do(c.request(ctx, http.MethodPost, o.path, o.ask(faulty("answer=20,chunk-delay=5ms"), streamed)))
	c.must(err)
	defer func() { _ = response.Body.Close() }()
	for lines, line := bufio.NewReader(response.Body), ""; !strings.Contains(line, until); {
		line, err = lines.ReadString('\n')
		c.must(err)
	}
}
