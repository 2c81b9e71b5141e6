package upstream

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// frame is one event of a stream with its name.
type frame struct{ name, data string }

// frames reads a stream by the rules of server-sent events, to its last event, even if its line is not ended.
func (a answer) frames(t *testing.T) []frame {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type %q with %s", got, a.raw)
	}
	var out []frame
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(a.raw))
	for eventText := range strings.SplitSeq(text, "\n\n") {
		var f frame
		var data []string
		for line := range strings.SplitSeq(eventText, "\n") {
			if name, ok := strings.CutPrefix(line, "event: "); ok {
				f.name = name
			}
			if payload, ok := strings.CutPrefix(line, "data: "); ok {
				data = append(data, payload)
			}
		}
		if f.data = strings.Join(data, "\n"); f.data != "" {
			out = append(out, f)
		}
	}
	return out
}

// sister is an endpoint that makes text, beside chat completions.
type sister struct {
	path string
	body string // one that asks for twenty tokens about teapots, without its last brace
	last string // the name of a stream's last event, or its data
}

var sisters = map[Endpoint]sister{
	Completions: {"/v1/completions", `{` + asMixtral + `,"seed":1,"prompt":"What is a teapot?","max_tokens":20`, "[DONE]"},
	Responses:   {"/v1/responses", `{` + asMixtral + `,"seed":1,"input":"What is a teapot?","max_output_tokens":20`, "response.incomplete"},
	Messages: {
		"/v1/messages", `{` + asMixtral + `,"seed":1,"messages":[{"role":"user","content":"What is a teapot?"}],"max_tokens":20`, "message_stop",
	},
}

// TestFaultsAreBilledAlikeEverywhere runs the cases of chat completions at the other endpoints and compares the books.
func TestFaultsAreBilledAlikeEverywhere(t *testing.T) {
	cases := maps.Clone(faultCases)
	maps.Copy(cases, streamFaultCases)
	for endpoint, s := range sisters {
		for name, tc := range cases {
			t.Run(string(endpoint)+"/"+name, func(t *testing.T) {
				w := start(t, Options{})
				text := s.body + `}`
				if !tc.plain {
					text = s.body + `,"stream":true}`
				}
				a := w.do(t, http.MethodPost, s.path, text, append(versioned, FaultHeader, tc.fault)...)
				if a.err == nil && !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") && !json.Valid(a.raw) {
					t.Errorf("%s: %d %s", tc.reason, a.status, a.raw)
				}
				tc.checkBooks(t, w)
			})
		}
	}
}

func TestStreamsKeepToTheirFraming(t *testing.T) {
	for endpoint, s := range sisters {
		w := start(t, Options{})
		read := func(fault string) []frame {
			a := w.do(t, http.MethodPost, s.path, s.body+`,"stream":true}`, append(versioned, FaultHeader, fault)...)
			if a.err != nil {
				t.Errorf("%s, %s: %v", endpoint, fault, a.err)
			}
			return a.frames(t)
		}
		whole := read("retry-lines")
		for _, fault := range []string{"crlf", "cr", "multi-line", "split", "big=100000", "no-trailing-newline", "usage=first", "usage=every"} {
			frames := read(fault)
			last := frames[len(frames)-1]
			if last.name != s.last && last.data != s.last {
				t.Errorf("%s, %s: ends with %+v, want %s", endpoint, fault, last, s.last)
			}
			for _, f := range frames {
				if f.data != "[DONE]" && (!json.Valid([]byte(f.data)) || decode[struct{ Type string }](t, []byte(f.data)).Type != f.name) {
					t.Errorf("%s, %s: an event is not what it is named: %+v", endpoint, fault, f)
				}
			}
		}
		if first := read("big=100000")[0].data; len(first) < 100_000 {
			t.Errorf("%s: the first event has %d bytes", endpoint, len(first))
		}
		if open := read("no-done"); len(open) != len(whole)-1 || slices.ContainsFunc(open, func(f frame) bool { return f.name == s.last || f.data == s.last }) {
			t.Errorf("%s: without its end a stream has %d of %d events", endpoint, len(open), len(whole))
		}
		if silent := read("missing-usage"); slices.ContainsFunc(silent, func(f frame) bool { return strings.Contains(f.data, "_tokens\":1") }) {
			t.Errorf("%s: usage is not missing: %v", endpoint, silent)
		}
	}
}

func TestHangingUpIsBilledAlikeEverywhere(t *testing.T) {
	for endpoint, s := range sisters {
		for fault, whole := range map[string]bool{"answer=20,chunk-delay=5ms": true, "cancellable,answer=20,chunk-delay=5ms": false} {
			w := start(t, Options{})
			r := w.request(t, http.MethodPost, s.path, s.body+`,"stream":true}`, append(versioned, FaultHeader, fault)...)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			readEvents(t, res.Body, 8)
			_ = res.Body.Close()
			b := w.onlyRecord(t)
			if (b.CompletionTokens == 20) != whole || !b.Cancelled || b.CostNanoUSD != int64(b.PromptTokens)*2000+int64(b.CompletionTokens)*6000 {
				t.Errorf("%s, %s: booked %+v", endpoint, fault, b)
			}
		}
	}
}

func TestEveryEndpointIsInTheBooksAndCanBeLookedUp(t *testing.T) {
	w := start(t, Options{GenerationDelay: -1})
	all := maps.Clone(sisters)
	all[ChatCompletions] = sister{"/v1/chat/completions", `{` + asMixtral + `,"messages":[{"role":"user","content":"a"}]`, ""}
	all[Embeddings] = sister{"/v1/embeddings", `{"model":"` + embedder + `","input":"a"`, ""}
	for endpoint, s := range all {
		before := w.Billed(Filter{}).Count
		a := w.do(t, http.MethodPost, s.path, s.body+`}`, append(versioned, TagHeader, string(endpoint))...)
		id := a.header.Get("X-Generation-Id")
		records := w.Billed(Filter{Tag: string(endpoint)}).Requests
		if a.status != 200 || len(records) != 1 || records[0].ID != id || records[0].Endpoint != endpoint || w.Billed(Filter{}).Count != before+1 {
			t.Fatalf("%s: %d %s, booked %+v", endpoint, a.status, a.raw, records)
		}
		got := decode[struct {
			Data struct {
				Total json.Number `json:"total_cost"`
			}
		}](t, w.get(t, "/v1/generation?id="+id).raw)
		if exactNano(t, got.Data.Total) != records[0].CostNanoUSD || records[0].CostNanoUSD == 0 {
			t.Errorf("%s: looked up as %s, booked %+v", endpoint, got.Data.Total, records[0])
		}
		if refused := w.do(t, http.MethodPost, s.path, s.body+`}`, append(versioned, "Authorization", "Bearer nobody")...); refused.status != 401 {
			t.Errorf("%s: a key that is none is answered with %d", endpoint, refused.status)
		}
	}
}
