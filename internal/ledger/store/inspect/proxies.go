package inspect

import (
	"cmp"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// Proxies returns all proxies that are or ever were, with what is out with them. When each was heard is for the store to add.
func Proxies(r Reading) ([]store.ProxyAccount, error) {
	out, err := outstanding(r)
	if err != nil {
		return nil, err
	}
	releases, err := lastReleases(r)
	if err != nil {
		return nil, err
	}
	var all []store.ProxyAccount
	err = r.Rows(`SELECT id, proxy_id, instance, applied, silent, released FROM proxies`, func(scan Scan) error {
		var id int64
		var one store.ProxyAccount
		err := scan(&id, &one.ProxyID, &one.Instance, &one.Applied, &one.Silent, &one.Released)
		one.Out, one.Release = out[id], releases[one.ProxyID]
		all = append(all, one)
		return err
	})
	slices.SortFunc(all, func(a, b store.ProxyAccount) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.ProxyID, b.ProxyID))
	})
	return all, err
}

// outstanding returns the money that is out with each proxy, sorted by budget.
func outstanding(r Reading) (map[int64][]store.Outstanding, error) {
	out := map[int64][]store.Outstanding{}
	err := r.Rows(`SELECT out.proxy_id, namespace, routes.name, consumer, upstream, accounts.name, high, low
		FROM (SELECT proxy_id, account_id,
			CAST(sum((granted - taken) >> 30) AS BIGINT) AS high, CAST(sum((granted - taken) & 1073741823) AS BIGINT) AS low
			FROM leases WHERE granted > taken GROUP BY proxy_id, account_id) AS out
		JOIN accounts ON accounts.id = account_id JOIN scopes ON scopes.id = scope_id JOIN routes ON routes.id = route_id
		WHERE unit = 0 ORDER BY namespace, routes.name, consumer, upstream, accounts.name`,
		func(scan Scan) error {
			var proxy int64
			var one store.Outstanding
			var sum parts
			err := scan(&proxy, &one.Route.Namespace, &one.Route.Name, &one.Consumer, &one.Upstream, &one.Budget, &sum.high, &sum.low)
			one.Amount = sum.amount()
			out[proxy] = append(out[proxy], one)
			return err
		})
	return out, err
}

// lastReleases returns the last release of each proxy that was given up.
func lastReleases(r Reading) (map[string]*store.Released, error) {
	releases := map[string]*store.Released{}
	err := r.Rows(`SELECT proxy_id, by, reason, amount, at FROM releases ORDER BY at`, func(scan Scan) error {
		var one store.Released
		var amount, at int64
		err := scan(&one.ProxyID, &one.By, &one.Reason, &amount, &at)
		one.Freed, one.At = money.FromNano(amount), time.UnixMilli(at).UTC()
		releases[one.ProxyID] = &one
		return err
	})
	return releases, err
}
