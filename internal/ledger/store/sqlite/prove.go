package sqlite

import (
	"cmp"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// proveRoutes expects every route to have books of its own, and no less in them than its consumers have together: what a consumer spends
// is spent on the route as well.
func (v *verifier) proveRoutes() error {
	for _, key := range slices.SortedFunc(maps.Keys(v.routes), compareRoutes) {
		owner := v.routes[key]
		var consumers store.Spend
		for consumer, spender := range owner.scopes {
			if consumer != "" {
				consumers.Settled = saturated(consumers.Settled.Add(v.scopes[spender.id].Settled))
				consumers.Uncertain = saturated(consumers.Uncertain.Add(v.scopes[spender.id].Uncertain))
			}
		}
		own := owner.scopes[""]
		if own == nil {
			v.found(scopeName(key, ""), "it has no books of its own")
			continue
		}
		about, route := scopeName(key, ""), v.scopes[own.id]
		if route.Settled.Cmp(consumers.Settled) < 0 {
			v.found(about, "%s USD are settled, less than the %s USD of its consumers", route.Settled, consumers.Settled)
		}
		if route.Uncertain.Cmp(consumers.Uncertain) < 0 {
			v.found(about, "%s USD are uncertain, less than the %s USD of its consumers", route.Uncertain, consumers.Uncertain)
		}
	}
	return nil
}

func compareRoutes(a, b store.RouteKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// proveScopes expects what a route or a consumer ever spent to be the sum of its history.
func (v *verifier) proveScopes() error {
	return v.rows(`SELECT namespace, name, consumer, scopes.settled, scopes.uncertain,
		coalesce(sum(history.settled / 1000000000), 0), coalesce(sum(history.settled % 1000000000), 0),
		coalesce(sum(history.uncertain / 1000000000), 0), coalesce(sum(history.uncertain % 1000000000), 0)
		FROM scopes JOIN routes ON routes.id = route_id LEFT JOIN history ON scope_id = scopes.id
		GROUP BY scopes.id ORDER BY namespace, name, consumer`,
		func(rows *sql.Rows) error {
			var key store.RouteKey
			var consumer string
			var settled, uncertain, whole, fraction, uncertainWhole, uncertainFraction int64
			if err := rows.Scan(&key.Namespace, &key.Name, &consumer, &settled, &uncertain,
				&whole, &fraction, &uncertainWhole, &uncertainFraction); err != nil {
				return err
			}
			v.verdict.Scopes++
			about, of := scopeName(key, consumer), "the sum of its history"
			v.differ(about, "settled", budget.USD, money.FromNano(settled), sum(whole, fraction), of)
			v.differ(about, "uncertain", budget.USD, money.FromNano(uncertain), sum(uncertainWhole, uncertainFraction), of)
			return nil
		})
}

// proveHistory expects no row of the history to be less than nothing, and every one to be of a whole quarter of an hour: any other would
// count in the wrong window. No more is priced or estimated than is settled.
func (v *verifier) proveHistory() error {
	return v.rows(fmt.Sprintf(`SELECT namespace, name, consumer, bucket, history.settled, history.uncertain
		FROM history JOIN scopes ON scopes.id = scope_id JOIN routes ON routes.id = route_id
		WHERE bucket %% %d <> 0 OR history.settled < 0 OR history.uncertain < 0 OR history.settled < priced OR history.settled < estimated
		ORDER BY namespace, name, consumer, bucket`, store.Bucket.Milliseconds()),
		func(rows *sql.Rows) error {
			var key store.RouteKey
			var consumer string
			var bucket, settled, uncertain int64
			err := rows.Scan(&key.Namespace, &key.Name, &consumer, &bucket, &settled, &uncertain)
			v.found(scopeName(key, consumer),
				"%s USD settled and %s USD uncertain are in the history at %s: it has amounts from 0 up, by the quarter of an hour, "+
					"of which no more is priced or estimated than is settled",
				money.FromNano(settled), money.FromNano(uncertain), instant(bucket))
			return err
		})
}

func instant(milliseconds int64) string {
	return time.UnixMilli(milliseconds).UTC().Format(time.RFC3339Nano)
}

// proveWindows expects every window's row to be what it would be if it were summed now.
func (v *verifier) proveWindows() error {
	for _, key := range v.sortedWindows() {
		v.verdict.Windows++
		about := v.names[key.account] + " in the window from " + instant(key.start)
		at, active := v.places[key.account]
		unit := v.units[key.account]
		if !active {
			v.found(about, "the window is there though the budget was taken away")
			continue
		}
		window := at.account.windowAt(time.UnixMilli(key.start))
		if window.Start.UnixMilli() != key.start {
			v.found(about, "no %s begins then in the time zone %q", at.account.budget.Period, at.account.budget.TimeZone)
			continue
		}
		want, err := sumWindow(v, at.spender, at.account, window)
		if err != nil {
			return fmt.Errorf("summing up %s: %w", about, err)
		}
		row := v.windows[key].spend
		if unit != budget.USD {
			want.Settled = row.Settled // There is no history to sum.
		}
		v.differ(about, "settled", unit, row.Settled, want.Settled, "the sum of the history")
		v.differ(about, "uncertain", unit, row.Uncertain, want.Uncertain, "the sum of the history and of what is out with silent proxies")
		v.differ(about, "leased", unit, row.Leased, want.Leased, "the sum of what is out with proxies that are not silent")
		v.noteDebt(about, at.account.budget, window, row)
	}
	return nil
}

// noteDebt notes a budget that denies and of whose current window more is spent or out than its limit.
func (v *verifier) noteDebt(about string, b store.Budget, window budget.Window, row store.Spend) {
	over := row.Settled.Add(row.Uncertain).Add(row.Leased).Sub(b.Limit)
	isCurrent := !v.now.Before(window.Start) && (window.End.IsZero() || v.now.Before(window.End))
	if b.Enforcement != budget.Deny || !isCurrent || over.IsNegative() || over.IsZero() {
		return
	}
	v.verdict.Debts = append(v.verdict.Debts, store.Finding{About: about, Problem: fmt.Sprintf(
		"%s over the limit of %s: %s settled, %s uncertain, %s out with proxies",
		b.Unit.Format(over), b.Unit.Format(b.Limit), b.Unit.Format(row.Settled), b.Unit.Format(row.Uncertain), b.Unit.Format(row.Leased))})
}

// proveLeases expects no more to be taken off a lease than was granted, and nothing to be out with a proxy that was given up.
func (v *verifier) proveLeases() error {
	return v.rows(`SELECT leases.id, proxies.proxy_id, instance, account_id, granted, taken, released
		FROM leases JOIN proxies ON proxies.id = leases.proxy_id ORDER BY instance, proxies.proxy_id, account_id, leases.id`,
		func(rows *sql.Rows) error {
			var id, account, granted, taken int64
			var proxyID, instance string
			var released bool
			if err := rows.Scan(&id, &proxyID, &instance, &account, &granted, &taken, &released); err != nil {
				return err
			}
			v.verdict.Leases++
			about := fmt.Sprintf("lease %d of %s, %s", id, proxyName(proxyID, instance), v.names[account])
			out := money.FromNano(granted).Sub(money.FromNano(taken))
			switch {
			case granted < 0 || taken < 0 || taken > granted:
				v.found(about, "%s USD are taken of %s USD that were granted", money.FromNano(taken), money.FromNano(granted))
			case released && taken < granted:
				v.found(about, "%s USD are out though the proxy was released", out)
			}
			return nil
		})
}

func proxyName(proxyID, instance string) string { return "proxy " + proxyID + " (" + instance + ")" }

// proveProxies expects of every proxy what its calls are checked against to make sense, and of one that was given up that somebody is on
// record for it.
func (v *verifier) proveProxies() error {
	return v.rows(`SELECT proxy_id, instance, epoch, length(token_hash), applied, gave_back, released,
		EXISTS (SELECT 1 FROM releases WHERE releases.proxy_id = proxies.proxy_id) FROM proxies ORDER BY instance, proxy_id`,
		func(rows *sql.Rows) error {
			var proxyID, instance string
			var epoch, hash, applied, gaveBack int64
			var released, recorded bool
			if err := rows.Scan(&proxyID, &instance, &epoch, &hash, &applied, &gaveBack, &released, &recorded); err != nil {
				return err
			}
			v.verdict.Proxies++
			about := proxyName(proxyID, instance)
			if epoch < 1 || hash != int64(len(store.TokenHash{})) {
				v.found(about, "its session is damaged: epoch %d, a token of %d bytes", epoch, hash)
			}
			if applied < 0 || gaveBack > applied {
				v.found(about, "record %d gave everything back, %d are applied", gaveBack, applied)
			}
			if released && !recorded {
				v.found(about, "it is released, and nobody is on record for it")
			}
			return nil
		})
}
