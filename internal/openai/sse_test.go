package openai

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// seen is what a client sees of an event.
type seen struct{ Name, Data string }

// readAll reads a stream to its end. It copies the events, whose slices do not live long.
func readAll(r io.Reader) (events []Event, err error) {
	reader := NewEventReader(r)
	for {
		event, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		event.Raw, event.Data, event.Name = bytes.Clone(event.Raw), bytes.Clone(event.Data), bytes.Clone(event.Name)
		events = append(events, event)
	}
}

func seenOf(events []Event) (list []seen) {
	for _, event := range events {
		if !event.CommentOnly {
			list = append(list, seen{string(event.Name), string(event.Data)})
		}
	}
	return list
}

func rawOf(events []Event) string {
	var raw strings.Builder
	for _, event := range events {
		raw.Write(event.Raw)
	}
	return raw.String()
}

// reference reads a whole stream in the words of the HTML standard, but for two things: it gives out the event that the end of the stream
// leaves open, and no event without data.
func reference(stream string) (list []seen) {
	stream = strings.TrimPrefix(stream, byteOrderMark)
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	var name string
	var data []string
	dispatch := func() {
		if joined := strings.Join(data, "\n"); joined != "" {
			list = append(list, seen{name, joined})
		}
		name, data = "", nil
	}
	for line := range strings.SplitSeq(stream, "\n") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			dispatch()
		case field == "event":
			name = value
		case field == "data":
			data = append(data, value)
		}
	}
	dispatch()
	return list
}

// block is an Event with strings, which are quick to compare and good to read.
type block struct {
	Raw, Data, Name                 string
	Done, CommentOnly, Unterminated bool
}

func blocksOf(events []Event) (blocks []block) {
	for _, e := range events {
		blocks = append(blocks, block{string(e.Raw), string(e.Data), string(e.Name), e.Done, e.CommentOnly, e.Unterminated})
	}
	return blocks
}

