package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// maxGroup is how many calls share one transaction at most.
const maxGroup = 512

// rank is the place of a call in its group.
type rank int

const (
	// givesBack goes first, so that what it gives back can be held by others, and what it books is written together.
	givesBack rank = iota - 1
	ordinary
)

// call is one write that waits for its turn.
type call struct {
	ctx context.Context
	// do runs in the transaction of the call's group. An error of the database fails the whole transaction; what do returns as
	// refused is the call's own answer and must have changed nothing.
	do func(*tx) (refused error, err error)
	// committed runs after the commit, in the writer's goroutine; nil for nothing.
	committed func()
	// rank orders the calls of a group, which came at the same time, so that any order is right.
	rank rank
	// alone is true if the call needs a transaction of its own, because later ones rely on what committed does.
	alone bool
	// done gets the outcome.
	done    chan error
	refused error
}

// submit queues the call and waits for its outcome. When ctx ends first, the outcome is not known.
func (s *Store) submit(c *call) error {
	c.done = make(chan error, 1)
	select {
	case <-s.stop:
		return fmt.Errorf("%w: it is closed", store.ErrFailed)
	case <-c.ctx.Done():
		return c.ctx.Err()
	case s.queue <- c:
	}
	select {
	case err := <-c.done:
		return err
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-s.stopped:
	}
	select {
	case err := <-c.done:
		return err
	default:
		return fmt.Errorf("%w: it is closed", store.ErrFailed)
	}
}

// run is the writer: it takes what waits, writes it in one transaction, and tells the callers.
func (s *Store) run() {
	defer close(s.stopped)
	w := &writer{store: s}
	defer w.close()
	for {
		select {
		case first := <-s.queue:
			s.serve(w, first)
		case <-s.stop:
			for {
				select {
				case first := <-s.queue:
					s.serve(w, first)
				default:
					return
				}
			}
		}
	}
}

// serve writes the call and everything that waits behind it, up to the next call that wants to be alone.
func (s *Store) serve(w *writer, first *call) {
	group := []*call{first}
	for !first.alone && len(group) < maxGroup {
		select {
		case next := <-s.queue:
			if next.alone {
				s.commit(w, group)
				group = []*call{next}
				first = next
				continue
			}
			group = append(group, next)
			continue
		default:
		}
		break
	}
	s.commit(w, group)
}

// commit writes a group. If that fails, each call gets a transaction of its own, so that one that cannot be written does not take
// others with it.
func (s *Store) commit(w *writer, group []*call) {
	began := s.options.Now()
	err := w.transact(group)
	if err != nil && len(group) > 1 {
		for _, c := range group {
			c.finish(w.transact([]*call{c}))
		}
	} else {
		for _, c := range group {
			c.finish(err)
		}
	}
	if s.options.OnCommit != nil {
		s.options.OnCommit(len(group), s.options.Now().Sub(began))
	}
}

func (c *call) finish(err error) {
	switch {
	case err != nil:
		c.done <- err
	case c.refused != nil:
		c.done <- c.refused
	default:
		if c.committed != nil {
			c.committed()
		}
		c.done <- nil
	}
}

// prepared is a statement that lives as long as its connection.
type prepared struct{ stmt *sql.Stmt }

// writer is the connection that writes.
type writer struct {
	store      *Store
	conn       *sql.Conn
	statements map[string]prepared
}

// connect makes sure that there is a connection.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.store.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	w.conn, w.statements = conn, map[string]prepared{}
	return nil
}

// close gives the connection up; the next transaction takes another.
func (w *writer) close() {
	for _, statement := range w.statements {
		_ = statement.stmt.Close() // It ends with its connection in any case.
	}
	if w.conn != nil {
		_ = w.conn.Close() // Nothing is under way on it.
	}
	w.conn, w.statements = nil, nil
}

// transact runs the calls in one transaction. It is not cancelled by any one caller's context, since others share it.
func (w *writer) transact(group []*call) error {
	ctx := context.WithoutCancel(group[0].ctx)
	if err := w.connect(ctx); err != nil {
		return failure(err)
	}
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		w.close()
		return failure(err)
	}
	if err := w.runAll(ctx, group); err != nil {
		w.store.forgetAll()
		if _, rollbackErr := w.conn.ExecContext(ctx, "ROLLBACK"); rollbackErr != nil {
			// SQLite has rolled back by itself, or the connection is of no use any more.
			w.close()
		}
		return failure(err)
	}
	return nil
}

func (w *writer) runAll(ctx context.Context, group []*call) error {
	t := &tx{Store: w.store, writer: w, ctx: ctx, deltas: newDeltas()}
	slices.SortStableFunc(group, func(a, b *call) int { return cmp.Compare(a.rank, b.rank) })
	for _, c := range group {
		if c.refused = c.ctx.Err(); c.refused != nil {
			continue // The caller has gone before anything was done.
		}
		var err error
		if c.refused, err = c.do(t); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err := w.conn.ExecContext(ctx, "COMMIT")
	return err
}

// forgetAll forgets what a failed transaction may have changed in the writer's memory. It is read again when it is next needed.
func (s *Store) forgetAll() {
	clear(s.present)
	clear(s.states)
	clear(s.leases)
	clear(s.leaseIDs)
}

// failure tells a full disk from every other failure of the database.
func failure(err error) error {
	var problem *sqlitedriver.Error
	if errors.As(err, &problem) && problem.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", store.ErrFailed, err)
}

// tx is the transaction of one group.
type tx struct {
	*Store
	*writer
	ctx    context.Context
	deltas deltas
}

// statement returns the prepared statement of a query.
func (t *tx) statement(query string) (prepared, error) {
	if known, ok := t.statements[query]; ok {
		return known, nil
	}
	stmt, err := t.conn.PrepareContext(t.ctx, query)
	if err != nil {
		return prepared{}, fmt.Errorf("preparing %q: %w", query, err)
	}
	t.statements[query] = prepared{stmt: stmt}
	return prepared{stmt: stmt}, nil
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, arguments ...any) (int64, error) {
	statement, err := t.statement(query)
	if err != nil {
		return 0, err
	}
	result, err := statement.stmt.ExecContext(t.ctx, arguments...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row runs a query for one row.
func (t *tx) row(query string, arguments []any, into ...any) error {
	statement, err := t.statement(query)
	if err != nil {
		return err
	}
	return statement.stmt.QueryRowContext(t.ctx, arguments...).Scan(into...)
}

// rows runs a query and calls each for every row.
func (t *tx) rows(query string, arguments []any, each func(*sql.Rows) error) error {
	statement, err := t.statement(query)
	if err != nil {
		return err
	}
	rows, err := statement.stmt.QueryContext(t.ctx, arguments...)
	if err != nil {
		return err
	}
	return scanAll(rows, each)
}

func scanAll(rows *sql.Rows, each func(*sql.Rows) error) error {
	for rows.Next() {
		if err := each(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
