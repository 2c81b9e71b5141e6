package proxy_test

import (
	"net/http"
	"sync"
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
