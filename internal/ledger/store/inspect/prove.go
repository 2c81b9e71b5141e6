package inspect

import (
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// Prove looks at everything in the books that is a sum, and at everything that has bounds, and adds what it finds to the verdict: also
// where it cannot read them to their end. It keeps nothing of the books but a page of them.
func Prove(r Reading, now time.Time, verdict *store.Verdict) error {
	p := &prover{Reading: r, now: now, verdict: verdict, calendars: map[calendarKey]budget.Calendar{}}
	for _, prove := range []func() error{p.scopes, p.members, p.history, p.windows, p.leases, p.proxies} {
		if err := prove(); err != nil {
			return err
		}
	}
	return nil
}

// prover proves the books as of one moment.
type prover struct {
	Reading
	now       time.Time
	verdict   *store.Verdict
	calendars map[calendarKey]budget.Calendar
}

// found notes a discrepancy.
func (p *prover) found(about, format string, arguments ...any) {
	p.verdict.Discrepancies = append(p.verdict.Discrepancies, store.Finding{About: about, Problem: fmt.Sprintf(format, arguments...)})
}

// differ notes a discrepancy if an amount is not the sum that it should be.
func (p *prover) differ(about, what string, unit budget.Unit, booked, sum money.Amount, of string) {
	if booked != sum {
		p.found(about, "%s is %s, %s %s", what, unit.Format(booked), of, unit.Format(sum))
	}
}

// count returns how many rows a table has.
func (p *prover) count(table string) (rows int64, err error) {
	err = p.Rows(`SELECT count(*) FROM `+table, func(scan Scan) error { return scan(&rows) })
	return rows, err
}

// owner is a route with what is known of it while its consumers are read.
type owner struct {
	id             int64
	key            store.RouteKey
	own, consumers store.Spend
	hasBooks       bool
}

// selectScopes reads the routes, and of each the scopes with the sums of their history.
const selectScopes = `SELECT routes.id, namespace, name, coalesce(scopes.id, 0), coalesce(consumer, ''),
	coalesce(settled, 0), coalesce(uncertain, 0),
	coalesce(settled_high, 0), coalesce(settled_low, 0), coalesce(uncertain_high, 0), coalesce(uncertain_low, 0)
	FROM routes LEFT JOIN scopes ON route_id = routes.id LEFT JOIN (SELECT scope_id,
		CAST(sum(settled >> 30) AS BIGINT) AS settled_high, CAST(sum(settled & 1073741823) AS BIGINT) AS settled_low,
		CAST(sum(uncertain >> 30) AS BIGINT) AS uncertain_high, CAST(sum(uncertain & 1073741823) AS BIGINT) AS uncertain_low
		FROM history GROUP BY scope_id) AS sums ON sums.scope_id = scopes.id
	ORDER BY namespace, name, routes.id, consumer`

// scopes expects what a route or a consumer ever spent to be the sum of its history. It expects every route to have books of its own, and
// no less in them than its consumers have together: what a consumer spends is spent on the route as well.
func (p *prover) scopes() error {
	var current owner
	err := p.Rows(selectScopes, func(scan Scan) error {
		var of owner
		var scope, settled, uncertain int64
		var consumer string
		var settledSum, uncertainSum parts
		if err := scan(&of.id, &of.key.Namespace, &of.key.Name, &scope, &consumer, &settled, &uncertain,
			&settledSum.high, &settledSum.low, &uncertainSum.high, &uncertainSum.low); err != nil {
			return err
		}
		if of.id != current.id {
			p.route(&current)
			current = of
		}
		if scope == 0 {
			return nil
		}
		p.verdict.Scopes++
		spend := store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain)}
		current.add(consumer, spend)
		about, sum := scopeName(of.key, consumer), "the sum of its history"
		p.differ(about, "settled", budget.USD, spend.Settled, settledSum.amount(), sum)
		p.differ(about, "uncertain", budget.USD, spend.Uncertain, uncertainSum.amount(), sum)
		return nil
	})
	p.route(&current)
	return err
}

func (o *owner) add(consumer string, spend store.Spend) {
	if consumer == "" {
		o.own, o.hasBooks = spend, true
		return
	}
	o.consumers.Settled = saturated(o.consumers.Settled.Add(spend.Settled))
	o.consumers.Uncertain = saturated(o.consumers.Uncertain.Add(spend.Uncertain))
}

