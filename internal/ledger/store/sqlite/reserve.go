package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// Reserve implements store.Store.
func (s *Store) Reserve(ctx context.Context, now time.Time, credential store.Credential, demand store.Demand) (*store.Denial, error) {
	from, err := s.heard(credential, now)
	if err != nil {
		return nil, err
	}
	var denial *store.Denial
	err = s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		denial, refused, err = t.reserve(now, from, demand)
		if err != nil {
			err = fmt.Errorf("reserving: %w", err)
		}
		return refused, err
	}})
	if err != nil {
		// A caller whose context ended may be here while the call is still being written.
		return nil, err
	}
	return denial, nil
}

// claim is an account's window on which money is demanded.
type claim struct {
	account *account
	window  budget.Window
	key     windowKey
}

const (
	insertHold = `INSERT INTO holds (session_id, sequence, route_scope, consumer_scope, amount, opened_at, state)
		VALUES (?, ?, ?, ?, ?, ?, 'Open')`
	markRefusing = `UPDATE windows SET refusing = 1 WHERE account_id = ? AND start = ? AND refusing = 0`
)

func (t *tx) reserve(now time.Time, from *session, demand store.Demand) (denial *store.Denial, refused, err error) {
	owner, spender, refused := t.spender(from, demand)
	if refused != nil {
		return nil, refused, nil
	}
	known, refused, err := t.repeated(from, demand, spender)
	if known || err != nil {
		return nil, refused, err
	}
	claims, err := t.claims(now, owner, spender)
	if err != nil {
		return nil, nil, err
	}
	if err := t.flush(); err != nil {
		return nil, nil, err
	}
	held, err := t.hold(claims, demand.Amount)
	if err != nil {
		return nil, nil, err
	}
	if !held {
		return t.denial(claims, demand.Amount)
	}
	_, err = t.exec(insertHold, from.id, demand.Sequence, owner.scopes[""].id, spender.id, demand.Amount.Nano(), now.UnixMilli())
	return nil, nil, err
}

// spender finds who pays for the demand, and checks that the caller may spend it.
func (t *tx) spender(from *session, demand store.Demand) (*route, *scope, error) {
	if from.closed {
		return nil, nil, store.ErrUnknownSession
	}
	if demand.Sequence < from.settledBelow {
		return nil, nil, store.ErrClosedHold
	}
	owner := t.routes[demand.Route]
	if owner == nil {
		return nil, nil, store.ErrUnknownRoute
	}
	if owner.server == "" || owner.server != demand.Identity {
		return nil, nil, store.ErrNotServer
	}
	spender := owner.scopes[demand.Consumer]
	if spender == nil || !spender.active || demand.Consumer == "" {
		return nil, nil, store.ErrUnknownConsumer
	}
	return owner, spender, nil
}

// claims returns the windows, each with its row, of all accounts of the route and of the consumer.
func (t *tx) claims(now time.Time, owner *route, spender *scope) ([]claim, error) {
	own := owner.scopes[""]
	claims := make([]claim, 0, len(own.accounts)+len(spender.accounts))
	for _, s := range [2]*scope{own, spender} {
		for _, a := range s.accounts {
			key, err := t.ensureWindow(owner, s, a, now)
			if err != nil {
				return nil, err
			}
			claims = append(claims, claim{account: a, window: a.windowAt(now), key: key})
		}
	}
	return claims, nil
}

// repeated reports whether the call's number is known. Then it stands for the same demand, or for something that must not be answered
// with money.
func (t *tx) repeated(from *session, demand store.Demand, spender *scope) (known bool, refused, err error) {
	var amount int64
	var consumer sql.NullInt64
	var state string
	err = t.row(`SELECT amount, consumer_scope, state FROM holds WHERE session_id = ? AND sequence = ?`, []any{from.id, demand.Sequence},
		&amount, &consumer, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil, nil
	case err != nil:
		return false, nil, err
	case state == settled || amount != demand.Amount.Nano() || consumer.Int64 != spender.id:
		return true, store.ErrClosedHold, nil
	}
	return true, nil, nil
}

