package proxy_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

func TestManyRequestsAtOnceNeverOverspendABudget(t *testing.T) {
	// Some forty requests fit: each costs about 250,000 nano-USD at most.
	const limit, requests = 10_000_000, 200
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", limit), monthly(consumerName, limit)}})
	var group sync.WaitGroup
	var mutex sync.Mutex
	statuses := map[int]int{}
	for i := range requests {
		group.Go(func() {
			members := `,"max_tokens":20`
			if i%2 == 1 {
				members += streamed
			}
			answer := w.ask(asking("", members))
			mutex.Lock()
			defer mutex.Unlock()
			statuses[answer.status]++
		})
	}
	group.Wait()
	w.booksAgree()
	billed := w.upstream.Billed(upstream.Filter{})
	if billed.TotalNanoUSD > limit {
		t.Errorf("the upstream billed %d nano-USD of a budget of %d", billed.TotalNanoUSD, limit)
	}
	served, denied := statuses[http.StatusOK], statuses[http.StatusPaymentRequired]+statuses[http.StatusTooManyRequests]
	if served == 0 || denied == 0 || served+denied != requests || int64(served) != billed.Count {
		t.Errorf("statuses %v, and the upstream billed %d requests", statuses, billed.Count)
	}
	if got := len(w.received.all()); got != served {
		t.Errorf("the upstream got %d requests, of which %d were served", got, served)
	}
}

func TestALedgerThatRestartsInMidLoadLosesNothing(t *testing.T) {
	const clients, each, restarts = 8, 30, 3
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000), monthly(consumerName, 100_000_000_000)}})
	var group sync.WaitGroup
	var served, refused atomic.Int64
	for range clients {
		group.Go(func() {
			for i := range each {
				members := `,"max_tokens":20`
				if i%2 == 1 {
					members += streamed
				}
				switch answer := w.ask(asking("", members)); answer.status {
				case http.StatusOK:
					served.Add(1)
				case http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Errorf("status %d: %s", answer.status, answer.body)
				}
			}
		})
	}
	for restart := range restarts {
		w.eventually("there is load", func() bool { return served.Load()+refused.Load() >= int64(restart+1)*clients*each/(restarts+2) })
		w.ledger.stop()
		w.ledger.resume(t)
	}
	group.Wait()
	w.booksAgree()
	if billed := w.upstream.Billed(upstream.Filter{}); served.Load() == 0 || served.Load() != billed.Count {
		t.Errorf("%d requests were served and %d refused, and the upstream billed %d", served.Load(), refused.Load(), billed.Count)
	}
}
