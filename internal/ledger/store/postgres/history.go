package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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

	historyAdded = `unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
		AS d (scope_id, bucket, model, upstream, team, ` + historyColumns + `)`
)

// historySums adds a row to the row h that is there. Sums saturate at store.MaxSum.
func historySums(row string) string {
	sums := make([]string, 0, store.Columns)
	for column := range strings.SplitSeq(historyColumns, ", ") {
		sums = append(sums, fmt.Sprintf("%[1]s = greatest(0, least(h.%[1]s + %[2]s.%[1]s, %[3]d))", column, row, int64(store.MaxSum)))
	}
	return strings.Join(sums, ", ")
}

var (
	addHistory = `INSERT INTO history AS h (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
		SELECT * FROM ` + historyAdded + ` ON CONFLICT (scope_id, bucket, model, upstream, team) DO UPDATE SET ` + historySums("excluded")

	// correctHistory is addHistory for what takes uncertain money away, which no new row can do.
	correctHistory = `WITH d AS (SELECT * FROM ` + historyAdded + `),
		there AS (UPDATE history AS h SET ` + historySums("d") + ` FROM d WHERE h.scope_id = d.scope_id AND h.bucket = d.bucket
			AND h.model = d.model AND h.upstream = d.upstream AND h.team = d.team
			RETURNING h.scope_id, h.bucket, h.model, h.upstream, h.team)
		INSERT INTO history (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
		SELECT scope_id, bucket, model, upstream, team, requests, prompt, cached, cache_write, completion, reasoning, settled, priced,
			estimated, 0 FROM d
		WHERE NOT EXISTS (SELECT 1 FROM there WHERE there.scope_id = d.scope_id AND there.bucket = d.bucket
			AND there.model = d.model AND there.upstream = d.upstream AND there.team = d.team)`

	// carryForward takes what a scope has from before a time out of the buckets, and adds it up in the one of 1970.
	carryForward = `WITH gone AS (DELETE FROM history WHERE scope_id = ANY ($1) AND bucket > 0 AND bucket < $2
			RETURNING scope_id, model, upstream, team, ` + historyColumns + `)
		INSERT INTO history AS h (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
		SELECT scope_id, 0, model, upstream, team, ` + summedUp() + ` FROM gone GROUP BY scope_id, model, upstream, team
		ON CONFLICT (scope_id, bucket, model, upstream, team) DO UPDATE SET ` + historySums("excluded")
)

// summedUp sums every column up. PostgreSQL sums numbers of 64 bits without a bound.
func summedUp() string {
	sums := make([]string, 0, store.Columns)
	for column := range strings.SplitSeq(historyColumns, ", ") {
		sums = append(sums, fmt.Sprintf("least(sum(%s), %d)::bigint", column, int64(store.MaxSum)))
	}
	return strings.Join(sums, ", ")
}

// flushHistory queues the statements that add to the history.
func (w *work) flushHistory(b *pgx.Batch) {
	var added, corrected historyArrays
	for key, sums := range w.deltas.history {
		switch {
		case *sums == (store.Sums{}):
		case sums.Uncertain.IsNegative():
			corrected.append(key, sums)
		default:
			added.append(key, sums)
		}
	}
	added.queue(b, addHistory)
	corrected.queue(b, correctHistory)
}

// historyArrays are the rows of historyAdded, column by column.
type historyArrays struct {
	scopes, buckets          []int64
	models, upstreams, teams []string
	numbers                  [store.Columns][]int64
}

func (a *historyArrays) append(key historyKey, sums *store.Sums) {
	a.scopes, a.buckets = append(a.scopes, key.scope), append(a.buckets, key.bucket)
	a.models, a.upstreams, a.teams = append(a.models, key.model), append(a.upstreams, key.upstream), append(a.teams, key.team)
	for i, number := range sums.Numbers() {
		a.numbers[i] = append(a.numbers[i], number)
	}
}