// hold adds the amount to all of the windows, or to none if one that denies would go over its limit: the invariant of the books, in
// one statement.
func (t *tx) hold(claims []claim, amount money.Amount) (bool, error) {
	if len(claims) == 0 {
		return true, nil
	}
	arguments := make([]any, 0, 1+2*len(claims))
	arguments = append(arguments, amount.Nano())
	for _, c := range claims {
		arguments = append(arguments, c.key.account, c.key.start)
	}
	statement, ok := t.holdStatements[len(claims)]
	if !ok {
		statement = holdStatement(len(claims))
		t.holdStatements[len(claims)] = statement
	}
	changed, err := t.exec(statement, arguments...)
	if err == nil && changed != 0 && changed != int64(len(claims)) {
		err = fmt.Errorf("held in %d of %d windows", changed, len(claims))
	}
	return changed != 0, err
}

// holdStatement takes the amount as its first argument, then account and start of each claim. It also keeps what is held within
// what the books can count, for budgets that only warn.
func holdStatement(claims int) string {
	pairs := make([]string, claims)
	for i := range pairs {
		pairs[i] = fmt.Sprintf("(?%d, ?%d)", 2*i+2, 2*i+3)
	}
	return `WITH claims (account_id, start) AS (VALUES ` + strings.Join(pairs, ", ") + `)
		UPDATE windows SET held = held + ?1, refusing = 0
		WHERE (account_id, start) IN (SELECT account_id, start FROM claims) AND NOT EXISTS (
			SELECT 1 FROM claims JOIN windows AS w USING (account_id, start) JOIN accounts ON accounts.id = account_id
			WHERE w.held + ?1 > 2000000000000000000
			OR enforcement = 'Deny' AND w.settled + w.uncertain + w.held + ?1 > limit_nano)`
}

// denial finds the budget to blame: one whose money is spent before one whose money is only held, and of those the one that is last to
// have money again. If none denies, the books cannot count more. A budget that is spent is marked as refusing; besides the first such
// mark nothing is written, so that denying costs no disk.
func (t *tx) denial(claims []claim, amount money.Amount) (worst *store.Denial, refused, err error) {
	var blamed claim
	for _, c := range claims {
		if c.account.budget.Enforcement != budget.Deny {
			continue
		}
		var settled, uncertain, held int64
		err := t.row(`SELECT settled, uncertain, held FROM windows WHERE account_id = ? AND start = ?`, []any{c.key.account, c.key.start},
			&settled, &uncertain, &held)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the budget that refused: %w", err)
		}
		remaining := c.account.budget.Limit.Sub(money.FromNano(settled + uncertain))
		if remaining.Sub(money.FromNano(held)).Cmp(amount) >= 0 {
			continue
		}
		this := &store.Denial{
			Exhausted: remaining.Cmp(amount) < 0,
			Consumer:  c.account.budget.Consumer,
			Budget:    c.account.budget.Name,
			Limit:     c.account.budget.Limit,
			Remaining: remaining,
			WindowEnd: c.window.End,
		}
		if worst == nil || worse(this, worst) {
			worst, blamed = this, c
		}
	}
	if worst == nil {
		return nil, store.ErrTooMuch, nil
	}
	if worst.Exhausted && amount.Cmp(worst.Limit) <= 0 {
		_, err = t.exec(markRefusing, blamed.key.account, blamed.key.start)
	}
	return worst, nil, err
}

// worse reports whether a keeps money away for longer than b.
func worse(a, b *store.Denial) bool {
	if a.Exhausted != b.Exhausted {
		return a.Exhausted
	}
	if a.WindowEnd.IsZero() || b.WindowEnd.IsZero() {
		return a.WindowEnd.IsZero() && !b.WindowEnd.IsZero()
	}
	return a.WindowEnd.After(b.WindowEnd)
}
