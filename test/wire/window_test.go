package wire

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/test/world"
)

// hands are those of a clock that a test sets.
type hands struct {
	mutex sync.Mutex
	at    time.Time
}

func (h *hands) now() time.Time {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.at
}

func (h *hands) set(at time.Time) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.at = at
}

func TestCase18AWindowEndsOnTimeAndARequestIsPaidByTheWindowThatItBeganIn(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		period ledgerpb.Period
		zone   string
		ends   time.Time
	}{
		"a day at midnight in UTC":      {ledgerpb.Period_PERIOD_DAY, "UTC", time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)},
		"a week on Monday":              {ledgerpb.Period_PERIOD_WEEK, "UTC", time.Date(2026, 3, 16, 0, 0, 0, 0, time.UTC)},
		"a month on the 1st":            {ledgerpb.Period_PERIOD_MONTH, "UTC", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		"a day at midnight in Auckland": {ledgerpb.Period_PERIOD_DAY, "Pacific/Auckland", time.Date(2026, 3, 10, 11, 0, 0, 0, time.UTC)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			clock := &hands{at: test.ends.Add(-time.Second)}
			// One request can cost 1,200,000 nano-USD and its prompt, so the budget has room for one and not for two.
			budget := world.Monthly("", 2_000_000)
			budget.Period, budget.TimeZone = test.period, test.zone
			c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{budget}, Now: clock.now})
			if got := c.Window("monthly").GetWindowEnd().AsTime(); !got.Equal(test.ends) {
				t.Fatalf("the window ends at %v, want %v", got, test.ends)
			}

			open := c.hold()
			clock.set(test.ends)
			c.ask(asking("answer=10", short)).expectOK(t)
			second := c.Upstream.Billed(upstream.Filter{}).TotalNanoUSD
			open.finish(t)
			c.BooksAgree()

			window := c.Window("monthly")
			if got := window.GetWindowStart().AsTime(); !got.Equal(test.ends) {
				t.Errorf("the new window begins at %v, want %v", got, test.ends)
			}
			if got := window.GetSpend().GetSettledNanoUsd(); got != second {
				t.Errorf("the new window has %d nano-USD, want the %d of the second request alone", got, second)
			}
		})
	}
}

func TestCase18AMomentBeforeItsEndAWindowIsStillFull(t *testing.T) {
	t.Parallel()
	ends := time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)
	clock := &hands{at: ends.Add(-time.Hour)}
	budget := world.Monthly("", 2_000_000)
	budget.Period = ledgerpb.Period_PERIOD_DAY
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{budget}, Now: clock.now})
	c.ask(asking("answer=200", short)).expectOK(t)
	c.Settled()
	clock.set(ends.Add(-time.Millisecond))
	c.ask(asking("answer=200", short)).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
	clock.set(ends)
	c.ask(asking("answer=200", short)).expectOK(t)
	c.BooksAgree()
}

// held is a request that the upstream has and does not answer yet.
type held struct {
	answered chan reply
	release  chan struct{}
}

// hold sends a request and returns once the upstream has it. Others are answered.
func (c *client) hold() *held {
	c.t.Helper()
	open := &held{answered: make(chan reply, 1), release: make(chan struct{})}
	arrived := make(chan struct{})
	var first sync.Once
	c.AnswerWith(func(w http.ResponseWriter, r *http.Request) {
		isFirst := false
		first.Do(func() { isFirst = true })
		if isFirst {
			close(arrived)
			<-open.release
		}
		c.Upstream.ServeHTTP(w, r)
	})
	request := c.request(c.t.Context(), http.MethodPost, chatPath, asking("answer=10", short))
	go func() {
		response, err := c.Client.Do(request)
		if err != nil {
			open.answered <- reply{broken: err}
			return
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		open.answered <- reply{status: response.StatusCode, body: string(body), broken: err}
	}()
	<-arrived
	return open
}

func (h *held) finish(t *testing.T) {
	t.Helper()
	close(h.release)
	(<-h.answered).expectOK(t)
}
