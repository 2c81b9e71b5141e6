package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// conflictTries is how often a transaction is tried that gets into others' way.
	conflictTries = 10
	// connectionTries is how often one is tried whose connection is lost. Who waits for longer than that is told.
	connectionTries = 3
	// staleTries is how often a transaction begins anew because a route was edited, or its proxy came back from silence.
	staleTries = 20
	// promptStaleTries is how many of these begin at once. Where there are more, somebody edits over and over, and is let pass.
	promptStaleTries = 3
	// rollbackTimeout bounds how long a rollback may take; after that the connection is given up, which rolls back too.
	rollbackTimeout = 2 * time.Second
)

// errStale means that what was remembered of a route is out of date. It is forgotten, and the transaction begins anew.
var errStale = errors.New("a route was edited meanwhile")

// errSilent means that the proxy was silent until now. It is brought back in a transaction of its own, and then its call begins anew.
var errSilent = errors.New("the proxy was silent")

// refusal is an answer that is an error, and not a failure of the database.
type refusal struct{ error }

// errUnchanged ends a transaction that has nothing to write. It is rolled back: that writes nothing to the disk.
var errUnchanged = errors.New("nothing to write")

// tx is a transaction. It begins with its first batch, so that this costs no time of its own.
type tx struct {
	*Store
	ctx   context.Context
	conn  *pgx.Conn
	begun bool
	ended bool
}

// batch returns statements to be sent together. Each of them sees what was committed before it runs, so that what follows a lock sees
// what its last owner did.
func (t *tx) batch() *pgx.Batch {
	b := &pgx.Batch{}
	if !t.begun {
		b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
		t.begun = true
	}
	return b
}

// send runs a batch.
func (t *tx) send(b *pgx.Batch) error { return t.conn.SendBatch(t.ctx, b).Close() }

// commit runs a batch and commits. If a statement fails, nothing is committed.
func (t *tx) commit(b *pgx.Batch) error {
	b.Queue("COMMIT")
	if err := t.send(b); err != nil {
		return err
	}
	t.ended = true
	return nil
}

// row runs a query for one row.
func (t *tx) row(query string, arguments []any, into ...any) error {
	b := t.batch()
	b.Queue(query, arguments...).QueryRow(func(row pgx.Row) error { return row.Scan(into...) })
	return t.send(b)
}

// each makes what calls f for every row of a result.
func each(f func(scan func(into ...any) error) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			if err := f(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

// transact runs do in a transaction, again and again while it is in others' way. do commits by itself. Everything that is done in it
// must count once if it is done twice, since the answer to a commit can be lost.
func (s *Store) transact(ctx context.Context, what string, do func(*tx) error) error {
	for tries := (attempts{}); ; {
		err := s.once(ctx, do)
		if answered, answer := answerOf(err); answered {
			return answer
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
		if !errors.Is(err, errStale) && isLost(err) {
			s.noteAbsence()
		}
		again, wait := tries.next(err)
		if !again {
			return fmt.Errorf("%s: %w", what, failure(err))
		}
		if wait && s.options.OnRetry != nil {
			s.options.OnRetry(err)
		}
		if wait && pause(ctx, tries.total()) != nil {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// answerOf returns what a transaction ended with if that is its outcome, and no failure of the database.
func answerOf(err error) (answered bool, answer error) {
	if err == nil || errors.Is(err, errUnchanged) {
		return true, nil
	}
	if refused, ok := errors.AsType[refusal](err); ok {
		return true, refused.error
	}
	return errors.Is(err, errSilent), err
}

// once runs do in one transaction and rolls back what it leaves open.
func (s *Store) once(ctx context.Context, do func(*tx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection with an open transaction is not used again: the pool closes it.
	defer conn.Release()
	t := &tx{Store: s, ctx: ctx, conn: conn.Conn()}
	err = do(t)
	if t.begun && !t.ended && !t.conn.IsClosed() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_, _ = t.conn.Exec(within, "ROLLBACK") // If that fails, the connection is closed.
	}
	return err
}

// attempts counts the tries of a transaction.
type attempts struct{ conflicts, connections, stale int }

func (a *attempts) total() int { return a.conflicts + a.connections + a.stale }

// next reports whether to try again after an error, and whether to wait before.
func (a *attempts) next(err error) (again, wait bool) {
	switch {
	case errors.Is(err, errStale):
		a.stale++
		return a.stale < staleTries, a.stale > promptStaleTries
	case isConflict(err):
		a.conflicts++
		return a.conflicts < conflictTries, true
	case isLost(err):
		a.connections++
		return a.connections < connectionTries, true
	}
	return false, false
}

// stateOf returns the SQLSTATE of an error; empty if the database did not say so.
func stateOf(err error) string {
	if problem, ok := errors.AsType[*pgconn.PgError](err); ok {
		return problem.Code
	}
	return ""
}

// isConflict reports whether the transaction was rolled back because it was in the way of another one. A row that was inserted by
// another one meanwhile is found when it is tried again.
func isConflict(err error) bool {
	switch stateOf(err) {
	case "40001", "40P01", "23505":
		return true
	}
	return false
}

// isLost reports whether the database could not be reached, or was lost on the way.
func isLost(err error) bool {
	state := stateOf(err)
	if state == "" {
		// Not what the database said: the connection, or what was read from it.
		var scan pgx.ScanArgError
		return !errors.As(err, &scan) && !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, errBooks)
	}
	switch state {
	case "57P01", "57P02", "57P03", "53300", "25P03":
		return true // It is shut down, crashed or starting, has too many connections, or found us too slow.
	}
	return state[:2] == "08"
}

// errBooks means that the books are not as they must be.
var errBooks = errors.New("the books contradict themselves")

// failure tells a full disk from every other failure of the database.
func failure(err error) error {
	if stateOf(err) == "53100" {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", store.ErrFailed, err)
}

// pause waits before the next try: longer each time, and differently long for each that waits.
func pause(ctx context.Context, try int) error {
	longest := min(lastPause, firstPause<<min(try, 10))
	timer := time.NewTimer(longest/2 + rand.N(longest/2)) //nolint:gosec // It only keeps tries apart.
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