func (a *historyArrays) queue(b *pgx.Batch, statement string) {
	if len(a.scopes) == 0 {
		return
	}
	arguments := []any{a.scopes, a.buckets, a.models, a.upstreams, a.teams}
	for i := range a.numbers {
		arguments = append(arguments, a.numbers[i])
	}
	b.Queue(statement, arguments...)
}

const (
	firstHistory = `SELECT id, coalesce((SELECT min(first) FROM scopes CROSS JOIN LATERAL
			(SELECT min(bucket) AS first FROM history WHERE scope_id = scopes.id AND bucket >= $3) AS history
			WHERE route_id = routes.id), $4)::bigint
		FROM routes WHERE namespace = $1 AND name = $2`
	selectHistory = `SELECT bucket, consumer, team, model, upstream, requests, prompt, cached, cache_write, completion, reasoning,
		history.settled, priced, estimated, history.uncertain FROM history JOIN scopes ON scopes.id = scope_id
		WHERE route_id = $1 AND (consumer <> '') = $2 AND bucket >= $3 AND bucket < $4
		ORDER BY bucket, consumer COLLATE "C", team COLLATE "C", model COLLATE "C", upstream COLLATE "C"`
)

// History implements store.Store.
func (s *Store) History(ctx context.Context, query store.HistoryQuery, yield func(store.HistoryRow) error) (time.Time, error) {
	var found []store.HistoryRow
	var end int64
	err := s.transact(ctx, "reading the history", func(t *tx) (err error) {
		found, end, err = t.history(query)
		return err
	})
	for _, row := range found {
		if err == nil {
			err = yield(row)
		}
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(end).UTC(), nil
}

// history reads what a query asks for, as of one moment.
func (t *tx) history(query store.HistoryQuery) (found []store.HistoryRow, end int64, err error) {
	var route, first int64
	from, to := query.From.UnixMilli(), query.To.UnixMilli()
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	t.begun = true
	b.Queue(firstHistory, query.Route.Namespace, query.Route.Name, from, to).Query(each(func(scan func(into ...any) error) error {
		return scan(&route, &first)
	}))
	if err := t.send(b); err != nil {
		return nil, 0, err
	}
	if route == 0 {
		return nil, 0, refusal{fmt.Errorf("%w: %s/%s", store.ErrUnknownRoute, query.Route.Namespace, query.Route.Name)}
	}
	end = query.End(first)
	b = t.batch()
	b.Queue(selectHistory, route, query.PerConsumer, from, end).Query(each(func(scan func(into ...any) error) error {
		row, err := store.ScanHistory(scan)
		found = append(found, row)
		return err
	}))
	if err := t.send(b); err != nil {
		return nil, 0, err
	}
	return found, end, errUnchanged
}

// maxCarried is of how many scopes the history is carried forward at a time, so that nobody waits for long.
const maxCarried = 100

// carryHistory carries what is from before a time forward as one sum.
func (s *Store) carryHistory(ctx context.Context, keepFrom time.Time) error {
	before := bucketOf(keepFrom.UnixMilli())
	for {
		var scopes []int64
		err := s.transact(ctx, "carrying the history forward", func(t *tx) error {
			b := t.batch()
			b.Queue(`SELECT DISTINCT scope_id FROM history WHERE bucket > 0 AND bucket < $1 LIMIT $2`, before, maxCarried).Query(
				func(rows pgx.Rows) (err error) {
					scopes, err = pgx.CollectRows(rows, pgx.RowTo[int64])
					return err
				})
			if err := t.send(b); err != nil {
				return err
			}
			if len(scopes) == 0 {
				return errUnchanged
			}
			slices.Sort(scopes)
			b = t.batch()
			b.Queue(lockScopes, scopes)
			b.Queue(carryForward, scopes, before)
			return t.commit(b)
		})
		if err != nil || len(scopes) == 0 {
			return err
		}
	}
}
