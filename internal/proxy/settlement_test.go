package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

func TestTheLastByteComesAfterTheSettlement(t *testing.T) {
	cases := map[string]struct{ body, last string }{
		"a plain answer":                 {asking("", ""), "{"},
		"a stream":                       {asking("", streamed), "data: [DONE]"},
		"a stream that ends early":       {asking("no-done", streamed), `data: {"error"`},
		"a stream that reports an error": {asking("error-chunk=3", streamed), `"finish_reason":"error"`},
	}
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			before := w.journaled()
			response, err := w.client.Do(w.chat(t.Context(), test.body))
			w.must(err)
			defer func() { _ = response.Body.Close() }()
			lines := bufio.NewReader(response.Body)
			for line := ""; !strings.Contains(line, test.last); {
				line, err = lines.ReadString('\n')
				if err != nil && (!errors.Is(err, io.EOF) || !strings.Contains(line, test.last)) {
					t.Fatalf("the answer ends before its last line: %v", err)
				}
			}
			if after := w.journaled(); after == before {
				t.Errorf("the end is there, and the settlement is not in the journal: %d records as before", after)
			}
		})
	}
}

// journaled counts the numbered records that the journal has now: those that a proxy finds that is started after this one was killed.
func (w *world) journaled() int {
	w.t.Helper()
	copied := filepath.Join(w.t.TempDir(), "journal")
	w.must(os.CopyFS(copied, os.DirFS(w.journalDir)))
	kept, replay, err := journal.Open(journal.Options{Directory: copied})
	w.must(err)
	defer func() { w.must(kept.Close()) }()
	count := 0
	for record, err := range replay.Records() {
		w.must(err)
		if record.Number > 0 {
			count++
		}
	}
	return count
}

func TestASettlementOutlivesALedgerThatIsAway(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	stream := w.pauseStream()
	w.ledger.stop()
	if _, done := stream.finish(t).expectOK(t).chunks(t); !done {
		t.Error("a ledger that is away must not spoil an answer that is paid for")
	}
	w.ledger.resume(t)
	w.booksAgree()
	if billed := w.upstream.Billed(upstream.Filter{}); billed.Count != 1 {
		t.Errorf("the upstream billed %d requests", billed.Count)
	}
}

func TestConnectionsToTheUpstreamAreUsedAgain(t *testing.T) {
	w := begin(t, setup{})
	// The end of the body comes later than the end of the stream that is in it, and the client does not wait for it.
	dawdle := func() {
		dawdling := make(chan struct{})
		w.received.answerWith(func(answer http.ResponseWriter, request *http.Request) {
			w.upstream.ServeHTTP(answer, request)
			<-dawdling
		})
		response, err := w.client.Do(w.chat(t.Context(), asking("", streamed)))
		w.must(err)
		lines := bufio.NewReader(response.Body)
		for line := ""; line != "data: [DONE]\n"; {
			line, err = lines.ReadString('\n')
			w.must(err)
		}
		close(dawdling)
		w.must(response.Body.Close())
		w.quiet()
	}
	dawdle()
	w.eventually("a stream takes no new connection", func() bool {
		before := w.connections.Load()
		dawdle()
		return w.connections.Load() == before
	})
}

// The history tells attempts by their model and upstream, and money by who says so: the upstream, or nobody.
func TestWhatWasSpentIsKeptByModelUpstreamAndSource(t *testing.T) {
	w := begin(t, setup{})
	w.ask(asking("answer=10", "")).expectOK(t)
	w.ask(asking("missing-usage", ""))
	w.ask(asking("answer=10,no-cost,cached=4,cache-write=3", "")).expectOK(t)
	w.settled()
	entries := w.ledger.running.History(routeNamespace, routeName)
	if len(entries) != 1 {
		t.Fatalf("the history has %d entries, want 1: %v", len(entries), entries)
	}
	got, billed := entries[0], w.upstream.Billed(upstream.Filter{})
	if got.GetModel() != "mixtral-8x22b-instruct" || got.GetUpstream() != "openrouter" || got.GetRequests() != 3 {
		t.Errorf("the entry is %v", got)
	}
	if got.GetReportedNanoUsd() != billed.Requests[0].CostNanoUSD || got.GetUncertainNanoUsd() == 0 || got.GetPricedNanoUsd() == 0 {
		t.Errorf("the entry is %v, want %d nano-USD reported", got, billed.Requests[0].CostNanoUSD)
	}
	if tokens := got.GetTokens(); tokens.GetCompletion() != 20 || tokens.GetPrompt() == 0 {
		t.Errorf("tokens = %v, want those of the two answers that told", tokens)
	} else if tokens.GetCached() != 4 || tokens.GetCacheWrite() != 3 {
		t.Errorf("tokens = %v, want 4 that were read from a cache and 3 that were written to one", tokens)
	}
}
