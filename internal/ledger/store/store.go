// Package store is what the ledger asks of its database: accounts, windows, holds and sessions, and the one rule that a budget that
// denies is never overspent. storetest is the suite that every implementation must pass.
//
// Every method that writes has written to disk when it returns without an error. Times are the ledger's own and are given by the
// caller, so that a store reads no clock. Amounts are in nano-USD; those of a rate limit's accounts and leases are in requests or tokens.
package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Store keeps the ledger's books.
//
// Money leaves the books in leases: a proxy draws from an account, spends what it drew without asking, and reports what became of it in a
// log of numbered records. The books obey one invariant: whenever money is leased, settled + uncertain + leased + amount ≤ limit in the
// current window of the account. What was spent belongs to names (namespace, route, consumer, shared owner) and is never forgotten: not
// when a budget is edited, and not when a route is emptied and put again.
//
// A shared owner (a team, a key) has accounts that the consumers of several routes draw on. What a consumer spends in the owner's name
// counts for it also where it was spent before the owner was put, and stays with it when the consumer no longer draws on it.
type Store interface {
	// PutRoute replaces the budgets of a route and its consumers, who may serve it, and on which shared owners its consumers draw.
	// ErrUnknownOwner.
	PutRoute(ctx context.Context, route Route) error
	// PutShared replaces the budgets of a shared owner.
	PutShared(ctx context.Context, shared Shared) error
	// OpenSession ends the proxy's earlier session and gives it a new one, for those of the routes that it serves: one that it does not
	// must not keep it from the others. ErrUnknownRoute or ErrNotServer if there is none.
	OpenSession(ctx context.Context, now time.Time, session NewSession) (Opened, error)
	// Heartbeat notes that the proxy lives, and says what it should know. ErrUnknownSession.
	Heartbeat(ctx context.Context, now time.Time, session Credential, beat Beat) (Pulse, error)
	// Draw leases money. Each demand is met in all accounts concerned or in none; then its denial says why. A draw with a sequence
	// that is not above the last one leases nothing and answers with what was leased so far. ErrUnknownSession, ErrReleased,
	// ErrLate.
	Draw(ctx context.Context, now time.Time, session Credential, draw Draw) ([]Answer, error)
	// Append applies records of the proxy's log, all of them or none, each once. first is the number of the first one; records that were
	// applied before are passed over. ErrUnknownSession, ErrGap.
	Append(ctx context.Context, now time.Time, session Credential, first int64, records []Record) (Appended, error)
	// ExpireSilent makes the leases of every proxy that was not heard from after the given instant uncertain: what it has not reported
	// counts as spent until it does. It returns how many proxies that were, and how much money.
	ExpireSilent(ctx context.Context, heardAfter time.Time) (Lapsed, error)
	// ReleaseProxy gives up on a proxy that is gone for good: what is out with it is free again, it can never draw again, and the
	// reason is kept. It returns how much that was. ErrUnknownProxy, ErrStillAlive if it was heard from after the given instant.
	ReleaseProxy(ctx context.Context, now, heardAfter time.Time, release Release) (money.Amount, error)
	// Compact forgets leases of which nothing is left and whose window is over, and everything of a rate limit's windows that are. What of
	// the history is from before keepFrom is carried forward as one sum. No money is changed.
	Compact(ctx context.Context, now, keepFrom time.Time) error
	// History calls each for the rows of a query, sorted by bucket, consumer, team, model and upstream, and returns the time up to which
	// these are all. ErrUnknownRoute; an error of each ends it.
	History(ctx context.Context, query HistoryQuery, each func(HistoryRow) error) (end time.Time, err error)
	// UpstreamSpend returns what a route ever spent, by upstream, sorted by name: the sums of its history, as of one moment. It locks
	// nothing that a settlement would wait for. ErrUnknownRoute.
	UpstreamSpend(ctx context.Context, route RouteKey) ([]UpstreamSpend, error)
	// Usage returns the spend and budgets of every route and every shared owner ever put, and the proxies that were heard from after the
	// given instant.
	Usage(ctx context.Context, now, heardAfter time.Time) (Usage, error)
	Close() error
}