func TestEventReaderReadsEveryFraming(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	tests := map[string]struct {
		reason, stream string
		want           []block
	}{
		"LineFeeds": {"the usual form", "data: a\n\ndata: [DONE]\n\n", []block{
			{Raw: "data: a\n\n", Data: "a"}, {Raw: "data: [DONE]\n\n", Data: "[DONE]", Done: true},
		}},
		"CarriageReturnLineFeeds": {"some servers", "data: a\r\n\r\ndata: b\r\n\r\n", []block{
			{Raw: "data: a\r\n\r\n", Data: "a"}, {Raw: "data: b\r\n\r\n", Data: "b"},
		}},
		"CarriageReturns": {"the standard allows it", "data: a\r\rdata: b\r\r", []block{
			{Raw: "data: a\r\r", Data: "a"}, {Raw: "data: b\r\r", Data: "b"},
		}},
		"Mixed": {"the standard allows it", "data: a\r\ndata: b\n\rdata: c\r\n\n", []block{
			{Raw: "data: a\r\ndata: b\n\r", Data: "a\nb"}, {Raw: "data: c\r\n\n", Data: "c"},
		}},
		"Comment": {"OpenRouter's sign of life", ": OPENROUTER PROCESSING\n\ndata: a\n\n", []block{
			{Raw: ": OPENROUTER PROCESSING\n\n", CommentOnly: true}, {Raw: "data: a\n\n", Data: "a"},
		}},
		"CommentInEvent": {"it belongs to the event", ": x\ndata: a\n: y\n\n", []block{{Raw: ": x\ndata: a\n: y\n\n", Data: "a"}}},
		"Retry":          {"a client sees no event", "retry: 3000\n\n", []block{{Raw: "retry: 3000\n\n", CommentOnly: true}}},
		"Fields": {"fields stay in Raw", "id: 7\nevent: error\nretry: 1\ndata: a\n\n", []block{
			{Raw: "id: 7\nevent: error\nretry: 1\ndata: a\n\n", Data: "a", Name: "error"},
		}},
		"ManyDataLines": {"they are joined", "data: {\ndata\ndata:}\n\n", []block{{Raw: "data: {\ndata\ndata:}\n\n", Data: "{\n\n}"}}},
		"NoSpace": {"one space is dropped, if there", "data:a\n\ndata:  b\n\n", []block{
			{Raw: "data:a\n\n", Data: "a"}, {Raw: "data:  b\n\n", Data: " b"},
		}},
		"ByteOrderMark": {"the standard drops it, we keep it in Raw", "\ufeffdata: a\n\n", []block{{Raw: "\ufeffdata: a\n\n", Data: "a"}}},
		"LateMark": {"elsewhere it is part of a name", "\n\ufeffdata: a\n\n", []block{
			{Raw: "\n", CommentOnly: true}, {Raw: "\ufeffdata: a\n\n", CommentOnly: true},
		}},
		"StrayBlank": {"no byte is lost", "\n\ndata: a\n\n\n", []block{
			{Raw: "\n", CommentOnly: true}, {Raw: "\n", CommentOnly: true}, {Raw: "data: a\n\n", Data: "a"}, {Raw: "\n", CommentOnly: true},
		}},
		"EmptyData": {"a client must not be made to parse nothing", "data:\n\n", []block{{Raw: "data:\n\n", CommentOnly: true}}},
		"Unterminated": {"the last event is not lost", "data: a\n\ndata: [DONE]", []block{
			{Raw: "data: a\n\n", Data: "a"}, {Raw: "data: [DONE]", Data: "[DONE]", Done: true, Unterminated: true},
		}},
		"OneLineFeed":  {"nor with its line's end", "data: a\n", []block{{Raw: "data: a\n", Data: "a", Unterminated: true}}},
		"UnknownField": {"it is ignored", "dat: a\ndata : b\n\n", []block{{Raw: "dat: a\ndata : b\n\n", CommentOnly: true}}},
		"Nothing":      {"an empty stream has no events", "", nil},
		"Large": {"an event of 1 MiB", "data: " + big + "\n\ndata: b\n\n", []block{
			{Raw: "data: " + big + "\n\n", Data: big}, {Raw: "data: b\n\n", Data: "b"},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(strings.NewReader(test.stream))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, blocksOf(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}

// scripted gives out one chunk for each read.
type scripted struct{ chunks []string }

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.chunks[0])
	s.chunks = s.chunks[1:]
	return n, nil
}

func TestNextDoesNotWaitForBytesBeyondTheBlankLine(t *testing.T) {
	for _, chunks := range [][]string{
		{"data: a\n\n", "data: b\n\n"},
		{"data: a\r\n\r\n", "data: b\r\n\r\n"},
		{"data: a\r\r", "data: b\r\r"},
		{"data: a\r\n\r", "\ndata: b\r\n\r"}, // the chunk ends between the two halves of a line's end
		{"data: a\n\r", "data: b\n\r"},
	} {
		source := &scripted{chunks: slices.Clone(chunks)}
		reader := NewEventReader(source)
		for read := range chunks {
			left := len(chunks) - 1 - read
			event, err := reader.Next()
			for err == nil && event.CommentOnly {
				event, err = reader.Next()
			}
			if err != nil || len(event.Data) != 1 || len(source.chunks) != left {
				t.Errorf("%q: got %q, %v with %d chunks left to read, want %d", chunks, event.Raw, err, len(source.chunks), left)
			}
		}
	}
}

func drawStream(t *rapid.T) string {
	var out strings.Builder
	out.WriteString(rapid.SampledFrom([]string{"", "", byteOrderMark}).Draw(t, "mark"))
	lines := []string{
		"", "", "", ": ping", ":", "data: {\"a\":1}", "data:b", "data", "data:", "data: é😀", "data: [DONE]",
		"event: error", "id: 1", "retry: 5", "x",
	}
	for range rapid.IntRange(0, 20).Draw(t, "lines") {
		out.WriteString(rapid.SampledFrom(lines).Draw(t, "line"))
		out.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "end"))
	}
	out.WriteString(rapid.SampledFrom([]string{"", "data: last"}).Draw(t, "rest"))
	return out.String()
}

// chunked gives out a stream in pieces of drawn sizes.
type chunked struct {
	rest  string
	sizes []int
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.rest == "" {
		return 0, io.EOF
	}
	size := 1
	if len(c.sizes) > 0 {
		size, c.sizes = c.sizes[0], c.sizes[1:]
	}
	n := copy(p, c.rest[:min(size, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

func TestTheChunksOfAStreamDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := drawStream(t)
		sizes := rapid.SliceOf(rapid.IntRange(0, 12)).Draw(t, "sizes")
		events, err := readAll(&chunked{rest: stream, sizes: sizes})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(reference(stream), seenOf(events)); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", stream, diff)
		}
		if got := rawOf(events); got != stream {
			t.Fatalf("the stream was %q, the events together are %q", stream, got)
		}
	})
}

func TestDroppedEventsLeaveNoTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := drawStream(t)
		events, err := readAll(&chunked{rest: stream, sizes: rapid.SliceOf(rapid.IntRange(0, 12)).Draw(t, "sizes")})
		if err != nil {
			t.Fatal(err)
		}
		var kept []Event
		for _, event := range events {
			if !event.CommentOnly {
				kept = append(kept, event)
			}
		}
		if diff := cmp.Diff(reference(stream), reference(rawOf(kept))); diff != "" {
			t.Fatalf("%q without what clients do not see is %q (-want +got):\n%s", stream, rawOf(kept), diff)
		}
	})
}

func TestABrokenStreamGivesWhatItHadAndThenItsError(t *testing.T) {
	broken := errors.New("connection reset")
	reader := NewEventReader(io.MultiReader(strings.NewReader("data: a\n\ndata: {\"b"), iotest.ErrReader(broken)))
	var got []string
	var err error
	for {
		var event Event
		if event, err = reader.Next(); err != nil {
			break
		}
		got = append(got, string(event.Raw))
	}
	if diff := cmp.Diff([]string{"data: a\n\n", "data: {\"b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, again := reader.Next(); !errors.Is(err, broken) || !errors.Is(again, broken) {
		t.Errorf("got %v, then %v, want %v", err, again, broken)
	}
}

// endless repeats one byte.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestAnEventHasALimit(t *testing.T) {
	line := "data: " + strings.Repeat("x", MaxEventBytes-len("data: \n\n")) + "\n\n"
	tests := map[string]struct {
		reason string
		stream io.Reader
		want   error
	}{
		"AtTheLimit":   {"it is read", strings.NewReader(line), io.EOF},
		"OneMore":      {"it is refused, complete or not", strings.NewReader("x" + line), ErrEventTooLarge},
		"Endless":      {"memory has an end", endless('x'), ErrEventTooLarge},
		"EndlessLines": {"memory has an end", io.MultiReader(strings.NewReader("data: x"), endless('\r')), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			reader := NewEventReader(test.stream)
			var err error
			for range 4 {
				if _, err = reader.Next(); err != nil {
					break
				}
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", test.reason, err, test.want)
			}
		})
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestAReaderThatBringsNothingIsGivenUp(t *testing.T) {
	if _, err := NewEventReader(idle{}).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want %v", err, io.ErrNoProgress)
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add("data: a\n\ndata: [DONE]\n\n", uint8(1))
	f.Add("\ufeffdata: a\r\n\r\n: x\r\rdata: b", uint8(3))
	f.Fuzz(func(t *testing.T, stream string, size uint8) {
		whole, err := readAll(strings.NewReader(stream))
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := readAll(&chunked{rest: stream, sizes: slices.Repeat([]int{max(int(size), 1)}, len(stream))})
		if err != nil {
			t.Fatal(err)
		}
		if rawOf(whole) != stream || rawOf(pieces) != stream {
			t.Errorf("%q became %q whole and %q in pieces", stream, rawOf(whole), rawOf(pieces))
		}
		want := reference(stream)
		if diff := cmp.Diff(want, seenOf(whole)); diff != "" {
			t.Errorf("whole (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, seenOf(pieces)); diff != "" {
			t.Errorf("in pieces of %d (-want +got):\n%s", size, diff)
		}
	})
}

func TestTheLastEventOfAStreamGetsItsBlankLine(t *testing.T) {
	const whole = "event: message_stop\ndata: {}\n\n"
	for stream, want := range map[string]string{
		whole:                                 whole,
		"event: message_stop\ndata: {}":       whole,
		"event: message_stop\ndata: {}\n":     whole,
		"data: [DONE]\r\n\r\n":                "data: [DONE]\n\n",
		"data: [DONE] and something":          "data: [DONE]\n\n",
		"event: message_stop\r\ndata: {}\r\n": "event: message_stop\r\ndata: {}\n\n",
	} {
		event, err := NewEventReader(strings.NewReader(stream)).Next()
		if err != nil {
			t.Fatal(err)
		}
		raw := string(event.Raw)
		if got := string(event.Last()); got != want || string(event.Raw) != raw {
			t.Errorf("%q becomes %q, want %q", stream, got, want)
		}
	}
}
