package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// ReleaseProxy implements store.Store.
func (s *Store) ReleaseProxy(ctx context.Context, now, heardAfter time.Time, release store.Release) (money.Amount, error) {
	var freed money.Amount
	id := randomID() // Of this release, however often it is tried.
	err := s.transact(ctx, "releasing a proxy", func(t *tx) error {
		w := t.work(now, &proxy{})
		var done []int64
		b := w.batch()
		queueProxy(b, release.ProxyID, w.from)
		b.Queue(`SELECT amount FROM releases WHERE id = $1`, id).Query(func(rows pgx.Rows) (err error) {
			done, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
		if err := w.send(b); err != nil {
			return err
		}
		switch {
		case w.from.id == 0:
			return refusal{store.ErrUnknownProxy}
		case len(done) > 0:
			freed = money.FromNano(done[0])
			return errUnchanged
		case s.lastHeard(w.from.proxyID, w.from.silent, w.from.lastHeard).After(heardAfter):
			return refusal{store.ErrStillAlive}
		}
		var err error
		freed, err = w.release(id, release)
		return err
	})
	if err != nil {
		return money.Amount{}, err
	}
	return freed, nil
}

// release frees what is out with a proxy and commits.
func (w *work) release(id int64, release store.Release) (money.Amount, error) {
	if err := w.wholeProxy(); err != nil {
		return money.Amount{}, err
	}
	freed := w.out()
	w.releaseAll()
	b := w.batch()
	w.flush(b)
	b.Queue(`UPDATE proxies SET released = TRUE WHERE id = $1`, w.from.id)
	b.Queue(`INSERT INTO releases (id, proxy_id, by, reason, amount, at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, release.ProxyID, release.By, release.Reason, freed.Nano(), w.now.UnixMilli())
	return freed, w.commit(b)
}
