// Package client is how a proxy spends: it draws money from the ledger ahead of need, holds it for every attempt at an upstream without a
// call, writes what became of it to a journal, and reports that to the ledger.
//
// The order of writes is what keeps every cent. A hold is in the journal before anything is sent upstream. A settlement is there before
// the last byte goes to the client. A record is there before it goes to the ledger, under a number that is never used again; the ledger
// applies each number once. So a process that is killed finds all that it owes when it is started again, and what it had drawn and not
// held goes back.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/money"
)

// ErrUnavailable means that no money could be held because the ledger could not be reached or did not answer as it should. The
// request must not be sent.
var ErrUnavailable = errors.New("the ledger is not available")

// Route names a route that the proxy serves.
type Route struct {
	Namespace string
	Name      string
}

// Options says where the ledger is and who calls it.
type Options struct {
	// URL is the base URL of the ledger's RPCs.
	URL string
	// HTTPClient carries the calls; see NewHTTPClient.
	HTTPClient *http.Client
	// Token returns the bearer token by which the ledger authenticates the proxy. It is called for every call that needs one, so
	// that a rotated token is used at once.
	Token func(ctx context.Context) (string, error)
	// Journal keeps what must survive this process, and has the proxy's identity. Replay is what was found in it.
	Journal *journal.Journal
	Replay  *journal.Replay
	// Instance is what people call this proxy: the pod's name.
	Instance string
	// Routes returns the routes that the proxy serves now. While it returns none, no session is opened; when it returns others, a
	// new one is.
	Routes func() []Route
	// ConfigHash returns the hash of the configuration that the proxy serves now, empty before the first.
	ConfigHash func() string
	// Now is the clock; its readings must be monotonic, as those of time.Now are.
	Now    func() time.Time
	Logger *slog.Logger
}

// Client is one proxy's connection to the ledger. Its methods may be called at the same time; Run must be running.
type Client struct {
	options Options
	rpc     ledgerpbconnect.ProxyServiceClient
	logger  *slog.Logger
	journal *journal.Journal
	book    *book
	// wake makes Run look at once; owe makes the loop that reports look, hurry makes it report what it has, want the one that draws look.
	wake, owe, hurry, want chan struct{}
	// shipping is held while records are sent, so that there is one sender at a time.
	shipping sync.Mutex
	// drawing has an element while the ledger is asked for money.
	drawing chan struct{}
	// failing and announced belong to Run's goroutine: whether the last call failed, and the configuration that was reported last.
	failing   bool
	announced string

	mu sync.Mutex
	// session is nil until the ledger opened one; sessionChanged is closed when it changes.
	session        *session
	sessionChanged chan struct{}
	opened         bool
	// settledPast is set once the ledger has what an earlier process left in the journal.
	settledPast bool
	// resumed and reported belong to Run's goroutine: what that process held is settled, or its records are reported. remains are those
	// that the ledger can only take under another identity.
	resumed, reported bool
	remains           []*ledgerpb.Record
	// renew is set when the ledger gives this identity no money any more, closing when the proxy ends, and releasedAll when it gives
	// everything back then.
	renew, closing, releasedAll bool
	// unsure is set while the last draw was not answered.
	unsure bool
	// clock is the ledger's clock when it was last heard of, and heardAt when that was.
	clock, heardAt time.Time
	purse          *purse
	// lastHold numbers the holds, holds are those that are open.
	lastHold uint64
	holds    map[uint64]*Hold
	doubts   doubts
	// waiting are the reservations that a draw is to serve, ahead the spenders for which to draw before they need it.
	waiting []*request
	ahead   map[spenderKey]struct{}
}

// New makes a client; Run brings it to life.
func New(options Options) *Client {
	transport := connecthttp.NewTransport(options.HTTPClient, options.URL, connecthttp.WithReadMaxBytes(maxResponseBytes))
	return &Client{
		options:        options,
		rpc:            ledgerpbconnect.NewProxyServiceClient(connect.NewClient(transport)),
		logger:         options.Logger,
		journal:        options.Journal,
		book:           newBook(options.Journal),
		wake:           make(chan struct{}, 1),
		owe:            make(chan struct{}, 1),
		hurry:          make(chan struct{}, 1),
		want:           make(chan struct{}, 1),
		drawing:        make(chan struct{}, 1),
		sessionChanged: make(chan struct{}),
		purse:          newPurse(),
		holds:          map[uint64]*Hold{},
		doubts:         newDoubts(),
		ahead:          map[spenderKey]struct{}{},
	}
}

