// Package store is what the ledger asks of its database: accounts, windows, holds and sessions, and the one rule that a budget that
// denies is never overspent. storetest is the suite that every implementation must pass.
//
// Every method that writes has written to disk when it returns without an error. Times are the ledger's own and are given by the
// caller, so that a store reads no clock. Amounts are in nano-USD.
package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Store keeps the ledger's books.
//
// The books obey one invariant: at the moment at which money is held, settled + uncertain + held + amount ≤ limit in the current
// window of every budget of the route and of the consumer that denies. What was spent belongs to names (namespace, route, consumer)
// and is never forgotten: not when a budget is edited, and not when a route is emptied and put again.
type Store interface {
	// PutRoute replaces the budgets of a route and its consumers and who may serve it.
	PutRoute(ctx context.Context, route Route) error
	// OpenSession ends the proxy's earlier session and gives it a new one. ErrUnknownRoute, ErrNotServer.
	OpenSession(ctx context.Context, now time.Time, session NewSession) (epoch int64, err error)
	// Heartbeat notes that the proxy lives. ErrUnknownSession.
	Heartbeat(ctx context.Context, now time.Time, session Credential, beat Beat) error
	// Reserve holds the demand's amount in all budgets concerned or in none; then the denial says why. A repeated call holds once.
	// ErrUnknownSession, ErrNotServer, ErrUnknownRoute, ErrUnknownConsumer, ErrClosedHold, ErrTooMuch.
	Reserve(ctx context.Context, now time.Time, session Credential, demand Demand) (*Denial, error)
	// Settle books what attempts cost, all of the settlements or none. Each counts once. ErrUnknownSession, ErrForeignRoute.
	Settle(ctx context.Context, now time.Time, session Credential, settlements []Settlement) (Settled, error)
	// ExpireSilent makes the holds of every proxy that was not heard from after the given instant uncertain: they count as spent
	// until they are settled after all. It returns how many holds that were.
	ExpireSilent(ctx context.Context, heardAfter time.Time) (int, error)
	// Compact forgets what is no longer needed to recognise a repeated call: settled holds that their proxies said they are done
	// with, and the sessions of proxies that have nothing open and were not heard from after the given instant. No money is
	// changed.
	Compact(ctx context.Context, heardAfter time.Time) error
	// Usage returns the spend and budgets of every route ever put, sorted by namespace and name, and the proxies that were heard
	// from after the given instant.
	Usage(ctx context.Context, now, heardAfter time.Time) ([]RouteUsage, error)
	Close() error
}

var (
	// ErrUnknownSession means that the session was never opened, has ended, or that the token is not its own.
	ErrUnknownSession = errors.New("the session is not known or has ended")
	// ErrUnknownRoute means that the route was never put.
	ErrUnknownRoute = errors.New("the route is not known")
	// ErrUnknownConsumer means that the route has no such consumer now.
	ErrUnknownConsumer = errors.New("the consumer is not known")
	// ErrNotServer means that the caller is not the one that may serve the route.
	ErrNotServer = errors.New("the caller does not serve the route")
	// ErrForeignRoute means that a settlement names a hold that is not known and a route for which its proxy never had a session.
	ErrForeignRoute = errors.New("the proxy never served the route")
	// ErrClosedHold means that the hold was settled already, or that its number stands for another demand: the call must not be
	// answered with money.
	ErrClosedHold = errors.New("the hold is closed")
	// ErrTooMuch means that the books cannot hold so large a sum. Only absurd amounts get here.
	ErrTooMuch = errors.New("more is held than the books can count")
	// ErrFull means that the disk is full. Nothing was changed.
	ErrFull = errors.New("the ledger's disk is full")
	// ErrFailed means that the database failed. Nothing was changed, unless the failure hid the success of a commit; a repeated
	// call counts once.
	ErrFailed = errors.New("the ledger's database failed")
)

const (
	// MaxAmount is the largest hold or settlement: a thousand million USD. It is one nano-USD above the largest limit, so that it
	// never fits a budget that denies.
	MaxAmount = 1_000_000_000 * money.NanoPerUSD
	// MaxLimit is the largest limit of a budget, as of a manifest.
	MaxLimit = MaxAmount - 1
	// MaxSum is where the sums of the books saturate: three of them and an amount still fit an int64.
	MaxSum = 2 * MaxAmount
)

