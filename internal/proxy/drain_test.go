package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// over waits for the proxy to end.
func (w *world) over() {
	w.t.Helper()
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Fatalf("the proxy ends with %v", err)
		}
		w.isOver = true
	case <-time.After(patience):
		w.t.Fatal("the proxy does not end")
	}
}

func TestTheEndWaitsForAStreamInFlight(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}, drainDelay: time.Second})
	stream := w.pauseStream()
	w.terminate()
	w.eventually("the proxy is not ready any more", func() bool { return w.status(w.adminURL+"/readyz") == http.StatusServiceUnavailable })
	// Until the delay is over, those who balance load may not have learnt of it.
	w.ask(asking("", short)).expectOK(t)
	w.eventually("no new connection is taken", func() bool {
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := fresh.Do(w.chat(t.Context(), asking("", short)))
		if err == nil {
			_ = response.Body.Close()
		}
		return err != nil
	})
	if _, done := stream.finish(t).expectOK(t).chunks(t); !done {
		t.Error("the stream does not end well")
	}
	w.over()
	w.booksAgree()
}

func TestConnectionsAreGivenUpBeforeTheyAreClosed(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}, drainDelay: time.Second})
	kept := func() bool {
		response, err := http.DefaultClient.Do(w.chat(t.Context(), asking("", short)))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return !response.Close
	}
	if !kept() {
		t.Error("a proxy that serves gives up its connections")
	}
	w.terminate()
	w.eventually("the proxy is not ready any more", func() bool { return w.status(w.adminURL+"/readyz") == http.StatusServiceUnavailable })
	if kept() {
		t.Error("a proxy that drains keeps a connection that it is about to close")
	}
	w.over()
}

func TestAStreamThatOutlivesTheDrainIsCutAndBooked(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}, drainLimit: 50 * time.Millisecond})
	before := w.mark()
	stream := w.pauseStream()
	w.terminate()
	w.over()
	answer := stream.finish(t)
	if strings.Contains(answer.body, "[DONE]") {
		t.Errorf("a stream that was cut ends as if it were whole: %s", answer.body)
	}
	w.uncertainlyBooked(t, before)
}
