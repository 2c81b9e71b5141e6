package fence

import "github.com/modelroute/modelroute/internal/money"

// Key is how a key stands at the upstream.
type Key struct {
	// Limited is false if it may spend without end; else Amount is its limit.
	Limited bool
	Amount  money.Amount
	Reset   Reset
	// Used is what it has spent since each of the resets last happened; under Never in all.
	Used map[Reset]money.Amount
}

// Ask is the limit to ask the upstream for.
type Ask struct {
	Limited bool
	Amount  money.Amount
	Reset   Reset
}

// Fits reports whether a key has the limit already. Less than a cent is no difference: an upstream may keep a floating-point number.
func (a Ask) Fits(key Key) bool {
	if a.Limited != key.Limited || !a.Limited {
		return a.Limited == key.Limited
	}
	difference := a.Amount.Sub(key.Amount).Nano()
	return a.Reset == key.Reset && max(difference, -difference) < nanoPerCent
}

// First is what to ask for a new key, which has spent nothing.
func (l Limit) First() Ask { return Ask{Limited: l.Limited, Amount: l.Amount, Reset: l.Reset} }

// Next is what to ask for a key that is there. News is true if its terms have changed since it was last asked for.
//
// Where the key's window lies within one of the budget's, the budget has counted all that is in it, and the limit stands as it is. Else the
// key's window may have more in it than the budgets of now would have allowed: what was spent under a larger amount, a credit that has
// expired, or other windows. Then what was spent already comes on top, until the window is over; from then on the limit sinks to what it
// is to be.
func (l Limit) Next(key Key, news bool) Ask {
	ask := l.First()
	if !l.Limited || l.isWithin() {
		return ask
	}
	used := key.Used[l.Reset]
	ask.Amount = roundedUp(used.Add(l.Amount))
	isOurs := !news && key.Limited && key.Reset == l.Reset && key.Amount.Cmp(l.Amount) >= 0
	if isOurs && key.Amount.Cmp(ask.Amount) < 0 {
		ask.Amount = key.Amount
	}
	return ask
}

// Lowers reports whether a key may then spend less than it can now, so that the budgets have to be lowered first.
func (a Ask) Lowers(key Key) bool {
	switch {
	case !a.Limited:
		return false
	case !key.Limited || a.Reset != key.Reset:
		return true
	}
	return a.Amount.Cmp(key.Amount) < 0
}

func roundedUp(amount money.Amount) money.Amount {
	if over := amount.Nano() % nanoPerCent; over > 0 {
		return amount.Add(money.FromNano(nanoPerCent - over))
	}
	return amount
}
