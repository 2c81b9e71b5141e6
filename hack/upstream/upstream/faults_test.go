package upstream

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// faultCase is one way for a request to go wrong and what must come of it.
type faultCase struct {
	reason string
	fault  string
	plain  bool // not a stream
	check  func(t *testing.T, a answer)
	cost   costKind
}

// costKind says what the books must hold after a fault.
type costKind int

const (
	whole     costKind = iota // prompt and completion, at the model's price
	nothing                   // no record at all
	zero                      // a record of 0
	part0                     // some of the tokens
	withMore                  // more than the limit
	ownKey                    // the fee on top
	withRead                  // five tokens of the prompt at the price of a cache read
	withWrite                 // two of them written to the cache, beside
)

func TestFaults(t *testing.T) {
	covered := map[string]bool{}
	cases := maps.Clone(faultCases)
	maps.Copy(cases, streamFaultCases)
	for name, tc := range cases {
		for part := range strings.SplitSeq(tc.fault, ",") {
			faultName, _, _ := strings.Cut(part, "=")
			covered[faultName] = true
		}
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			members := `"seed":1,"stream":true`
			if tc.plain {
				members = `"seed":1`
			}
			a := w.chat(t, body("What is a teapot?", members, `"max_tokens":20`), FaultHeader, tc.fault)
			tc.check(t, a)
			tc.checkBooks(t, w)
		})
	}
	covered["reset"], covered["lost"] = true, true // TestResets
	for _, row := range faultTable {
		if !covered[row.name] {
			t.Errorf("fault %q has no case", row.name)
		}
	}
}

func (tc faultCase) checkBooks(t *testing.T, w world) {
	t.Helper()
	if tc.cost == nothing {
		if n := w.Billed(Filter{}).Count; n != 0 {
			t.Errorf("%s: %d requests were billed", tc.reason, n)
		}
		return
	}
	r := w.onlyRecord(t)
	price := int64(r.PromptTokens)*2000 + int64(r.CompletionTokens)*6000
	ok := map[costKind]bool{
		whole:     r.CostNanoUSD == price && r.CompletionTokens == 20,
		zero:      r.CostNanoUSD == 0 && r.FinishReason == "error",
		part0:     r.CostNanoUSD == price && r.CompletionTokens > 0 && r.CompletionTokens < 20,
		withMore:  r.CostNanoUSD == price && r.CompletionTokens == 25,
		withRead:  r.CostNanoUSD == price-5*1800 && r.CachedTokens == 5,
		withWrite: r.CostNanoUSD == price-5*1800+2*500 && r.CacheWriteTokens == 2,
		ownKey:    r.CostNanoUSD == price+price/20 && r.BYOKNanoUSD == price && r.IsBYOK,
	}
	if !ok[tc.cost] || r.Fault != tc.fault {
		t.Errorf("%s: booked %+v", tc.reason, r)
	}
}

func wantError(status int, kind string, code any) func(*testing.T, answer) {
	return func(t *testing.T, a answer) {
		t.Helper()
		p := a.problem(t)
		if a.status != status || p.Metadata.Type != kind || p.Code != code || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("got %d %s", a.status, a.raw)
		}
	}
}

