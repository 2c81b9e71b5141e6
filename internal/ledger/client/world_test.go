package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

var amounts = cmp.Comparer(func(a, b money.Amount) bool { return a == b })

var route = client.Route{Namespace: "ai", Name: "chat"}

// deny is a budget of alice's that denies.
func deny(name string, limit int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref: &ledgerpb.BudgetRef{Consumer: "alice", Name: name}, Limit: limit,
		Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// putBudgets puts the route ai/chat, with alice and these budgets.
func putBudgets(l *ledgertest.Ledger, budgets ...*ledgerpb.Budget) {
	l.PutRoute(&ledgerpb.PutRouteRequest{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Consumers: []string{"alice"}, Budgets: budgets,
	})
}

// put puts the route ai/chat with a budget of so many nano-USD that denies.
func put(l *ledgertest.Ledger, limit int64) { putBudgets(l, deny("all", limit)) }

func demand(nano int64) client.Demand {
	return client.Demand{Namespace: "ai", Route: "chat", Consumer: "alice", Amount: money.FromNano(nano)}
}

func reserve(t *testing.T, c *client.Client, nano int64) *client.Hold {
	t.Helper()
	hold, err := c.Reserve(t.Context(), demand(nano))
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	return hold
}

func settle(t *testing.T, hold *client.Hold, nano int64, certainty client.Certainty) {
	t.Helper()
	if err := hold.Settle(client.Cost{Amount: money.FromNano(nano), Certainty: certainty}); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

// spend reserves and settles so much.
func spend(t *testing.T, c *client.Client, nano int64) {
	t.Helper()
	settle(t, reserve(t, c, nano), nano, client.Exact)
}

// wantDenied expects a denial for a reason.
func wantDenied(t *testing.T, c *client.Client, nano int64, reason client.Reason) {
	t.Helper()
	if denied := denial(t, c, nano); denied.Reason != reason {
		t.Fatalf("denied because %s, want %s: %v", denied.Reason, reason, denied)
	}
}

// denial expects a denial.
func denial(t *testing.T, c *client.Client, nano int64) *client.DeniedError {
	t.Helper()
	_, err := c.Reserve(t.Context(), demand(nano))
	denied, is := errors.AsType[*client.DeniedError](err)
	if !is {
		t.Fatalf("error %v, want a denial", err)
	}
	return denied
}

func wantUnavailable(t *testing.T, c *client.Client, nano int64) {
	t.Helper()
	if _, err := c.Reserve(t.Context(), demand(nano)); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
}

// patiently makes time go by ten times slower for a proxy: how long it waits for money that others have is no matter then, but only
// whether they give it back.
func patiently(o *client.Options) {
	begin := time.Now()
	o.Now = func() time.Time { return begin.Add(time.Since(begin) / 10) }
}

// closeClient gives everything back and waits until the ledger has it.
func closeClient(t *testing.T, c *client.Client) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// eventually waits until the condition holds; wrong says what is so instead.
func eventually(t *testing.T, wrong func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		problem := wrong()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(problem)
		}
	}
}

// books are what the ledger says of ai/chat in nano-USD. Leased is summed over all budgets, and so is Stranded: what silent proxies have.
type books struct{ Settled, Uncertain, Held, Leased, Stranded int64 }

func booksOf(l *ledgertest.Ledger) books {
	usage := l.Usage("ai", "chat")
	spend := usage.GetSpend()
	found := books{Settled: spend.GetSettledNanoUsd(), Uncertain: spend.GetUncertainNanoUsd(), Held: spend.GetHeldNanoUsd()}
	budgets := usage.GetBudgets()
	for _, consumer := range usage.GetConsumers() {
		budgets = append(budgets, consumer.GetBudgets()...)
	}
	for _, one := range budgets {
		found.Leased += one.GetSpend().GetLeasedNanoUsd()
		found.Stranded += one.GetSpend().GetUncertainNanoUsd() - spend.GetUncertainNanoUsd()
	}
	return found
}

