package proxy_test

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// leaveAfter sends a request and hangs up once so many data events have come, or, with -1, once the upstream has the request.
func (w *world) leaveAfter(events int, body string) {
	w.t.Helper()
	ctx, hangUp := context.WithCancel(w.t.Context())
	defer hangUp()
	if events < 0 {
		before := len(w.received.all())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if response, err := w.client.Do(w.chat(ctx, body)); err == nil {
				_ = response.Body.Close()
			}
		}()
		w.eventually("the upstream has the request", func() bool { return len(w.received.all()) > before })
		hangUp()
		<-gone
		return
	}
	response, err := w.client.Do(w.chat(ctx, body))
	w.must(err)
	lines := bufio.NewReader(response.Body)
	for seen := 0; seen < events; {
		line, err := lines.ReadString('\n')
		w.must(err)
		if strings.HasPrefix(line, "data: ") {
			seen++
		}
	}
	hangUp()
	_ = response.Body.Close()
}

// quiet waits until no request is being answered.
func (w *world) quiet() {
	w.t.Helper()
	w.eventually("no request is in flight", func() bool {
		return strings.Contains(w.metrics(), "\nmodelroute_proxy_requests_in_flight 0\n")
	})
}

func TestAClientThatLeavesIsBilledOnceForWhatTheUpstreamBills(t *testing.T) {
	cases := map[string]struct {
		events int
		body   string
	}{
		"before the header of a plain answer": {-1, asking("delay=200ms", short)},
		"before the header of a stream":       {-1, asking("delay=200ms", short+streamed)},
		"before the first byte of a stream":   {-1, asking("first-byte-delay=200ms", short+streamed)},
		"after the first event":               {1, asking("answer=40,chunk-delay=10ms", short+streamed)},
		"in the middle of the stream":         {20, asking("answer=40,chunk-delay=5ms", short+streamed)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
			w.leaveAfter(test.events, test.body)
			w.quiet()
			w.booksAgree()
			billed := w.upstream.Billed(upstream.Filter{})
			if billed.Count != 1 || billed.Requests[0].Cancelled {
				t.Errorf("the upstream billed %d requests, cancelled: %+v", billed.Count, billed.Requests)
			}
			if strings.Count(w.logs.String(), `"clientGone":true`) != 1 {
				t.Errorf("the log does not say that the client left: %s", w.logs)
			}
		})
	}
}

func TestAClientThatLeavesWhileItWaitsForMoneyHoldsNone(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 2_000_000)}})
	release := make(chan struct{})
	w.received.answerWith(holdUntil(release, w.upstream))
	first := make(chan reply, 1)
	go func() { first <- w.ask(asking("", short)) }()
	w.eventually("the first request is at the upstream", func() bool { return len(w.received.all()) == 1 })
	ctx, hangUp := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		if response, err := w.client.Do(w.chat(ctx, asking("", short))); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}()
	w.eventually("the second request waits for money", func() bool {
		return strings.Contains(w.metrics(), "\nmodelroute_proxy_requests_in_flight 2\n")
	})
	hangUp()
	<-left
	close(release)
	(<-first).expectOK(t)
	w.quiet()
	w.booksAgree()
	if got := len(w.received.all()); got != 1 {
		t.Errorf("the upstream got %d requests", got)
	}
	if strings.Contains(w.metrics(), `reason="unavailable"`) {
		t.Error("a client that hung up counts as a ledger that is away")
	}
}