var faultCases = map[string]faultCase{
	"Status":     {"a provider that is down", "status=503", false, wantError(503, "provider_overloaded", 503.0), nothing},
	"Status402":  {"our own key out of money", "status=402", true, wantError(402, "payment_required", 402.0), nothing},
	"StatusOdd":  {"a status of no meaning", "status=418", true, wantError(418, "unmapped", 418.0), nothing},
	"StringCode": {"a code that is a string", "status=500,string-code", true, wantError(500, "server", "server"), nothing},
	"RetryAfter": {"a hint when to come back", "status=429,retry-after=7", true, func(t *testing.T, a answer) {
		wantError(429, "rate_limit_exceeded", 429.0)(t, a)
		if a.header.Get("Retry-After") != "7" || a.header.Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("headers %v", a.header)
		}
	}, nothing},
	"Delay":      {"a slow provider answers in the end", "delay=1ms", true, wantWhole, whole},
	"DelayFails": {"slow, and then down", "delay=1ms,status=504", true, wantError(504, "timeout", 504.0), nothing},
	"Error200":   {"an error in a success", "error-200", false, wantError(200, "provider_unavailable", 502.0), nothing},
	"Error200Choice": {"an error in a choice of a success", "error-200=choice", true, func(t *testing.T, a answer) {
		c := a.completion(t)
		if *c.Choices[0].Finish != "error" || c.Choices[0].Error == nil || c.Error != nil || c.Usage != nil {
			t.Errorf("got %s", a.raw)
		}
	}, zero},
	"Answer": {"an answer of a given length, within the limit", "answer=3000", true, func(t *testing.T, a answer) {
		if c := a.completion(t); c.Usage.Completion != 20 || *c.Choices[0].Finish != "length" {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"Overrun": {"an upstream that lies about its limit", "overrun=5", true, func(t *testing.T, a answer) {
		if c := a.completion(t); c.Usage.Completion != 25 || CountTokens(c.text()) != 25 {
			t.Errorf("got %s", a.raw)
		}
	}, withMore},
	"JSON": {"a stream refused", "json", false, wantWhole, whole},
	"MissingUsagePlain": {"no usage in JSON", "missing-usage", true, func(t *testing.T, a answer) {
		if strings.Contains(string(a.raw), "usage") {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"NoCost": {"usage of a plain OpenAI upstream", "no-cost", true, func(t *testing.T, a answer) {
		u := a.completion(t).Usage
		if u.Cost != "" || u.BYOK != nil || u.Details != nil || u.Completion != 20 {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"BYOK": {"the caller's own provider key", "byok", true, func(t *testing.T, a answer) {
		u := a.completion(t).Usage
		price := int64(u.Prompt)*2000 + int64(u.Completion)*6000
		if !*u.BYOK || exactNano(t, u.Cost) != price/20 || exactNano(t, u.Details.Inference) != price {
			t.Errorf("got %s", a.raw)
		}
	}, ownKey},
	"Exponent": {"a cost in scientific notation", "exponent", true, func(t *testing.T, a answer) {
		if u := a.completion(t).Usage; !strings.HasSuffix(u.Cost.String(), "e-9") {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"Cached": {"a prompt that is known", "cached=5", true, func(t *testing.T, a answer) {
		if d := a.completion(t).Usage.PromptDetails; d.Cached != 5 || d.Written != 0 {
			t.Errorf("got %s", a.raw)
		}
	}, withRead},
	"CacheWrite": {"a prompt that is known in part, the rest to be kept", "cached=5,cache-write=2", true, func(t *testing.T, a answer) {
		if d := a.completion(t).Usage.PromptDetails; d.Cached != 5 || d.Written != 2 {
			t.Errorf("got %s", a.raw)
		}
	}, withWrite},
	"Cancellable": {"nothing is cut, so nothing is cancelled", "cancellable", true, wantWhole, whole},
}

// wantWhole is an ordinary answer of 20 tokens without a stream.
func wantWhole(t *testing.T, a answer) {
	t.Helper()
	if c := a.completion(t); c.Usage.Completion != 20 || *c.Choices[0].Finish != "length" {
		t.Errorf("got %s", a.raw)
	}
}

// wantStream is an ordinary stream of 20 tokens, whatever its framing.
func wantStream(t *testing.T, a answer) events {
	t.Helper()
	e := a.events(t)
	u := e.usages()
	if a.err != nil || !e.done || len(u) == 0 || u[len(u)-1].Completion != 20 || CountTokens(e.text(0)) != 20 {
		t.Errorf("%v after %s", a.err, a.raw)
	}
	return e
}

// cutAfter is a stream that broke after so many data events.
func cutAfter(n int) func(*testing.T, answer) {
	return func(t *testing.T, a answer) {
		t.Helper()
		e := a.events(t)
		if !errors.Is(a.err, io.ErrUnexpectedEOF) || e.done || len(e.chunks) != n {
			t.Errorf("%d events, then %v", len(e.chunks), a.err)
		}
	}
}

var streamFaultCases = map[string]faultCase{
	"Cut":            {"a broken connection", "cut=6", false, cutAfter(6), whole},
	"CutAtOnce":      {"broken after the headers", "cut=0", false, cutAfter(0), whole},
	"CutBeforeUsage": {"broken before the usage", "cut=22", false, cutAfter(22), whole},
	"CutBeforeDone":  {"broken after the usage", "cut=23", false, cutAfter(23), whole},
	"CutCancellable": {"a broken connection stops a provider that can be", "cut=6,cancellable", false, cutAfter(6), part0},
	"CutNever":       {"longer than the stream", "cut=500", false, func(t *testing.T, a answer) { wantStream(t, a) }, whole},
	"ErrorChunk": {"a failure in the middle", "error-chunk=3", false, func(t *testing.T, a answer) {
		e := a.events(t)
		last := e.chunks[len(e.chunks)-1]
		if a.err != nil || e.done || len(e.chunks) != 4 || last.Error == nil || last.Error.Code != 502.0 ||
			*last.Choices[0].Finish != "error" || last.Error.Metadata.Provider != "Mistral" {
			t.Errorf("got %s", a.raw)
		}
	}, zero},
	"ErrorFirst": {"a failure at once, without choices, its code a string", "error-chunk=0,empty-choices,string-code", false,
		func(t *testing.T, a answer) {
			e := a.events(t)
			if len(e.chunks) != 1 || len(e.chunks[0].Choices) != 0 || e.chunks[0].Error.Code != "provider_unavailable" {
				t.Errorf("got %s", a.raw)
			}
		}, zero},
	"MissingUsage": {"no usage in a stream", "missing-usage", false, func(t *testing.T, a answer) {
		if e := a.events(t); !e.done || len(e.usages()) != 0 || CountTokens(e.text(0)) != 20 {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"UsageFirst": {"a preview that is not the end", "usage=first", false, func(t *testing.T, a answer) {
		e := wantStream(t, a)
		if u := e.usages(); len(u) != 2 || e.chunks[0].Usage == nil || len(e.chunks[0].Choices) != 0 || u[0].Completion != 0 {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"UsageEvery": {"cumulative usage", "usage=every", false, func(t *testing.T, a answer) {
		u := wantStream(t, a).usages()
		if len(u) != 23 || u[0].Completion != 0 || u[3].Completion != 3 || u[21].Completion != 20 {
			t.Errorf("got %+v", u)
		}
	}, whole},
	"UsageWithChoices": {"the usage beside an empty choice", "usage=with-choices", false, func(t *testing.T, a answer) {
		e := wantStream(t, a)
		if last := e.chunks[len(e.chunks)-1]; last.Usage == nil || len(last.Choices) != 1 || last.Choices[0].Finish != nil {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"UsageNullOthers": {"null until the last", "usage=null-others", false, func(t *testing.T, a answer) {
		e := wantStream(t, a)
		if strings.Count(string(a.raw), `"usage":null`) != len(e.chunks)-1 {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"FirstByteDelay": {"slow after the headers", "first-byte-delay=1ms", false, func(t *testing.T, a answer) { wantStream(t, a) }, whole},
	"ChunkDelay":     {"slow all the way", "chunk-delay=1ms", false, func(t *testing.T, a answer) { wantStream(t, a) }, whole},
	"Big": {"an event of a megabyte", "big=1048576", false, func(t *testing.T, a answer) {
		if e := wantStream(t, a); len(e.payloads[0]) < 1<<20 || len(e.payloads[1]) > 1<<12 {
			t.Errorf("the first events have %d and %d bytes", len(e.payloads[0]), len(e.payloads[1]))
		}
	}, whole},
	"NoDone": {"a clean end without [DONE]", "no-done", false, func(t *testing.T, a answer) {
		if e := a.events(t); a.err != nil || e.done || len(e.usages()) != 1 {
			t.Errorf("%v after %s", a.err, a.raw)
		}
	}, whole},
	"NoNewline": {"the last line is not ended", "no-trailing-newline", false, func(t *testing.T, a answer) {
		wantStream(t, a)
		if !strings.HasSuffix(string(a.raw), "\ndata: [DONE]") {
			t.Errorf("got %q", a.raw[len(a.raw)-30:])
		}
	}, whole},
	"RetryLines": {"fields that are no data", "retry-lines", false, func(t *testing.T, a answer) {
		if e := wantStream(t, a); strings.Count(string(a.raw), "\nretry: 3000\n\n") != len(e.chunks)+1 {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"CRLF": {"the other line end", "crlf", false, func(t *testing.T, a answer) {
		wantStream(t, a)
		if strings.Count(string(a.raw), "\n") != strings.Count(string(a.raw), "\r\n") {
			t.Errorf("got %q", a.raw)
		}
	}, whole},
	"CR": {"the line end of another age", "cr", false, func(t *testing.T, a answer) {
		wantStream(t, a)
		if strings.Contains(string(a.raw), "\n") || !strings.HasSuffix(string(a.raw), "\rdata: [DONE]\r\r") {
			t.Errorf("got %q", a.raw)
		}
	}, whole},
	"MultiLine": {"an event on several lines", "multi-line", false, func(t *testing.T, a answer) {
		if e := wantStream(t, a); strings.Count(string(a.raw), "\ndata: ") < 5*len(e.chunks) {
			t.Errorf("got %s", a.raw)
		}
	}, whole},
	"Split": {"torn characters", "split", false, func(t *testing.T, a answer) {
		if text := wantStream(t, a).text(0); !strings.HasPrefix(text, "∀ naïve 🙂") {
			t.Errorf("got %q", text)
		}
	}, whole},
}

func TestResets(t *testing.T) {
	for fault, billed := range map[string]int64{"reset": 0, "lost": 1} {
		for _, secured := range []bool{false, true} {
			w := start(t, Options{})
			if secured {
				w = startTLS(t, w.Server)
			}
			r := w.request(t, http.MethodPost, "/v1/chat/completions", body("What is a teapot?"), FaultHeader, fault)
			res, err := w.client().Do(r)
			if err == nil {
				_ = res.Body.Close()
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s (TLS %v): got %v, want the connection to be reset", fault, secured, err)
			}
			if n := w.Billed(Filter{}).Count; n != billed {
				t.Errorf("%s: %d requests billed, want %d", fault, n, billed)
			}
		}
	}
}

func TestFaultsAreChosenInThreeWays(t *testing.T) {
	w := start(t, Options{})
	cases := map[string]answer{
		"header": w.chat(t, body("a"), FaultHeader, "status=503"),
		"user":   w.chat(t, body("a", `"user":"fault:status=503"`)),
		"marker": w.chat(t, body("a [[fault: status=503]] b")),
		"all":    w.chat(t, body("a [[fault: retry-after=9]] b", `"user":"fault:string-code"`), FaultHeader, "status=503"),
	}
	for name, a := range cases {
		if a.status != 503 {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
	if all := cases["all"]; all.header.Get("Retry-After") != "9" || all.problem(t).Code != "provider_overloaded" {
		t.Errorf("faults of three ways do not add up: %v %s", all.header, all.raw)
	}
	const turns = `{"role":"user","content":"[[fault: status=503]]"},{"role":"user","content":"a"}`
	if old := w.chat(t, `{`+asMixtral+`,"messages":[`+turns+`]}`); old.status != 200 {
		t.Errorf("a marker of an earlier turn still counts: %d", old.status)
	}
	exact := w.chat(t, body("What is a teapot? [[fault: answer=30, split]]")).completion(t)
	if n := CountTokens(exact.text()); n != 30 || exact.Usage.Completion != 30 {
		t.Errorf("an answer of 30 tokens has %d and is billed %d", n, exact.Usage.Completion)
	}
	format := w.chat(t, body("What is a teapot? [[fault: split]]", `"response_format":{"type":"json_object"}`)).completion(t).text()
	if !json.Valid([]byte(format)) {
		t.Errorf("the fault breaks the format: %q", format)
	}
	text := w.chat(t, body("What is a teapot? [[fault: answer=30]]", `"seed":1`)).completion(t).text()
	if strings.Contains(text, "fault") || !strings.Contains(text, "teapot") {
		t.Errorf("the answer speaks of the marker: %q", text)
	}
}

func TestFaultsThatAreWrong(t *testing.T) {
	for _, text := range []string{
		"nothing", "status", "status=99", "status=x", "delay=fast", "delay=-1s", "usage=odd", "usage", "reset=1", "cut=-1", "big=0",
		"retry-after=1", "string-code", "empty-choices", "empty-choices,status=500", "cr,crlf",
	} {
		if _, err := parseFaults(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestReadmeHasTheTable keeps the README's table and the program's the same.
func TestReadmeHasTheTable(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, f := range faultTable {
		if !strings.Contains(string(readme), f.markdown()+"\n") {
			t.Errorf("the README lacks this row:\n%s", f.markdown())
		}
		rows++
	}
	if got := strings.Count(string(readme), "\n| `"); got != rows {
		t.Errorf("the README has %d rows of faults, the program %d", got, rows)
	}
}

func (f fault) markdown() string {
	name := f.name
	switch {
	case f.anyText:
		name += strings.Replace(f.value, "[", "[=", 1)
	case f.value != "":
		name += "=" + f.value
	}
	return "| `" + name + "` | " + f.effect + " | " + f.bills + " |"
}