// wantBooks waits until the books are so.
func wantBooks(t *testing.T, l *ledgertest.Ledger, want books) {
	t.Helper()
	eventually(t, func() string { return cmp.Diff(want, booksOf(l)) })
}

// wantSpend waits until the route has this spend: settled, uncertain, held.
func wantSpend(t *testing.T, l *ledgertest.Ledger, want [3]int64) {
	t.Helper()
	eventually(t, func() string {
		got := booksOf(l)
		return cmp.Diff(want, [3]int64{got.Settled, got.Uncertain, got.Held})
	})
}

// proxy is a client with its journal.
type proxy struct {
	*client.Client
	journal *journal.Journal
	stop    func()
}

// start runs a client on the journal in a directory until the test ends or it is stopped.
func start(t *testing.T, l *ledgertest.Ledger, journals journal.Options, change ...func(*client.Options)) *proxy {
	t.Helper()
	if journals.Directory == "" {
		journals.Directory = t.TempDir()
	}
	kept, replay, err := journal.Open(journals)
	if err != nil {
		t.Fatalf("opening a journal: %v", err)
	}
	options := client.Options{
		URL: l.URL, HTTPClient: l.HTTPClient(), Token: l.Token, Journal: kept, Replay: replay, Instance: "pod",
		Routes:     func() []client.Route { return []client.Route{route} },
		ConfigHash: func() string { return "" },
		Now:        time.Now,
		Logger:     slog.New(slog.DiscardHandler),
	}
	if os.Getenv("CLIENT_TEST_LOG") != "" {
		options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	for _, one := range change {
		one(&options)
	}
	c := client.New(options)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	stop := sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := kept.Close(); err != nil {
			t.Errorf("closing a journal: %v", err)
		}
	})
	t.Cleanup(stop)
	return &proxy{Client: c, journal: kept, stop: stop}
}

// wire is a connection that counts calls and breaks.
type wire struct {
	http.RoundTripper
	calls sync.Map
	// broken says what happens to a call: whether it does not arrive, and whether its answer does not.
	broken atomic.Pointer[func(method string) (call, answer bool)]
	// repeated methods arrive twice; the answer is that of the second.
	repeated atomic.Pointer[string]
}

// through makes a client use the wire.
func (w *wire) through(o *client.Options) {
	w.RoundTripper = o.HTTPClient.Transport
	o.HTTPClient = &http.Client{Transport: w}
}

func (w *wire) breaks(how func(method string) (call, answer bool)) { w.broken.Store(&how) }

// heal makes the wire whole.
func (w *wire) heal() { w.broken.Store(nil) }

// count is how often a method was called.
func (w *wire) count(method string) int64 {
	counter, _ := w.calls.LoadOrStore(method, new(atomic.Int64))
	return counter.(*atomic.Int64).Load()
}

var errBroken = errors.New("the connection broke")

func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	method := request.URL.Path[strings.LastIndex(request.URL.Path, "/")+1:]
	counter, _ := w.calls.LoadOrStore(method, new(atomic.Int64))
	counter.(*atomic.Int64).Add(1)
	var call, answer bool
	if how := w.broken.Load(); how != nil {
		call, answer = (*how)(method)
	}
	if call {
		return nil, errBroken
	}
	if repeated := w.repeated.Load(); repeated != nil && *repeated == method {
		if err := w.twice(request); err != nil {
			return nil, err
		}
	}
	response, err := w.RoundTripper.RoundTrip(request)
	if err == nil && answer {
		response.Body.Close()
		return nil, errBroken
	}
	return response, err
}

// twice sends a copy of the request and drops its answer.
func (w *wire) twice(request *http.Request) error {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err
	}
	twin := request.Clone(request.Context())
	request.Body, twin.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
	if response, err := w.RoundTripper.RoundTrip(twin); err == nil {
		return response.Body.Close()
	}
	return nil
}
