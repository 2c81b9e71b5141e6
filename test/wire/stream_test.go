package wire

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/test/world"
)

// bytewise cuts a text into single bytes, each of which is a write of its own.
func bytewise(text string) []string {
	pieces := make([]string, 0, len(text))
	for i := range len(text) {
		pieces = append(pieces, text[i:i+1])
	}
	return pieces
}

func TestCase05EveryFramingOfAStreamIsReadAndMetered(t *testing.T) {
	t.Parallel()
	const want = "héllo 🙂"
	whole := delta("hé") + delta("llo 🙂") + last + usageEvent(usage(3, 2, "0.000018")) + done
	comments := ": OPENROUTER PROCESSING\n\n"
	crlf := strings.ReplaceAll(whole, "\n", "\r\n")
	cases := map[string][]string{
		"as it should be":                     {whole},
		"comments before, between and behind": {comments, comments + delta("hé"), ":\n\n", delta("llo 🙂") + comments + last, comments, usageEvent(usage(3, 2, "0.000018")), comments + done + comments},
		"a comment in the block of an event":  {strings.ReplaceAll(whole, "data: {", ": x\ndata: {")},
		"retry blocks":                        {"retry: 100\n\n" + strings.ReplaceAll(whole, "\n\n", "\n\nretry: 100\n\n")},
		"names and ids of events":             {strings.ReplaceAll(whole, "data: {", "event: message\nid: 7\ndata: {")},
		"CR LF":                               {crlf},
		"CR LF torn apart":                    bytewise(crlf),
		"CR alone":                            {strings.ReplaceAll(whole, "\n", "\r")},
		"CR alone, torn apart":                bytewise(strings.ReplaceAll(whole, "\n", "\r")),
		"torn within data: and characters":    bytewise(whole),
		"all in one write":                    {comments + whole},
		"no space behind the colon":           {strings.ReplaceAll(whole, "data: ", "data:")},
		"several data lines":                  {strings.ReplaceAll(whole, `,"delta"`, ",\ndata: \"delta\"")},
		"a byte order mark":                   {"\ufeff" + whole},
		"stray blank lines":                   {"\n\n\n" + strings.ReplaceAll(whole, "\n\n", "\n\n\n\n")},
		"no newline at the end":               {strings.TrimSuffix(whole, "\n\n")},
		"one newline at the end":              {strings.TrimSuffix(whole, "\n")},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, pieces := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			c.AnswerWith(events(pieces...))
			got := c.ask(asking("", streamed)).expectOK(t)
			if text, ended := sdkText(t, got.body); text != want || !ended {
				t.Errorf("a client reads %q, ended %t, of %q", text, ended, got.body)
			}
			if strings.Contains(got.body, "OPENROUTER") || strings.Contains(got.body, "retry:") {
				t.Errorf("a block without data comes through, which some clients stumble over: %q", got.body)
			}
			c.booked(t, before, world.Spend{Settled: 18_000})
		})
	}
}

// sdkText reads a stream by the rules for server-sent events, as SDKs do, and joins what it says.
func sdkText(t *testing.T, body string) (text string, ended bool) {
	t.Helper()
	body = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(body, "\ufeff"))
	var chunks []string
	for block := range strings.SplitSeq(body, "\n\n") {
		var data []string
		for line := range strings.SplitSeq(block, "\n") {
			if value, found := strings.CutPrefix(line, "data:"); found {
				data = append(data, strings.TrimPrefix(value, " "))
			}
		}
		if len(data) > 0 {
			chunks = append(chunks, "data: "+strings.ReplaceAll(strings.Join(data, "\n"), "\n", " "))
		}
	}
	parsed, ended := reply{body: strings.Join(chunks, "\n\n") + "\n\n"}.chunks(t)
	return textOf(parsed), ended
}

func TestCase05AnEventOfAMebibyteComesThroughWhole(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	large := delta(strings.Repeat("0123456789abcdef", 1<<16))
	want := large + last + done
	c.AnswerWith(events(large[:1000], large[1000:1<<19], large[1<<19:]+last, usageEvent(usage(3, 2, "0.000018"))+done))
	if got := c.ask(asking("", streamed)).expectOK(t); got.body != want {
		t.Errorf("%d bytes came, want the %d that were sent", len(got.body), len(want))
	}
	c.booked(t, world.Mark{}, world.Spend{Settled: 18_000})
}