// Owed is how many settlements and returns the ledger has not acknowledged.
func (c *Client) Owed() int { return c.book.owed() }

// maxResponseBytes bounds what the ledger may answer to a proxy.
const maxResponseBytes = 4 << 20

// ledgerTime is what the ledger's clock says now, as far as is known; zero before it was heard of. The caller holds the mutex.
func (c *Client) ledgerTime() time.Time {
	if c.clock.IsZero() {
		return time.Time{}
	}
	return c.clock.Add(c.options.Now().Sub(c.heardAt))
}

// Demand is one attempt's worst case and who pays for it.
type Demand struct {
	Namespace string
	Route     string
	Consumer  string
	// Amount is the most that the attempt can cost, in nano-USD.
	Amount money.Amount
	// Requests and Tokens are what it takes of rate limits at the most. A request is one, however many attempts it takes.
	Requests, Tokens int64
	// Model, Upstream and Team are what the history tells the attempt by. Upstream also decides which budgets have to pay. If the consumer
	// draws on the budgets of a team, the attempt is spent in that team's name, whatever Team says.
	Model, Upstream, Team string
	// Queued, if it is set, is added the time for which the demand waited for the ledger, because what was drawn ahead of need did not do.
	Queued *time.Duration
}

// need is what the attempt needs of accounts, by their unit.
func (d Demand) need() budget.Amounts {
	return budget.Amounts{budget.USD: d.Amount, budget.Requests: money.FromNano(d.Requests), budget.Tokens: money.FromNano(d.Tokens)}
}

func (d Demand) key() spenderKey {
	payer := payerKey{route: Route{Namespace: d.Namespace, Name: d.Route}, consumer: d.Consumer}
	return spenderKey{payerKey: payer, upstream: d.Upstream}
}

// Certainty says how well the cost of an attempt is known.
type Certainty int

const (
	// Exact is what the upstream said, or what its usage costs at the route's prices.
	Exact Certainty = iota + 1
	// Uncertain is the cost of an attempt that was sent and whose cost is not known: its hold.
	Uncertain
)

// Reason says why money was denied.
type Reason string

const (
	// Exhausted means that what is spent leaves too little for the demand.
	Exhausted Reason = "Exhausted"
	// Held means that the money is there, but other requests hold it, and did so for as long as Reserve waited.
	Held Reason = "Held"
)

// DeniedError says which budget or rate limit refused a demand and what is left of it. Amounts are in its unit.
type DeniedError struct {
	Reason Reason
	// Consumer, Upstream and Owner are empty if it is a budget of the route. Owner is a team or a key that several routes share.
	Consumer, Upstream string
	Owner              budget.Owner
	// Budget is the budget's name.
	Budget string
	Unit   budget.Unit
	Limit  money.Amount
	// Remaining is the limit less what is spent, not less what is held; it may be negative.
	Remaining money.Amount
	// ResetsIn is the time until the budget's window ends; 0 if it never does.
	ResetsIn time.Duration
}

// Account names the budget or rate limit that refused, as Balance does: route/NAME, consumer/NAME and so on.
func (e *DeniedError) Account() string {
	return budgetName{owner: e.Owner, consumer: e.Consumer, upstream: e.Upstream, name: e.Budget}.String()
}

func (e *DeniedError) Error() string {
	owner := "the route"
	switch {
	case e.Owner != "":
		owner = e.Owner.Words()
	case e.Consumer != "":
		owner = "consumer " + e.Consumer
	case e.Upstream != "":
		owner = "upstream " + e.Upstream
	}
	kind := "budget"
	if e.Unit != budget.USD {
		kind = "rate limit"
	}
	return fmt.Sprintf("%s %s of %s: %s, limit %s, remaining %s", kind, e.Budget, owner, e.Reason, e.Unit.Format(e.Limit),
		e.Unit.Format(e.Remaining))
}
