package store

import (
	"context"
	"errors"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// Operable is a store that shows an operator what is out with whom, and proves that its books agree with themselves.
type Operable interface {
	// Proxies returns every proxy that something is out with, that was released, or that is heard from: since the store was opened, or
	// not silent where that is known for longer. They are sorted by instance and id.
	Proxies(ctx context.Context) ([]ProxyAccount, error)
	// Verify compares everything in the books that is a sum with what it is the sum of, as of one moment. It changes nothing. An error
	// means that the books could not be read.
	Verify(ctx context.Context, now time.Time) (Verdict, error)
}

// Copyable is a store that can copy its books into a file while they are in use.
type Copyable interface {
	// Backup writes the books as of one moment that is not before now into a file of the ledger's own machine. path is absolute, and
	// nothing may be there. The file is checked and on disk when it gets its name, and nothing is left if that fails. It returns the
	// file's size in bytes. ErrExists, ErrFull.
	Backup(ctx context.Context, now time.Time, path string) (int64, error)
}

// ErrExists means that there is a file already where one is to be made.
var ErrExists = errors.New("the file exists already")

// ProxyAccount is what the books say of a proxy.
type ProxyAccount struct {
	ProxyID, Instance string
	// LastHeard is zero if that is not known: it was not heard from since the store was opened, and this is not kept.
	LastHeard time.Time
	// Silent is true while what is out with it counts as uncertain; Released once it was given up.
	Silent, Released bool
	// Applied is the number of the last record of its log that is in the books.
	Applied int64
	// Out is what is out with it, by budget. A dollar for a request under two budgets is there twice.
	Out []Outstanding
	// Release is the last decision to give it up; nil if there was none.
	Release *Released
}

// Total is all that is out with the proxy, over all budgets.
func (p *ProxyAccount) Total() money.Amount {
	var total money.Amount
	for _, one := range p.Out {
		total = total.Add(one.Amount)
	}
	return total
}

// Outstanding is money of one budget that is out with a proxy.
type Outstanding struct {
	// Route is that of a shared owner's if it is a budget of one.
	Route RouteKey
	// Consumer and Upstream are empty if it is a budget of the route, or of a shared owner.
	Consumer, Upstream, Budget string
	Amount                     money.Amount
}

// Released is a release that was made.
type Released struct {
	Release
	At    time.Time
	Freed money.Amount
}

// Verdict is what became of proving the books.
type Verdict struct {
	// Scopes (routes, consumers and shared owners), Windows, Leases and Proxies are how many were looked at.
	Scopes, Windows, Leases, Proxies int64
	// Discrepancies are where the books do not agree with themselves.
	Discrepancies []Finding
	// Debts are the budgets that deny and of which more is spent or out than their limit allows now. That is no fault of the books: an
	// upstream billed more than was held, or the budget was lowered.
	Debts []Finding
	// Restorations are the backups that the books were restored from, the oldest first.
	Restorations []Restoration
}

// Finding is something that a person should know of the books.
type Finding struct {
	// About names it: "budget monthly of route ai/chat in the window from 2026-11-01T00:00:00Z".
	About string
	// Problem says what is wrong, with amounts.
	Problem string
}

// Restoration says that books went on from a backup. Of what happened in between they know only what proxies reported again.
type Restoration struct {
	// TakenAt is when the backup was begun, RestoredAt when it was first opened as the ledger's books: zero if not yet.
	TakenAt, RestoredAt time.Time
}
