package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

var (
	errCut      = errors.New("the stream was to be cut here")
	errHungUp   = errors.New("the caller hung up")
	errProvider = errors.New("the provider was to fail here")
)

// stream answers as server-sent events. However it ends, the generation is booked.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, g *generation) {
	events := &eventStream{w: w, flush: http.NewResponseController(w).Flush, faults: &g.faults, commentEvery: s.CommentEvery}
	switch err := s.sendEvents(r.Context(), events, g); {
	case err == nil:
	case errors.Is(err, errCut):
		s.book(g, broken)
		panic(http.ErrAbortHandler) // net/http closes the connection in the middle of the body.
	case errors.Is(err, errProvider):
		s.book(g, failed)
		_ = events.data(marshal(g.errorChunk())) // A caller that has gone is no error of ours.
	default:
		s.book(g, cancelled)
	}
}

func (s *Server) sendEvents(ctx context.Context, events *eventStream, g *generation) error {
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
	if g.faults.usage == usageFirst {
		if err := events.send(ctx, g.usageChunk(0)); err != nil {
			return err
		}
	}
	if err := s.sendParts(ctx, events, g); err != nil {
		return err
	}
	return s.closeStream(ctx, events, g)
}

func (s *Server) sendParts(ctx context.Context, events *eventStream, g *generation) error {
	for i, p := range g.parts(s.TokensPerChunk) {
		if !wait(ctx, g.faults.chunkDelay) || (i > 0 && p.tokens > 0 && !wait(ctx, s.TokenDelay)) {
			return errHungUp
		}
		if err := events.event(ctx, g.partChunk(p)); err != nil {
			return err
		}
		g.delivered += p.tokens // These are with the caller now, even if nothing more can be sent.
		if err := events.pause(); err != nil {
			return err
		}
	}
	return nil
}

// closeStream books the generation, then sends its usage and the end.
func (s *Server) closeStream(ctx context.Context, events *eventStream, g *generation) error {
	if err := events.breaksHere(); err != nil {
		return err
	}
	s.book(g, completed)
	if g.faults.usage != usageMissing {
		if err := events.send(ctx, g.usageChunk(g.completion())); err != nil {
			return err
		}
	}
	return events.done()
}

// partChunk is the event of one part, with the usage so far where the faults ask for it.
func (g *generation) partChunk(p part) streamChunk {
	chunk := g.chunk(p.choice)
	switch g.faults.usage {
	case usageEvery:
		chunk.Usage = g.usage(g.delivered + p.tokens)
	case usageNullOthers:
		chunk.Usage = jsonNull
	}
	return chunk
}

// usageChunk is the event that carries the usage: without choices, or with an empty one as OpenRouter once sent it.
func (g *generation) usageChunk(completion int) streamChunk {
	chunk := g.chunk()
	if g.faults.usage == usageWithChoices {
		chunk = g.chunk(contentChoice(0, ""))
	}
	chunk.Usage = g.usage(completion)
	return chunk
}

// errorChunk is how a provider's failure shows once the status is sent.
func (g *generation) errorChunk() streamChunk {
	chunk := g.chunk(finishChoice(0, finishError))
	if g.faults.emptyChoices {
		chunk = g.chunk()
	}
	body := g.faults.providerError(g.way.model.Provider).body()
	chunk.Error = &body
	return chunk
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

func (e *eventStream) open(id string) error {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set(generationHeader, id)
	e.w.WriteHeader(http.StatusOK)
	return e.flush()
}

func (e *eventStream) preamble() error {
	text := keepAlive
	if e.faults.retryLines {
		text += retryBlock
	}
	return e.write(text)
}

// send writes one data event and what comes after it.
func (e *eventStream) send(ctx context.Context, chunk streamChunk) error {
	if err := e.event(ctx, chunk); err != nil {
		return err
	}
	return e.pause()
}

// event writes one data event, unless the stream is to break before it.
func (e *eventStream) event(ctx context.Context, chunk streamChunk) error {
	if err := e.breaksHere(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errHungUp
	}
	if e.sent == 0 && e.faults.big > 0 {
		chunk.Obfuscation = strings.Repeat("x", e.faults.big)
	}
	if err := e.data(marshal(chunk)); err != nil {
		return err
	}
	e.sent++
	return nil
}

// pause writes what stands between two data events.
func (e *eventStream) pause() error {
	between := ""
	if e.faults.retryLines {
		between = retryBlock
	}
	if e.sent%e.commentEvery == 0 {
		between += keepAlive
	}
	return e.write(between)
}

func (e *eventStream) breaksHere() error {
	switch e.sent {
	case e.faults.cut:
		return errCut
	case e.faults.errorChunk:
		return errProvider
	default:
		return nil
	}
}

func (e *eventStream) data(payload []byte) error {
	if e.faults.multiLine {
		var lines bytes.Buffer
		if json.Indent(&lines, payload, "data: ", " ") == nil { // [DONE] is no JSON and stays as it is.
			payload = lines.Bytes()
		}
	}
	return e.write("data: " + string(payload) + "\n\n")
}

func (e *eventStream) done() error {
	switch {
	case e.sent == e.faults.cut:
		return errCut
	case e.faults.noDone:
		return nil
	case e.faults.noNewline:
		return e.write("data: [DONE]")
	default:
		return e.data([]byte("[DONE]"))
	}
}

func (e *eventStream) write(text string) error {
	raw := []byte(text)
	switch {
	case e.faults.crlf:
		raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	case e.faults.cr:
		raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r"))
	}
	size := len(raw)
	if e.faults.split {
		size = 1
	}
	for len(raw) > 0 {
		n := min(size, len(raw))
		if _, err := e.w.Write(raw[:n]); err != nil {
			return err
		}
		if err := e.flush(); err != nil {
			return err
		}
		raw = raw[n:]
		if e.faults.split {
			size = size%3 + 1
		}
	}
	return nil
}
