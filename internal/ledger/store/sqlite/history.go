package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// historyKey names a row of history.
type historyKey struct {
	scope                 int64
	bucket                int64
	model, upstream, team string
}

const (
	historyColumns = `requests, prompt, cached, cache_write, completion, reasoning, settled, priced, estimated, uncertain`

	// plusHistory adds what was to be inserted to the row that is there. Sums saturate at store.MaxSum.
	plusHistory = ` ON CONFLICT (scope_id, bucket, model, upstream, team) DO UPDATE SET
		requests = min(requests + excluded.requests, 2000000000000000000),
		prompt = min(prompt + excluded.prompt, 2000000000000000000), cached = min(cached + excluded.cached, 2000000000000000000),
		cache_write = min(cache_write + excluded.cache_write, 2000000000000000000),
		completion = min(completion + excluded.completion, 2000000000000000000),
		reasoning = min(reasoning + excluded.reasoning, 2000000000000000000),
		settled = min(settled + excluded.settled, 2000000000000000000), priced = min(priced + excluded.priced, 2000000000000000000),
		estimated = min(estimated + excluded.estimated, 2000000000000000000)`

	addHistory = `INSERT INTO history (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, max(0, ?15))` + plusHistory + `,
		uncertain = max(0, min(uncertain + ?15, 2000000000000000000))`

	// carryForward takes row after row, so that no sum can overflow.
	carryForward = `INSERT INTO history (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
		SELECT scope_id, 0, model, upstream, team, ` + historyColumns + ` FROM history WHERE bucket > 0 AND bucket < ?` + plusHistory + `,
		uncertain = min(uncertain + excluded.uncertain, 2000000000000000000)`
)

// addHistory adds sums to a row.
func (t *tx) addHistory(key historyKey, sums *store.Sums) error {
	if *sums == (store.Sums{}) {
		return nil
	}
	arguments := make([]any, 0, 5+store.Columns)
	arguments = append(arguments, key.scope, key.bucket, key.model, key.upstream, key.team)
	for _, number := range sums.Numbers() {
		arguments = append(arguments, number)
	}
	_, err := t.exec(addHistory, arguments...)
	return err
}

// carryHistory carries what is from before a time forward as one sum.
func (t *tx) carryHistory(keepFrom time.Time) error {
	before := bucketOf(keepFrom.UnixMilli())
	if _, err := t.exec(carryForward, before); err != nil {
		return fmt.Errorf("carrying the history forward: %w", err)
	}
	if _, err := t.exec(`DELETE FROM history WHERE bucket > 0 AND bucket < ?`, before); err != nil {
		return fmt.Errorf("dropping what of the history was carried forward: %w", err)
	}
	return nil
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, query store.HistoryQuery, each func(store.HistoryRow) error) (time.Time, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the history: %w", failure(err))
	}
	defer func() { _ = tx.Rollback() }() // It only reads.
	r := &snapshot{ctx: ctx, tx: tx}
	var refused error
	end, err := r.history(query, func(row store.HistoryRow) error {
		refused = each(row)
		return refused
	})
	switch {
	case err == nil:
		return time.UnixMilli(end).UTC(), nil
	case refused != nil:
		return time.Time{}, refused
	case errors.Is(err, store.ErrUnknownRoute):
		return time.Time{}, err
	}
	return time.Time{}, fmt.Errorf("reading the history: %w", failure(err))
}

const (
	firstHistory = `SELECT coalesce(min((SELECT min(bucket) FROM history WHERE scope_id = scopes.id AND bucket >= ?)), ?)
		FROM scopes WHERE route_id = ?`
	selectHistory = `SELECT bucket, consumer, team, model, upstream, requests, prompt, cached, cache_write, completion, reasoning,
		history.settled, priced, estimated, history.uncertain FROM history JOIN scopes ON scopes.id = scope_id
		WHERE route_id = ? AND (consumer <> '') = ? AND bucket >= ? AND bucket < ? ORDER BY bucket, consumer, team, model, upstream`
)

func (r *snapshot) history(query store.HistoryQuery, each func(store.HistoryRow) error) (end int64, err error) {
	var route, first int64
	err = r.row(`SELECT id FROM routes WHERE namespace = ? AND name = ?`, []any{query.Route.Namespace, query.Route.Name}, &route)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: %s/%s", store.ErrUnknownRoute, query.Route.Namespace, query.Route.Name)
	}
	if err != nil {
		return 0, err
	}
	from := query.From.UnixMilli()
	if err := r.row(firstHistory, []any{from, query.To.UnixMilli(), route}, &first); err != nil {
		return 0, err
	}
	end = query.End(first)
	return end, r.rows(selectHistory, func(rows *sql.Rows) error {
		row, err := store.ScanHistory(rows.Scan)
		if err != nil {
			return err
		}
		return each(row)
	}, route, query.PerConsumer, from, end)
}
