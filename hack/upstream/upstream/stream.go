package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

var (
	errCut      = errors.New("the stream was to be cut here")
	errHungUp   = errors.New("the caller hung up")
	errProvider = errors.New("the provider was to fail here")
)

// stream answers as server-sent events. However it ends, the generation is booked.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, g *generation, a streamingAPI) {
	events := &eventStream{w: w, flush: http.NewResponseController(w).Flush, faults: &g.faults, commentEvery: s.CommentEvery}
	switch err := s.sendEvents(r.Context(), events, g, a.script(g, s.TokensPerChunk)); {
	case err == nil:
	case errors.Is(err, errCut):
		s.book(g, broken)
		panic(http.ErrAbortHandler) // net/http closes the connection in the middle of the body.
	case errors.Is(err, errProvider):
		s.book(g, failed)
		_ = events.write(events.framed(a.failure(g, events.sent))) // A caller that has gone is no error of ours.
	default:
		s.book(g, cancelled)
	}
}

func (s *Server) sendEvents(ctx context.Context, events *eventStream, g *generation, play script) error {
	if err := events.open(g.id); err != nil {
		return err
	}
	if !wait(ctx, g.faults.firstByteDelay) {
		return errHungUp
	}
	if err := events.preamble(); err != nil {
		return err
	}
	if !wait(ctx, s.FirstTokenDelay) {
		return errHungUp
	}
	for _, e := range play.events {
		if !wait(ctx, g.faults.chunkDelay) || (e.tokens > 0 && !wait(ctx, s.TokenDelay)) {
			return errHungUp
		}
		if err := events.event(ctx, e); err != nil {
			return err
		}
		g.delivered += e.tokens // These are with the caller now, even if nothing more can be sent.
		if err := events.pause(); err != nil {
			return err
		}
	}
	if err := events.breaksHere(); err != nil {
		return err
	}
	s.book(g, completed)
	return events.close(ctx, play.closing)
}

// eventStream writes server-sent events in the framing that the faults ask for.
type eventStream struct {
	w            http.ResponseWriter
	flush        func() error
	faults       *faults
	commentEvery int
	sent         int // data events
}

const (
	keepAlive  = ": OPENROUTER PROCESSING\n\n"
	retryBlock = "retry: 3000\n\n"
)

func (s *eventStream) open(id string) error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set(generationHeader, id)
	s.w.WriteHeader(http.StatusOK)
	return s.flush()
}

func (s *eventStream) preamble() error {
	text := keepAlive
	if s.faults.retryLines {
		text += retryBlock
	}
	return s.write(text)
}

// event writes one data event, unless the stream is to break before it.
func (s *eventStream) event(ctx context.Context, e event) error {
	if err := s.breaksHere(); err != nil {
		return err
	}
	return s.send(ctx, e)
}

func (s *eventStream) send(ctx context.Context, e event) error {
	if ctx.Err() != nil {
		return errHungUp
	}
	if err := s.write(s.framed(e)); err != nil {
		return err
	}
	s.sent++
	return nil
}

// framed is an event as the faults shape it.
func (s *eventStream) framed(e event) string {
	payload := encode(e.data)
	if s.sent == 0 && s.faults.big > 0 {
		payload = obfuscated(payload, s.faults.big)
	}
	if s.faults.multiLine {
		var lines bytes.Buffer
		if json.Indent(&lines, payload, "data: ", " ") == nil { // [DONE] is no JSON and stays as it is.
			payload = lines.Bytes()
		}
	}
	name := ""
	if e.name != "" {
		name = "event: " + e.name + "\n"
	}
	return name + "data: " + string(payload) + "\n\n"
}

// encode is the data of an event.
func encode(data any) []byte {
	if text, ok := data.(literal); ok {
		return []byte(text)
	}
	return marshal(data)
}

// obfuscated adds a field of so many bytes to a JSON object.
func obfuscated(object []byte, size int) []byte {
	return slices.Concat(object[:len(object)-1], []byte(`,"obfuscation":"`), bytes.Repeat([]byte("x"), size), []byte(`"}`))
}

// pause writes what stands between two data events.
func (s *eventStream) pause() error {
	between := ""
	if s.faults.retryLines {
		between = retryBlock
	}
	if s.sent%s.commentEvery == 0 {
		between += keepAlive
	}
	return s.write(between)
}

func (s *eventStream) breaksHere() error {
	switch s.sent {
	case s.faults.cut:
		return errCut
	case s.faults.errorChunk:
		return errProvider
	default:
		return nil
	}
}

// close writes the closing events. The generation is booked: the stream can still break here, but nothing can fail.
func (s *eventStream) close(ctx context.Context, closing []event) error {
	last := len(closing) - 1
	for _, e := range closing[:last] {
		if s.sent == s.faults.cut {
			return errCut
		}
		if err := s.send(ctx, e); err != nil {
			return err
		}
		if err := s.pause(); err != nil {
			return err
		}
	}
	switch end := s.framed(closing[last]); {
	case s.sent == s.faults.cut:
		return errCut
	case s.faults.noDone:
		return nil
	case s.faults.noNewline:
		return s.write(strings.TrimRight(end, "\n"))
	default:
		return s.write(end)
	}
}

func (s *eventStream) write(text string) error {
	raw := []byte(text)
	switch {
	case s.faults.crlf:
		raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	case s.faults.cr:
		raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r"))
	}
	size := len(raw)
	if s.faults.split {
		size = 1
	}
	for len(raw) > 0 {
		n := min(size, len(raw))
		if _, err := s.w.Write(raw[:n]); err != nil { //nolint:gosec // An event stream is no page.
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		raw = raw[n:]
		if s.faults.split {
			size = size%3 + 1
		}
	}
	return nil
}