// route compares a route with its consumers once all of them were read.
func (p *prover) route(of *owner) {
	about := scopeName(of.key, "")
	switch {
	case of.id == 0: // There was none.
		return
	case !of.hasBooks:
		p.found(about, "it has no books of its own")
		return
	}
	if of.own.Settled.Cmp(of.consumers.Settled) < 0 {
		p.found(about, "%s USD are settled, less than the %s USD of its consumers", of.own.Settled, of.consumers.Settled)
	}
	if of.own.Uncertain.Cmp(of.consumers.Uncertain) < 0 {
		p.found(about, "%s USD are uncertain, less than the %s USD of its consumers", of.own.Uncertain, of.consumers.Uncertain)
	}
}

// history expects no row of the history to be less than nothing, and every one to be of a whole quarter of an hour: any other would count
// in the wrong window. No more is priced or estimated than is settled.
func (p *prover) history() error {
	return p.Rows(`SELECT namespace, name, consumer, bucket, history.settled, history.uncertain
		FROM history JOIN scopes ON scopes.id = scope_id JOIN routes ON routes.id = route_id
		WHERE bucket % $1 <> 0 OR history.settled < 0 OR history.uncertain < 0 OR history.settled < priced OR history.settled < estimated
		ORDER BY namespace, name, consumer, bucket`,
		func(scan Scan) error {
			var key store.RouteKey
			var consumer string
			var bucket, settled, uncertain int64
			err := scan(&key.Namespace, &key.Name, &consumer, &bucket, &settled, &uncertain)
			p.found(scopeName(key, consumer),
				"%s USD settled and %s USD uncertain are in the history at %s: it has amounts from 0 up, by the quarter of an hour, "+
					"of which no more is priced or estimated than is settled",
				money.FromNano(settled), money.FromNano(uncertain), instant(bucket))
			return err
		}, store.Bucket.Milliseconds())
}

func instant(milliseconds int64) string {
	return time.UnixMilli(milliseconds).UTC().Format(time.RFC3339Nano)
}

// leases expects no more to be taken off a lease than was granted, and nothing to be out with a proxy that was given up.
func (p *prover) leases() (err error) {
	if p.verdict.Leases, err = p.count("leases"); err != nil {
		return err
	}
	return p.Rows(`SELECT leases.id, proxies.proxy_id, instance, namespace, routes.name, consumer, accounts.name, unit, upstream,
		granted, taken
		FROM leases JOIN proxies ON proxies.id = leases.proxy_id JOIN accounts ON accounts.id = account_id
		JOIN scopes ON scopes.id = scope_id JOIN routes ON routes.id = route_id
		WHERE granted < 0 OR taken < 0 OR taken > granted OR (released AND taken < granted)
		ORDER BY instance, proxies.proxy_id, leases.id`,
		func(scan Scan) error {
			var id, granted, taken int64
			var proxyID, instance string
			var key store.RouteKey
			var of store.Budget
			if err := scan(&id, &proxyID, &instance, &key.Namespace, &key.Name, &of.Consumer, &of.Name, &of.Unit, &of.Upstream,
				&granted, &taken); err != nil {
				return err
			}
			unit := of.Unit
			about := fmt.Sprintf("lease %d of %s, %s", id, proxyName(proxyID, instance), accountName(&of, key))
			if granted < 0 || taken < 0 || taken > granted {
				p.found(about, "%s are taken of %s that were granted",
					unit.Format(money.FromNano(taken)), unit.Format(money.FromNano(granted)))
				return nil
			}
			p.found(about, "%s are out though the proxy was released", unit.Format(money.FromNano(granted).Sub(money.FromNano(taken))))
			return nil
		})
}

// proxies expects of every proxy what its calls are checked against to make sense, and of one that was given up that somebody is on record
// for it.
func (p *prover) proxies() (err error) {
	if p.verdict.Proxies, err = p.count("proxies"); err != nil {
		return err
	}
	return p.Rows(`SELECT proxy_id, instance, epoch, length(token_hash), applied, gave_back, released,
		EXISTS (SELECT 1 FROM releases WHERE releases.proxy_id = proxies.proxy_id) FROM proxies ORDER BY instance, proxy_id`,
		func(scan Scan) error {
			var proxyID, instance string
			var epoch, hash, applied, gaveBack int64
			var released, recorded bool
			if err := scan(&proxyID, &instance, &epoch, &hash, &applied, &gaveBack, &released, &recorded); err != nil {
				return err
			}
			about := proxyName(proxyID, instance)
			if epoch < 1 || hash != int64(len(store.TokenHash{})) {
				p.found(about, "its session is damaged: epoch %d, a token of %d bytes", epoch, hash)
			}
			if applied < 0 || gaveBack > applied {
				p.found(about, "record %d gave everything back, %d are applied", gaveBack, applied)
			}
			if released && !recorded {
				p.found(about, "it is released, and nobody is on record for it")
			}
			return nil
		})
}