var (
	// ErrUnknownSession means that the session was never opened, has ended, or that the token is not its own.
	ErrUnknownSession = errors.New("the session is not known or has ended")
	// ErrUnknownRoute means that the route was never put.
	ErrUnknownRoute = errors.New("the route is not known")
	// ErrUnknownOwner means that a shared owner was never put.
	ErrUnknownOwner = errors.New("the shared owner is not known")
	// ErrUnknownConsumer means that the route has no such consumer now.
	ErrUnknownConsumer = errors.New("the consumer is not known")
	// ErrNotServer means that the caller is not the one that may serve the route.
	ErrNotServer = errors.New("the caller does not serve the route")
	// ErrGap means that records are missing before the first one.
	ErrGap = errors.New("records are missing before these")
	// ErrReleased means that the proxy was given up by an operator. What it reports is booked; for money it must begin anew under
	// another id.
	ErrReleased = errors.New("the proxy was released")
	// ErrLate means that the proxy has given everything back since it drew.
	ErrLate = errors.New("the draw is from before the proxy gave everything back")
	// ErrUnknownProxy means that no proxy of this id ever had a session.
	ErrUnknownProxy = errors.New("the proxy is not known")
	// ErrStillAlive means that a proxy that is to be released was heard from lately.
	ErrStillAlive = errors.New("the proxy is alive")
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

// RateLife is for how long the books keep what they have of a rate limit's window that is over.
const RateLife = 5 * time.Minute

// Route is what the manager puts.
type Route struct {
	Namespace, Name string
	// Server is the identity that may serve the route; empty: nobody.
	Server string
	// Consumers are the names of all consumers.
	Consumers []string
	Budgets   []Budget
	// Members say which consumers draw on which shared owners.
	Members []Member
}

// Budget is one budget of a route, or of a consumer, an upstream or a shared owner if that is set. A rate limit is one, too, in another
// unit; it denies, and covers all upstreams.
type Budget struct {
	Consumer string
	Owner    budget.Owner
	budget.Coverage
	// Name is unique among the budgets of one owner in one unit.
	Name string
	Unit budget.Unit
	// Limit is between 0 and MaxLimit.
	Limit       money.Amount
	Period      budget.Period
	TimeZone    string
	Enforcement budget.Enforcement
}

// CompareBudgets orders the budgets of a route with those of its upstreams, or of one consumer: by upstream, unit and name.
func CompareBudgets(a, b Budget) int {
	return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Name, b.Name))
}

// TokenHash is the SHA-256 of a session's token; the token itself is not stored.
type TokenHash = [sha256.Size]byte

// NewSession is a session to be opened.
type NewSession struct {
	ProxyID  string
	Instance string
	Routes   []RouteKey
	// Identity is who the caller proved to be; the session is for the routes that it is the server of.
	Identity string
	Token    TokenHash
}

// Credential is what a call proves its session with.
type Credential struct {
	ProxyID string
	Epoch   int64
	Token   TokenHash
}

// Opened is a new session.
type Opened struct {
	Epoch int64
	// Applied is the number of the last record of the proxy's log that is in the books.
	Applied int64
	// LeftOut are the routes that the session is not for.
	LeftOut []RouteKey
}

// Beat is what a proxy says with a heartbeat.
type Beat struct {
	ConfigHash string
	// InFlight is what the requests under way can cost at most.
	InFlight []InFlight
}

// InFlight is the worst case of the requests that a consumer has under way at an upstream through a proxy.
type InFlight struct {
	Route    RouteKey
	Consumer string
	Upstream string
	Amount   money.Amount
}

// Pulse is what the ledger answers to a heartbeat.
type Pulse struct {
	// Versions are those of the session's routes. A route whose version has changed has other accounts now: what was drawn for it is
	// to be given back and drawn anew.
	Versions map[RouteKey]int64
	// Recall are the leases of which the proxy should give back what it does not need, because it is wanted elsewhere.
	Recall []int64
}

// Draw is a proxy's wish for money.
type Draw struct {
	// Sequence counts the draws of a session from 1; one is under way at a time.
	Sequence int64
	// After is the number of the last record that the proxy had written when it drew. A draw from before the proxy gave everything back
	// comes too late: nobody would spend what it leases.
	After int64
	// Identity is who the caller proved to be; it must be the server of each route.
	Identity string
	Demands  []Demand
}

// Demand is what a proxy needs for one request, and what it would like to have ahead of need.
type Demand struct {
	Route    RouteKey
	Consumer string
	// Upstream is where the request is to go.
	Upstream string
	// Amount is the worst case of the request, between 0 and MaxAmount. It is needed in every account of the route, of the consumer, of its
	// shared owners and of the upstream that counts money and covers the upstream; in those that count requests or tokens, Requests and
	// Tokens are.
	Amount           money.Amount
	Requests, Tokens int64
	// Have is what the proxy has put aside for the request from what it drew earlier, by lease.
	Have map[int64]money.Amount
	// Want, WantRequests and WantTokens are what the proxy would like to have on top in each account. It gets as much as leaves enough for
	// others.
	Want                     money.Amount
	WantRequests, WantTokens int64
}

// Need is what is needed of a budget; nothing of one that does not cover the upstream.
func (d *Demand) Need(of *Budget) money.Amount {
	return d.pick(of, d.Amount, d.Requests, d.Tokens)
}

// Ahead is what the proxy would like on top of a budget.
func (d *Demand) Ahead(of *Budget) money.Amount {
	return d.pick(of, d.Want, d.WantRequests, d.WantTokens)
}

func (d *Demand) pick(of *Budget, amount money.Amount, requests, tokens int64) money.Amount {
	if !of.Covers(d.Upstream) {
		return money.Amount{}
	}
	return [...]money.Amount{budget.USD: amount, budget.Requests: money.FromNano(requests), budget.Tokens: money.FromNano(tokens)}[of.Unit]
}

// Nothing is the demand of somebody who only asks which accounts there are.
func (d *Demand) Nothing() Demand {
	return Demand{Route: d.Route, Consumer: d.Consumer, Upstream: d.Upstream}
}

