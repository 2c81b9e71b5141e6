package openai

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func benchmarkBody(prompt int) []byte {
	text := strings.Repeat(`The quick brown fox\njumps over the \"lazy\" dog. `, prompt/50+1)
	return []byte(chatWith(`"stream":true,"temperature":0.7,"user":"` + text + `"`))
}

func BenchmarkParseAndEdit(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1 << 10, "100KiB": 100 << 10} {
		body := benchmarkBody(size)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				c, problem := Chat.Parse(body)
				if problem != nil {
					b.Fatal(problem)
				}
				c.SetModel("mistralai/mixtral-8x22b-instruct")
				c.RequestUsage()
				c.LimitCompletion(1024, Compatible)
				if len(c.Body()) < len(body) {
					b.Fatal("the body shrank")
				}
			}
		})
	}
}

// BenchmarkParameters reads and holds to a route's rules a request with many parameters and a short prompt.
func BenchmarkParameters(b *testing.B) {
	rules, err := NewRules(Policy{
		Provider: OpenRouter, Supported: page, MaxCompletionTokens: 4096,
		Defaults: settings(`"seed":1,"top_p":0.9`), Overrides: settings(`"presence_penalty":0.1`),
	})
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(chatWith(`"temperature":0.7,"frequency_penalty":-0.5,"max_tokens":5000,"stop":["a","b"],"stream":true,"user":"u",` +
		`"tool_choice":"auto","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"metadata":{"a":"b"},` +
		`"response_format":{"type":"json_object"}`))
	b.ReportAllocs()
	for b.Loop() {
		c, problem := Chat.Parse(body)
		if problem != nil {
			b.Fatal(problem)
		}
		if problem := c.Apply(rules); problem != nil {
			b.Fatal(problem)
		}
		if c.CheckContext(65_536, 0, OpenRouter) != nil || len(c.Body()) == 0 {
			b.Fatal("it does not fit")
		}
	}
}

const benchmarkChunk = `data: {"id":"gen-1","object":"chat.completion.chunk","created":1790000000,"model":"m",` +
	`"choices":[{"index":0,"delta":{"role":"assistant","content":" entangle"},"finish_reason":null,` +
	`"native_finish_reason":null,"logprobs":null}],"usage":null}` + "\n\n"

// BenchmarkStream reads, meters and strips streams of a thousand events; its figures are for one event.
func BenchmarkStream(b *testing.B) {
	const events = 1000
	stream := strings.Repeat(benchmarkChunk, events)
	b.ReportAllocs()
	b.SetBytes(int64(len(benchmarkChunk)))
	for left := b.N; left > 0; left -= events {
		reader, meter := NewEventReader(strings.NewReader(stream)), Chat.NewMeter()
		for {
			event, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			meter.Observe(event)
			if out, _ := StripUsage(event); len(out) >= len(event.Raw) {
				b.Fatal("nothing was stripped")
			}
		}
		if meter.CompletionBytes() != events*int64(len(" entangle")) {
			b.Fatal("the text was not counted")
		}
	}
}

// BenchmarkLargeEvent reads events of 1 MiB that come in small pieces.
func BenchmarkLargeEvent(b *testing.B) {
	stream := "data: " + strings.Repeat("x", 1<<20) + "\n\n"
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		reader := NewEventReader(&pieces{rest: stream})
		if event, err := reader.Next(); err != nil || len(event.Data) != 1<<20 {
			b.Fatal(err)
		}
	}
}

// pieces gives out a stream as a network does, in packets.
type pieces struct{ rest string }

func (p *pieces) Read(buffer []byte) (int, error) {
	if p.rest == "" {
		return 0, io.EOF
	}
	n := copy(buffer, p.rest[:min(len(p.rest), 1400)])
	p.rest = p.rest[n:]
	return n, nil
}