// Bucket is how finely history is kept. Every offset from UTC in use today is a multiple of it, so that windows begin with a bucket.
const Bucket = 15 * time.Minute

// Route is what the manager puts.
type Route struct {
	Namespace, Name string
	// Server is the identity that may serve the route; empty: nobody.
	Server string
	// Consumers are the names of all consumers.
	Consumers []string
	Budgets   []Budget
}

// Budget is one budget of a route, or of a consumer if that is set.
type Budget struct {
	Consumer string
	Name     string
	// Limit is between 0 and MaxLimit.
	Limit       money.Amount
	Period      budget.Period
	TimeZone    string
	Enforcement budget.Enforcement
}

// RouteKey names a route.
type RouteKey struct{ Namespace, Name string }

// TokenHash is the SHA-256 of a session's token; the token itself is not stored.
type TokenHash = [sha256.Size]byte

// NewSession is a session to be opened.
type NewSession struct {
	ProxyID  string
	Instance string
	Routes   []RouteKey
	// Identity is who the caller proved to be; it must be the server of each route.
	Identity string
	Token    TokenHash
}

// Credential is what a call proves its session with.
type Credential struct {
	ProxyID string
	Epoch   int64
	Token   TokenHash
}

// Beat is what a proxy says with a heartbeat.
type Beat struct {
	ConfigHash string
	// SettledBelow is the sequence below which every settlement of this epoch was acknowledged.
	SettledBelow int64
}

// Demand is the worst case of one attempt.
type Demand struct {
	Sequence int64
	Route    RouteKey
	Consumer string
	// Amount is between 0 and MaxAmount.
	Amount money.Amount
	// Identity is who the caller proved to be; it must be the route's server.
	Identity string
}

// Denial says which budget refused a demand.
type Denial struct {
	// Exhausted is true if what is spent leaves too little, false if the money is only held.
	Exhausted bool
	// Consumer is empty if it is a budget of the route.
	Consumer, Budget string
	Limit            money.Amount
	// Remaining is the limit less what is settled and uncertain; it may be negative.
	Remaining money.Amount
	// WindowEnd is zero if the window never ends.
	WindowEnd time.Time
}

// Settlement is what one held attempt cost.
type Settlement struct {
	Epoch    int64
	Sequence int64
	// Amount is between 0 and MaxAmount.
	Amount money.Amount
	// Uncertain is true if nobody vouches for the amount.
	Uncertain bool
	// Route and Consumer are who pays if the hold is not known.
	Route    RouteKey
	Consumer string
}

// Settled says what became of settlements.
type Settled struct {
	// Repeated is how many had been booked before, Unmatched how many were booked although their hold is not known.
	Repeated, Unmatched int
}

// Spend is a sum of money in its three states.
type Spend struct {
	Settled, Uncertain, Held money.Amount
}

// RouteUsage is what became of a route.
type RouteUsage struct {
	Route RouteKey
	// Spend is since the ledger began.
	Spend   Spend
	Budgets []BudgetUsage
	// Consumers are all that the route ever had, sorted by name.
	Consumers []ConsumerUsage
	// Proxies are sorted by instance; of several with the same instance, only the youngest.
	Proxies []Proxy
}

// ConsumerUsage is what a consumer spent.
type ConsumerUsage struct {
	Name    string
	Spend   Spend
	Budgets []BudgetUsage
}

// BudgetUsage is a budget in its current window. Budgets are sorted by name.
type BudgetUsage struct {
	Budget Budget
	Window budget.Window
	Spend  Spend
	// Refusing is true if the last demand was refused because what is spent leaves too little, though the whole limit would have
	// covered it: the budget is used up for the requests that come. A demand that is granted, or an edit, ends it.
	Refusing bool
}

// Proxy is a proxy that was heard from.
type Proxy struct {
	ProxyID, Instance, ConfigHash string
	LastHeard                     time.Time
}
