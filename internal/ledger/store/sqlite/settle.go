package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// The states of a hold.
const (
	open    = "Open"
	lapsed  = "Lapsed"
	settled = "Settled"
)

// Settle implements store.Store.
func (s *Store) Settle(
	ctx context.Context, now time.Time, credential store.Credential, settlements []store.Settlement,
) (store.Settled, error) {
	from, err := s.heard(credential, now)
	if err != nil {
		return store.Settled{}, err
	}
	for _, one := range settlements {
		if !one.Amount.IsZero() && !s.everServed(credential.ProxyID, one.Route) {
			return store.Settled{}, fmt.Errorf("%w: %s/%s", store.ErrForeignRoute, one.Route.Namespace, one.Route.Name)
		}
	}
	var outcome store.Settled
	err = s.submit(&call{ctx: ctx, rank: givesBack, do: func(t *tx) (refused, err error) {
		outcome = store.Settled{}
		for _, one := range settlements {
			if err := t.settle(now, from, one, &outcome); err != nil {
				return nil, fmt.Errorf("settling: %w", err)
			}
		}
		return nil, nil
	}})
	if err != nil {
		return store.Settled{}, err // The call may still be at work on outcome if only the context ended.
	}
	return outcome, nil
}

// hold is a row of holds, with who pays.
type hold struct {
	owner    *route
	spender  *scope
	amount   money.Amount
	openedAt time.Time
	state    string
}

const (
	selectHold = `SELECT amount, opened_at, state, namespace, name, consumer FROM holds
		LEFT JOIN scopes ON scopes.id = consumer_scope LEFT JOIN routes ON routes.id = route_id
		WHERE session_id = ? AND sequence = ?`
	settleHold = `UPDATE holds SET state = 'Settled' WHERE session_id = ? AND sequence = ?`
	insertDone = `INSERT INTO holds (session_id, sequence, route_scope, consumer_scope, amount, opened_at, state)
		VALUES (?, ?, ?, ?, 0, ?, 'Settled')`
)

// settle books one settlement.
func (t *tx) settle(now time.Time, from *session, one store.Settlement, outcome *store.Settled) error {
	in, err := t.sessionOf(from, one.Epoch)
	if err != nil {
		return err
	}
	held, err := t.holdOf(in.id, one.Sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return t.settleUnmatched(now, in, one, outcome)
	}
	if err != nil {
		return err
	}
	booked := costOf(one)
	switch held.state {
	case settled:
		outcome.Repeated++
		return nil
	case open:
		booked.held = money.Amount{}.Sub(held.amount)
	case lapsed:
		booked.uncertain = booked.uncertain.Sub(held.amount)
	}
	t.book(held.owner, held.spender, held.openedAt, booked)
	_, err = t.exec(settleHold, in.id, one.Sequence)
	return err
}

func costOf(one store.Settlement) change {
	if one.Uncertain {
		return change{uncertain: one.Amount}
	}
	return change{settled: one.Amount}
}

// holdOf reads a hold. The error is sql.ErrNoRows if there is none.
func (t *tx) holdOf(session int64, sequence int64) (hold, error) {
	var held hold
	var amount, openedAt int64
	var namespace, name, consumer sql.NullString
	err := t.row(selectHold, []any{session, sequence}, &amount, &openedAt, &held.state, &namespace, &name, &consumer)
	if err != nil {
		return hold{}, err
	}
	held.amount, held.openedAt = money.FromNano(amount), time.UnixMilli(openedAt).UTC()
	if held.state == settled {
		return held, nil
	}
	held.owner = t.routes[store.RouteKey{Namespace: namespace.String, Name: name.String}]
	held.spender = held.owner.scopes[consumer.String]
	return held, nil
}

// settleUnmatched books a settlement whose hold is not known: its reservation never arrived or was lost with a restored backup.
// What it cost is booked all the same, now; and the number is remembered, so that a reservation that arrives after all is refused.
// A hold that was already forgotten was settled before.
func (t *tx) settleUnmatched(now time.Time, in *session, one store.Settlement, outcome *store.Settled) error {
	if in.closed || one.Sequence < in.settledBelow {
		outcome.Repeated++
		return nil
	}
	var routeScope, consumerScope sql.NullInt64
	if !one.Amount.IsZero() {
		owner := t.routes[one.Route]
		spender := owner.scopes[one.Consumer]
		if spender == nil {
			spender = owner.scopes[""] // The route pays alone for a consumer that it never had.
		}
		t.book(owner, spender, now, costOf(one))
		routeScope = sql.NullInt64{Int64: owner.scopes[""].id, Valid: true}
		consumerScope = sql.NullInt64{Int64: spender.id, Valid: true}
		outcome.Unmatched++
	}
	_, err := t.exec(insertDone, in.id, one.Sequence, routeScope, consumerScope, now.UnixMilli())
	return err
}
