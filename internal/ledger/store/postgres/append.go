package postgres

import (
	"context"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// log is a call's part of a proxy's log.
type log struct {
	first   int64
	records []store.Record
}

// Append implements store.Store. Whatever the number of records, it takes three round trips to the database: one locks the proxy and reads
// what the records name, one locks the scopes concerned, one writes.
func (s *Store) Append(
	ctx context.Context, now time.Time, credential store.Credential, first int64, records []store.Record,
) (store.Appended, error) {
	var outcome store.Appended
	var gap bool
	err := s.asProxy(ctx, now, credential, "applying a proxy's records", func(t *tx) error {
		var err error
		outcome, gap, err = t.append(now, credential, log{first: first, records: records})
		return err
	})
	if err != nil {
		return store.Appended{}, err
	}
	if gap {
		return outcome, store.ErrGap
	}
	return outcome, nil
}

func (t *tx) append(now time.Time, credential store.Credential, log log) (outcome store.Appended, gap bool, err error) {
	w := t.work(now, &proxy{})
	ever, err := w.readLog(credential, log.records)
	if err != nil {
		return outcome, false, err
	}
	outcome.Applied = w.from.applied
	if log.first > w.from.applied+1 {
		return outcome, true, w.heardOnly()
	}
	first := max(log.first, w.from.applied+1-int64(len(log.records))) // Before that, all of them are repeated.
	outcome.Repeated = int(w.from.applied + 1 - first)
	fresh := log.records[outcome.Repeated:]
	if len(fresh) == 0 {
		return outcome, false, w.heardOnly()
	}
	outcome.Foreign, err = w.apply(fresh, ever)
	outcome.Applied = w.from.applied
	return outcome, false, err
}

const (
	selectServed = `SELECT namespace, name FROM proxies JOIN proxy_routes ON proxy_routes.proxy_id = proxies.id
		JOIN routes ON routes.id = route_id JOIN unnest($2::text[], $3::text[]) AS wanted (n, r) ON namespace = n AND name = r
		WHERE proxies.proxy_id = $1`

	leasesNamed = selectLeases + `JOIN proxies ON proxies.id = leases.proxy_id WHERE proxies.proxy_id = $1 AND leases.id = ANY ($2)`
	leasesAll   = selectLeases + `JOIN proxies ON proxies.id = leases.proxy_id WHERE proxies.proxy_id = $1`
)

// readLog locks the proxy, and reads which of the routes of its settlements it ever had a session for or drew for, and the leases that
// its records name.
func (w *work) readLog(credential store.Credential, records []store.Record) (ever map[store.RouteKey]bool, err error) {
	keys, leases, all := named(records)
	namespaces, names := make([]string, 0, len(keys)), make([]string, 0, len(keys))
	for key := range keys {
		namespaces, names = append(namespaces, key.Namespace), append(names, key.Name)
	}
	ever = make(map[store.RouteKey]bool, len(keys))
	b := w.batch()
	queueProxy(b, credential.ProxyID, w.from)
	if len(keys) > 0 {
		b.Queue(selectServed, credential.ProxyID, namespaces, names).Query(each(func(scan func(into ...any) error) error {
			var key store.RouteKey
			err := scan(&key.Namespace, &key.Name)
			ever[key] = true
			return err
		}))
	}
	switch {
	case all:
		b.Queue(leasesAll, credential.ProxyID).Query(each(w.scanLeases))
	case len(leases) > 0:
		b.Queue(leasesNamed, credential.ProxyID, keysOf(leases)).Query(each(w.scanLeases))
	}
	if err := w.send(b); err != nil {
		return nil, err
	}
	return ever, w.from.check(credential)
}

// named returns the routes and leases that records name, and whether they are about all leases.
func named(records []store.Record) (routes map[store.RouteKey]bool, leases map[int64]bool, all bool) {
	routes, leases = map[store.RouteKey]bool{}, map[int64]bool{}
	for _, record := range records {
		switch {
		case record.Settlement != nil:
			routes[record.Settlement.Route] = true
			for _, charge := range record.Settlement.Charges {
				leases[charge.Lease] = true
			}
		case record.Return != nil:
			leases[record.Return.Lease] = true
		case record.ReleaseAll:
			all = true
		}
	}
	return routes, leases, all
}

// apply books records and commits. It returns how many settlements it passed over because their route was never the proxy's.
func (w *work) apply(records []store.Record, ever map[store.RouteKey]bool) (foreign int, err error) {
	if err := w.findAccounts(); err != nil {
		return 0, err
	}
	routes, err := w.routesFor(ever)
	if err != nil {
		return 0, err
	}
	if err := w.findOwners(records, routes); err != nil {
		return 0, err
	}
	if err := w.lockPayers(records, routes); err != nil {
		return 0, err
	}
	for _, record := range records {
		switch {
		case record.Settlement != nil && routes[record.Settlement.Route] == nil:
			foreign++ // It must not keep the records behind it from being booked.
		case record.Settlement != nil:
			w.settle(payersOf(routes, record.Settlement), record.Settlement)
		case record.Return != nil:
			w.charge(*record.Return)
		case record.ReleaseAll:
			w.from.gaveBack = w.from.applied + 1 // The number of this record.
			w.releaseAll()
		}
		w.from.applied++
	}
	b := w.batch()
	w.flush(b)
	w.queueHeard(b)
	if records[len(records)-1].ReleaseAll {
		// Nothing is under way there, and there may be no heartbeat any more to say so.
		b.Queue(`UPDATE beats SET in_flight = '' WHERE proxy_id = $1`, w.from.id)
	}
	return foreign, w.commit(b)
}

// lockPayers locks everything that the records change, and opens the windows of whoever is spent from: to sum them anew whenever the
// usage is read would take too long.
func (w *work) lockPayers(records []store.Record, routes map[store.RouteKey]*route) error {
	scopes, checked := w.concerned()
	payers := map[*scope]bool{}
	for _, record := range records {
		if record.Settlement == nil || routes[record.Settlement.Route] == nil {
			continue
		}
		for _, payer := range payersOf(routes, record.Settlement) {
			payers[payer], scopes[payer.id], checked[payer.route] = true, true, true
		}
	}
	var accounts []*account
	for payer := range payers {
		accounts = append(accounts, payer.accounts...)
	}
	b := w.batch()
	w.lock(b, scopes, checked)
	w.queueWindows(b, accounts)
	if err := w.send(b); err != nil {
		return err
	}
	return w.ensureWindows(accounts)
}

func costOf(one *store.Settlement, unit budget.Unit) (c change) {
	c.settled, c.uncertain = one.Cost(unit)
	return c
}

// settle books what an attempt cost, and takes it off the leases that it was held in.
func (w *work) settle(payers []*scope, one *store.Settlement) {
	openedAt := one.OpenedAt
	// Nothing is older than the window of a budget without end.
	if openedAt.Before(time.Unix(0, 0)) || openedAt.After(w.now) {
		openedAt = w.now
	}
	for _, charge := range one.Charges {
		if l := w.charge(charge); l != nil {
			openedAt = w.withinWindow(l, openedAt)
		}
	}
	c := costOf(one, budget.USD)
	bucket, sums := bucketOf(openedAt.UnixMilli()), one.Sums()
	for i, payer := range payers {
		if i > 1 { // The first two are the route and its consumer.
			key := memberKey{owner: payer.id, scope: payers[1].id}
			w.deltas.members[key] = w.deltas.members[key].plus(c)
		}
		w.deltas.scopes[payer.id] = w.deltas.scopes[payer.id].plus(c)
		key := historyKey{scope: payer.id, bucket: bucket, model: one.Model, upstream: one.Upstream, team: one.Team}
		store.AddTo(w.deltas.history, key, &sums)
		for _, a := range payer.accounts {
			if a.budget.Covers(one.Upstream) {
				w.changeWindow(a.keyAt(openedAt), costOf(one, a.budget.Unit))
			}
		}
	}
}

// withinWindow moves a time into the window that a lease counts in: a hold settles in the window in which it was opened, and the
// proxy's clock may be a little off.
func (w *work) withinWindow(l *lease, at time.Time) time.Time {
	a := w.accounts[l.account]
	if !a.active {
		return at
	}
	window := a.windowAt(l.grantedAt)
	if at.Before(window.Start) {
		at = window.Start
	}
	if !window.End.IsZero() && !at.Before(window.End) {
		at = window.End.Add(-time.Millisecond)
	}
	return at
}

// charge takes an amount off a lease of the proxy, which it returns. A lease that is not known is one that was lost with a restored backup,
// or released.
func (w *work) charge(charge store.Charge) *lease {
	l := w.leases[charge.Lease]
	if l != nil {
		w.take(l, charge.Amount)
	}
	return l
}
