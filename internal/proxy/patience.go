package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// patience ends an attempt whose upstream is silent for too long: before its answer begins, or between two parts of it.
type patience struct {
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

// silentError says that an upstream was silent for too long. It is a deadline that was exceeded.
type silentError struct {
	upstream string
	what     string
	limit    time.Duration
}

func (e *silentError) Error() string {
	return fmt.Sprintf("upstream %s: %s for %s", e.upstream, e.what, e.limit)
}

func (e *silentError) Is(target error) bool { return target == context.DeadlineExceeded }

// beginPatience waits for the upstream's answer to begin, and returns the context that an attempt has to run in.
func beginPatience(ctx context.Context, upstream *routeconfig.Upstream) (context.Context, *patience) {
	p := &patience{idle: seconds(upstream.IdleTimeoutSeconds)}
	ctx, p.cancel = context.WithCancelCause(ctx)
	if limit := seconds(upstream.FirstByteTimeoutSeconds); limit > 0 {
		p.after(limit, &silentError{upstream: upstream.Name, what: "its answer did not begin", limit: limit})
	}
	return ctx, p
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func (p *patience) after(limit time.Duration, cause error) {
	p.timer = time.AfterFunc(limit, func() { p.cancel(cause) })
}

// answered ends the wait for the answer's beginning; from then on it must not pause for too long. It returns the answer's content.
func (p *patience) answered(upstream *routeconfig.Upstream, content io.ReadCloser) *watched {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if p.idle > 0 {
		p.after(p.idle, &silentError{upstream: upstream.Name, what: "nothing more of its answer came", limit: p.idle})
		p.timer.Stop() // It runs while a part of the answer is waited for, and not before.
	}
	return &watched{ReadCloser: content, patience: p}
}

// end stops watching.
func (p *patience) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.cancel(nil)
}

// causeOf is why an attempt's context ended, if that is why it failed; otherwise the error itself.
func causeOf(ctx context.Context, err error) error {
	if _, unsent := errors.AsType[*notSentError](err); unsent || err == nil {
		return err
	}
	cause := context.Cause(ctx)
	if _, silent := errors.AsType[*silentError](cause); silent || clientLeft(cause) {
		return cause
	}
	return err
}

// watched is an answer that must not pause for too long. Only the time in which it is waited for counts: a client may be slow to take what
// has come.
type watched struct {
	io.ReadCloser
	patience *patience
	// ended is true once it has been read to its end.
	ended bool
}

func (w *watched) Read(into []byte) (int, error) {
	if w.patience.idle > 0 {
		w.patience.timer.Reset(w.patience.idle)
		defer w.patience.timer.Stop()
	}
	n, err := w.ReadCloser.Read(into)
	w.ended = w.ended || errors.Is(err, io.EOF)
	return n, err
}