// Answer is what became of a demand.
type Answer struct {
	// Err is why the demand cannot be met at all: ErrUnknownRoute, ErrUnknownConsumer, ErrNotServer; nil otherwise.
	Err error
	// Denial is nil if the need is met.
	Denial *Denial
	// Version is that of the route whose accounts these are.
	Version int64
	// Leases are those of the proxy in every account of the route, of the consumer, of its shared owners and of the upstreams that denies,
	// in their current windows.
	Leases []Lease
	// Team is the team on whose accounts the consumer draws, empty if on none; Former are those on whose accounts it drew once. The attempt
	// is spent in the name of that team, and not in the name of one of these.
	Team   string
	Former []string
}

// Lease is money of one account, in one window, that is out with one proxy.
type Lease struct {
	// ID is never used again.
	ID int64
	// Granted is all that was ever leased under this id, so that a lost answer loses nothing: the next one has it too.
	Granted money.Amount
	// WindowEnd is when the lease must no longer be spent from; zero if never.
	WindowEnd time.Time
	// Consumer and Owner are empty if it is a budget of the route or of an upstream.
	Consumer, Budget string
	Owner            budget.Owner
	budget.Coverage
	Unit  budget.Unit
	Limit money.Amount
	// Remaining is the limit less what is settled and uncertain; Free is what could still be leased. Either may be negative.
	Remaining, Free money.Amount
	// Sharers is how many proxies serve the route now, or any of those that share the account, this one included.
	Sharers int
	// Recalled is true while somebody is refused, so that the proxy should give back what it does not need; see Pulse.
	Recalled bool
}

// Denial says which budget refused a demand.
type Denial struct {
	// Exhausted is true if what is spent leaves too little, false if the money is only out with proxies.
	Exhausted bool
	// Consumer, Upstream and Owner are empty if it is a budget of the route.
	Consumer, Upstream, Budget string
	Owner                      budget.Owner
	Unit                       budget.Unit
	Limit                      money.Amount
	// Remaining is the limit less what is settled and uncertain; it may be negative.
	Remaining money.Amount
	// WindowEnd is zero if the window never ends.
	WindowEnd time.Time
}

// Record is an entry of a proxy's log. Exactly one of its fields is set.
type Record struct {
	Settlement *Settlement
	Return     *Charge
	// ReleaseAll gives back everything that is out with the proxy: nothing is under way there.
	ReleaseAll bool
}

// Charge takes an amount off a lease.
type Charge struct {
	Lease  int64
	Amount money.Amount
}

// Settlement is what one attempt at an upstream cost.
type Settlement struct {
	Route    RouteKey
	Consumer string
	// OpenedAt is when the money was held, by the ledger's clock as far as the proxy knew it.
	OpenedAt time.Time
	// Amount is between 0 and MaxAmount.
	Amount money.Amount
	// Uncertain is true if nobody vouches for the amount.
	Uncertain bool
	// Replaces is what an earlier settlement booked as uncertain for the same attempt, which Amount takes the place of; between 0 and
	// MaxAmount.
	Replaces money.Amount
	// Requests and Tokens are what counts against rate limits; between 0 and MaxAmount.
	Requests, Tokens int64
	// Model, Upstream and Team are what the history tells the attempt by, Source is where an exact amount is from, Used what the upstream
	// reported. Team also says whose shared accounts pay.
	Model, Upstream, Team string
	Source                Source
	Used                  Tokens
	// Charges are what is taken off the leases that the attempt was held in. What it cost beyond that is booked all the same.
	Charges []Charge
}

// Cost is what a settlement adds to the accounts of a unit; what is uncertain may be negative. Nobody doubts requests and tokens: they
// count for moments.
func (s *Settlement) Cost(unit budget.Unit) (settled, uncertain money.Amount) {
	switch unit {
	case budget.Requests:
		return money.FromNano(s.Requests), money.Amount{}
	case budget.Tokens:
		return money.FromNano(s.Tokens), money.Amount{}
	case budget.USD:
	}
	uncertain = money.Amount{}.Sub(s.Replaces)
	if s.Uncertain {
		return money.Amount{}, uncertain.Add(s.Amount)
	}
	return s.Amount, uncertain
}

// Appended says what became of records.
type Appended struct {
	// Applied is the number of the last record that is in the books; with ErrGap too.
	Applied int64
	// Repeated is how many had been applied before. Foreign is how many settlements were passed over because their route was never the
	// proxy's to serve.
	Repeated, Foreign int
}

// Lapsed is what became uncertain because proxies fell silent.
type Lapsed struct {
	Proxies int
	Amount  money.Amount
}

// Release is the decision to give up on a proxy.
type Release struct {
	ProxyID string
	// By is who decided, Reason why.
	By, Reason string
}

// Spend is a sum of money in its states.
type Spend struct {
	// Settled is what is known to be spent; Uncertain counts as spent until it is known better.
	Settled, Uncertain money.Amount
	// Held is the worst case of the requests under way, as of the last heartbeats.
	Held money.Amount
	// Leased is what is out with proxies and not reported yet; only budgets that deny are leased from.
	Leased money.Amount
}
