package sqlite

import (
	"database/sql"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// windowSums are what all scopes spent in a window, and what is out of all accounts in it. Most accounts share their window with many
// others, and when it rolls none of them has a row yet: to sum them one by one would take seconds where there are many.
type windowSums struct {
	// history is by scope and upstream.
	history map[int64]map[string]store.Spend
	leases  map[int64]store.Spend
}

// spend is what the row of an account's window has to be, as sumWindow works it out.
func (w windowSums) spend(spender *scope, a *account) store.Spend {
	spend, out := store.Spend{}, w.leases[a.id]
	if a.budget.Unit == budget.USD {
		for upstream, one := range w.history[spender.id] {
			if a.budget.Covers(upstream) {
				spend.Settled = saturated(spend.Settled.Add(one.Settled))
				spend.Uncertain = saturated(spend.Uncertain.Add(one.Uncertain))
			}
		}
	}
	return store.Spend{
		Settled: spend.Settled, Uncertain: saturated(spend.Uncertain.Add(out.Uncertain)), Leased: out.Leased,
	}
}

const (
	sumAllHistory = `SELECT scope_id, upstream, sum(settled / 1000000000), sum(settled % 1000000000),
		sum(uncertain / 1000000000), sum(uncertain % 1000000000) FROM history WHERE bucket >= ? AND bucket < ?
		GROUP BY scope_id, upstream`

	sumAllLeases = `SELECT account_id, silent, sum((granted - taken) / 1000000000), sum((granted - taken) % 1000000000)
		FROM leases JOIN proxies ON proxies.id = leases.proxy_id WHERE granted > taken AND granted_at >= ? AND granted_at < ?
		GROUP BY account_id, silent`
)

// sumsOf returns the sums of a window, which are read once.
func (r *snapshot) sumsOf(window budget.Window) (windowSums, error) {
	start, end := window.Start.UnixMilli(), never
	if !window.End.IsZero() {
		end = window.End.UnixMilli()
	}
	key := [2]int64{start, end}
	if known, read := r.sums[key]; read {
		return known, nil
	}
	sums := windowSums{history: map[int64]map[string]store.Spend{}, leases: map[int64]store.Spend{}}
	err := r.rows(sumAllHistory, func(rows *sql.Rows) error {
		var scope, whole, fraction, uncertainWhole, uncertainFraction int64
		var upstream string
		err := rows.Scan(&scope, &upstream, &whole, &fraction, &uncertainWhole, &uncertainFraction)
		if sums.history[scope] == nil {
			sums.history[scope] = map[string]store.Spend{}
		}
		sums.history[scope][upstream] = store.Spend{Settled: sum(whole, fraction), Uncertain: sum(uncertainWhole, uncertainFraction)}
		return err
	}, bucketOf(start), end)
	if err != nil {
		return windowSums{}, err
	}
	err = r.rows(sumAllLeases, func(rows *sql.Rows) error {
		var account, whole, fraction int64
		var silent bool
		err := rows.Scan(&account, &silent, &whole, &fraction)
		out := sums.leases[account]
		addOut(&out, silent, sum(whole, fraction))
		sums.leases[account] = out
		return err
	}, start, end)
	r.sums[key] = sums
	return sums, err
}

// addOut counts what is out with proxies: as uncertain if they are silent.
func addOut(out *store.Spend, silent bool, amount money.Amount) {
	if silent {
		out.Uncertain = out.Uncertain.Add(amount)
	} else {
		out.Leased = out.Leased.Add(amount)
	}
}
