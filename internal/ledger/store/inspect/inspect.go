// Package inspect reads the ledger's books for those who look at them from outside: what is out with whom, what was spent where, and
// whether the books agree with themselves.
// The books have the same tables in every store, so that they are read in one way: a store lends a Reading. Only what SQLite, PostgreSQL
// and those who speak its protocol have in common is used.
package inspect

import (
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// Reading is one consistent reading of the books: all that is read through it is of one moment.
type Reading interface {
	// Rows runs a query, whose parameters are $1, $2 and so on, and calls take for every row of its answer while it comes.
	Rows(query string, take func(scan Scan) error, arguments ...any) error
}

// Scan puts the columns of a row into variables.
type Scan func(into ...any) error

// Sums are taken in two parts, of the bits above these and of these, so that no database's own sum can overflow.
const (
	lowBits = 30
	lowMask = 1<<lowBits - 1
)

// parts is a sum in its two parts.
type parts struct{ high, low int64 }

// amount puts the parts together, and saturates where the books do.
func (p parts) amount() money.Amount {
	high := p.high + p.low>>lowBits
	if high > store.MaxSum>>lowBits {
		return money.FromNano(store.MaxSum)
	}
	return saturated(money.FromNano(high<<lowBits + p.low&lowMask))
}

func saturated(amount money.Amount) money.Amount {
	return money.FromNano(min(amount.Nano(), store.MaxSum))
}

// scopeName says which route, consumer or shared owner is meant.
func scopeName(key store.RouteKey, consumer string) string {
	name := key.Words()
	if consumer != "" {
		name = "consumer " + consumer + " of " + name
	}
	return name
}

// accountName says which budget or rate limit is meant.
func accountName(of *store.Budget, key store.RouteKey) string {
	owner := " of " + scopeName(key, of.Consumer)
	if of.Upstream != "" {
		owner = " of upstream " + of.Upstream + owner
	}
	if of.Unit == budget.USD {
		return "budget " + of.Name + owner
	}
	return "rate limit " + of.Name + " (" + of.Unit.String() + ")" + owner
}

func proxyName(proxyID, instance string) string { return "proxy " + proxyID + " (" + instance + ")" }
