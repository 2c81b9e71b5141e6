package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

var _ store.Operable = (*Store)(nil)

// Proxies implements store.Operable.
func (s *Store) Proxies(ctx context.Context) ([]store.ProxyAccount, error) {
	all, err := s.proxyAccounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the proxies: %w", failure(err))
	}
	shown := slices.DeleteFunc(all, func(p store.ProxyAccount) bool {
		return len(p.Out) == 0 && p.LastHeard.IsZero() && !p.Released
	})
	slices.SortFunc(shown, func(a, b store.ProxyAccount) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.ProxyID, b.ProxyID))
	})
	return shown, nil
}

func (s *Store) proxyAccounts(ctx context.Context) ([]store.ProxyAccount, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // It only reads.
	r := &snapshot{ctx: ctx, tx: tx}
	out, err := r.outstanding()
	if err != nil {
		return nil, err
	}
	releases, err := r.releases()
	if err != nil {
		return nil, err
	}
	var all []store.ProxyAccount
	err = r.rows(`SELECT id, proxy_id, instance, applied, silent, released FROM proxies`, func(rows *sql.Rows) error {
		var id int64
		var one store.ProxyAccount
		if err := rows.Scan(&id, &one.ProxyID, &one.Instance, &one.Applied, &one.Silent, &one.Released); err != nil {
			return err
		}
		one.Out, one.Release, one.LastHeard = out[id], releases[one.ProxyID], s.lastHeard(one.ProxyID)
		all = append(all, one)
		return nil
	})
	return all, err
}

// outstanding returns the money that is out with each proxy, sorted by budget.
func (r *snapshot) outstanding() (map[int64][]store.Outstanding, error) {
	out := map[int64][]store.Outstanding{}
	err := r.rows(`SELECT leases.proxy_id, namespace, routes.name, consumer, accounts.name,
		sum((granted - taken) / 1000000000), sum((granted - taken) % 1000000000)
		FROM leases JOIN accounts ON accounts.id = account_id JOIN scopes ON scopes.id = scope_id JOIN routes ON routes.id = route_id
		WHERE granted > taken AND unit = 0 GROUP BY leases.proxy_id, account_id ORDER BY namespace, routes.name, consumer, accounts.name`,
		func(rows *sql.Rows) error {
			var proxy, whole, fraction int64
			var one store.Outstanding
			err := rows.Scan(&proxy, &one.Route.Namespace, &one.Route.Name, &one.Consumer, &one.Budget, &whole, &fraction)
			one.Amount = sum(whole, fraction)
			out[proxy] = append(out[proxy], one)
			return err
		})
	return out, err
}

// releases returns the last release of each proxy that was given up.
func (r *snapshot) releases() (map[string]*store.Released, error) {
	releases := map[string]*store.Released{}
	err := r.rows(`SELECT proxy_id, by, reason, amount, at FROM releases ORDER BY rowid`, func(rows *sql.Rows) error {
		var one store.Released
		var amount, at int64
		err := rows.Scan(&one.ProxyID, &one.By, &one.Reason, &amount, &at)
		one.Freed, one.At = money.FromNano(amount), time.UnixMilli(at).UTC()
		releases[one.ProxyID] = &one
		return err
	})
	return releases, err
}

// lastHeard returns when the proxy was heard from; zero if it was not since the books were opened.
func (s *Store) lastHeard(proxyID string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[proxyID]
	if known == nil || known.presumed {
		return time.Time{}
	}
	return known.lastHeard
}