func TestCase06TheLastUsageCountsWhereverItStands(t *testing.T) {
	t.Parallel()
	// The bill is 20 tokens and 30; whatever is said before that is a preview or a running count.
	bill := usage(20, 30, "0.00022")
	withUsageIn := func(event, usage string) string {
		return strings.Replace(event, "data: {", `data: {"usage":`+usage+`,`, 1)
	}
	emptyChoice := `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":` + bill + "}\n\n"
	cases := map[string][]string{
		"at the end, without choices":      {delta("a"), last, usageEvent(bill), done},
		"at the end, with an empty choice": {delta("a"), last, emptyChoice, done},
		"with the finish reason":           {delta("a"), withUsageIn(last, bill), done},
		"a preview first":                  {usageEvent(usage(20, 0, "0")), delta("a"), last, usageEvent(bill), done},
		"the bill first, and nothing more": {usageEvent(bill), delta("a"), last, done},
		"on every chunk": {
			withUsageIn(delta("a"), usage(20, 1, "0.00001")), withUsageIn(delta("b"), usage(20, 2, "0.00002")),
			withUsageIn(last, bill), done,
		},
		"twice, which is once":     {delta("a"), last, usageEvent(bill), usageEvent(bill), done},
		"null on all other chunks": {withUsageIn(delta("a"), "null"), withUsageIn(last, "null"), usageEvent(bill), done},
		"null behind it":           {delta("a"), last, usageEvent(bill), withUsageIn(delta(""), "null"), done},
		"text behind it":           {delta("a"), usageEvent(bill), delta("b"), last, done},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, pieces := range cases {
		for how, members := range map[string]string{"asked for": withUsage, "not asked for": streamed} {
			t.Run(name+", "+how, func(t *testing.T) {
				before := c.Mark()
				c.AnswerWith(events(pieces...))
				got := c.ask(asking("", members)).expectOK(t)
				chunks, ended := got.chunks(t)
				if !ended || textOf(chunks) == "" || chunks[len(chunks)-1].Error != nil {
					t.Errorf("the stream lacks its text or its end: %s", got.body)
				}
				if shown := strings.Contains(got.body, `"completion_tokens":30`); shown != (members == withUsage) {
					t.Errorf("the usage is shown: %t: %s", shown, got.body)
				}
				c.booked(t, before, world.Spend{Settled: 220_000})
			})
		}
	}
}

func TestCase06AnAnswerWithoutUsageCountsAsItsHold(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for _, members := range []string{short, short + streamed} {
		before := c.Mark()
		c.ask(asking("missing-usage", members)).expectOK(t)
		c.bookedAsUncertain(t, before)
	}
}

func TestCase07UsageThatWasNotAskedForLeavesNoTrace(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	bill := usage(3, 2, "0.000018")
	cases := map[string]struct{ sent, want string }{
		"the event of the usage goes":       {delta("a") + last + usageEvent(bill) + done, delta("a") + last + done},
		"null goes, first of its members":   {strings.Replace(delta("a"), "{", `{"usage":null, `, 1) + usageEvent(bill) + done, delta("a") + done},
		"null goes, last of its members":    {strings.Replace(delta("a"), "]}\n", `] , "usage":null}`+"\n", 1) + usageEvent(bill) + done, delta("a") + done},
		"the usage beside a choice goes":    {strings.Replace(last, "{", `{"usage":`+bill+`,`, 1) + done, last + done},
		"a delta may be about usage itself": {delta(`{"usage":null}`) + usageEvent(bill) + done, delta(`{"usage":null}`) + done},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			c.AnswerWith(events(test.sent))
			got := c.ask(asking("", streamed)).expectOK(t)
			if diff := cmp.Diff(test.want, got.body); diff != "" {
				t.Errorf("the stream (-want +got):\n%s", diff)
			}
			if want := upstreamBody(asking("", streamed+`,"stream_options":{"include_usage":true}`)); c.Last().Body != want {
				t.Errorf("upstream got %s\nwant %s", c.Last().Body, want)
			}
			c.booked(t, before, world.Spend{Settled: 18_000})
		})
	}
}

func TestCase16EveryEventIsPassedOnAtOnceAndUncompressed(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	read := make(chan struct{})
	c.AnswerWith(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Generation-Id", "gen-1")
		for i := range 3 {
			_, _ = io.WriteString(w, delta(fmt.Sprint(i)))
			_ = http.NewResponseController(w).Flush()
			<-read // Nothing more is sent before the client has this one.
		}
		_, _ = io.WriteString(w, last+usageEvent(usage(3, 2, "0.000018"))+done)
	})
	request := c.request(t.Context(), http.MethodPost, chatPath, asking("", streamed))
	request.Header.Set("Accept-Encoding", "gzip, br, zstd")
	response, err := c.Client.Do(request)
	c.must(err)
	defer func() { _ = response.Body.Close() }()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Content-Encoding": "", "X-Accel-Buffering": "no", "Cache-Control": "no-cache",
		"X-Generation-Id": "gen-1",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	for i := range 3 {
		event := make([]byte, len(delta("0")))
		if _, err := io.ReadFull(response.Body, event); err != nil || string(event) != delta(fmt.Sprint(i)) {
			t.Fatalf("event %d is %q: %v", i, event, err)
		}
		read <- struct{}{}
	}
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != last+done {
		t.Errorf("the end is %q: %v", rest, err)
	}
	c.booked(t, world.Mark{}, world.Spend{Settled: 18_000})
}

func TestAJSONAnswerToARequestForAStreamBecomesOne(t *testing.T) {
	t.Parallel()
	const message = `{"id":"gen-1","object":"chat.completion","model":"m","provider":"Mistral","choices":[{"index":0,"finish_reason":"tool_calls",` +
		`"native_finish_reason":"x","message":{"role":"assistant","content":"hé","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}}],` +
		`"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cost":0.000018}}`
	c := begin(t, world.Setup{})
	for how, members := range map[string]string{"asked for": withUsage, "not asked for": streamed} {
		t.Run("usage "+how, func(t *testing.T) {
			before := c.Mark()
			c.AnswerWith(answer(message))
			got := c.ask(asking("", members)).expectOK(t)
			chunks, ended := got.chunks(t)
			if !ended || textOf(chunks) != "hé" || chunks[0].Object != "chat.completion.chunk" || got.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("this is no stream that an SDK can read: %s", got.body)
			}
			for _, part := range []string{`"index":0,"type":"function"`, `"provider":"Mistral"`, `"native_finish_reason":"x"`} {
				if !strings.Contains(got.body, part) {
					t.Errorf("%s is lost: %s", part, got.body)
				}
			}
			if shown := strings.Contains(got.body, `"total_tokens":5`); shown != (members == withUsage) {
				t.Errorf("the usage is shown: %t: %s", shown, got.body)
			}
			c.booked(t, before, world.Spend{Settled: 18_000})
		})
	}
}
