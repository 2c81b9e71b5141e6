package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// clockTime is how a time of a run is shown.
const clockTime = "15:04:05.000"

const (
	// usualCost is about what a request costs, and perClient about how many a client makes in a second, by which budgets are sized.
	usualCost = 330_000
	perClient = 2.3
	// stillTime is for how long nothing is spent until a budget counts as used up.
	stillTime = 1500 * time.Millisecond
	// limitsTime is how long edited limits may take to be in force everywhere.
	limitsTime = 1500 * time.Millisecond
	// backTime is how long money may take to come back at the most.
	backTime = time.Minute
)

// limitsOf are the limits of a route and its consumers: two run out early, one has none of its own, and what the others may spend together
// is more than the route's.
func limitsOf(route money.Amount) map[string]money.Amount {
	part := func(percent int64) money.Amount { return money.FromNano(route.Nano() / 100 * percent) }
	return map[string]money.Amount{"": route, "c0": part(6), "c1": part(7), "c2": part(45), "c3": part(45), "c4": part(45)}
}

// play runs one scenario in a world of its own.
func play(parent context.Context, s settings, on *database, one scenario, number int) *result {
	r := &result{store: on.kind, scenario: one, run: number}
	ctx, cancel := context.WithTimeout(parent, 4*s.load+3*time.Minute)
	defer cancel()
	route := money.FromNano(int64(s.load.Seconds() * 0.7 * float64(s.clients) * perClient * usualCost))
	r.limits = limitsOf(route)
	w, err := newWorld(ctx, on, one.silence, pacing{firstToken: 20 * time.Millisecond, token: time.Millisecond}, r.limits)
	if err != nil {
		r.failure = fmt.Errorf("beginning: %w", err)
		return r
	}
	//nolint:gosec // Nothing secret comes of it.
	random := rand.New(rand.NewPCG(s.seed, uint64(number)))
	if err := r.spendAll(ctx, s, w, random); err != nil && r.failure == nil {
		r.failure = err
	}
	if w.problem != nil && r.failure == nil {
		r.failure = w.problem
	}
	w.close()
	r.dir = w.dir
	if interrupted := parent.Err() != nil; interrupted || !s.keep && r.good() {
		w.remove()
	}
	return r
}

// spendAll lets clients spend until the money is gone while things go wrong, then raises the limits, lets them spend again and ends in the
// middle of that, and compares the books.
func (r *result) spendAll(ctx context.Context, s settings, w *world, random *rand.Rand) error {
	crowd := newLoad(w, r.scenario.mix)
	defer crowd.client.CloseIdleConnections()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	eyes := &observer{world: w}
	go eyes.watch(watching)
	loading, stop := context.WithCancel(ctx)
	stopLoad := func() {
		stop()
		crowd.running.Wait()
	}
	defer stopLoad()

	began := time.Now()
	crowd.start(loading, s.clients)
	troubled, cancel := context.WithTimeout(ctx, s.load)
	r.scenario.chaos(troubled, w, random)
	cancel()
	r.untilStill(ctx, w, began.Add(3*s.load+10*time.Second))
	if err := r.firstAct(ctx, w, began); err != nil {
		return err
	}
	if err := r.raise(w); err != nil {
		return err
	}
	rig.Pause(ctx, limitsTime+s.encore)
	crowd.note(func(t *tally) {
		r.tally = *t
		r.tally.others = maps.Clone(t.others)
	})
	since, more := r.scenario.finale(w, stopLoad, r)
	if err := r.awaitBack(ctx, w, since); err != nil {
		return err
	}
	if err := w.quiet(backTime); err != nil {
		return err
	}
	stopWatching()
	if err := r.compare(ctx, w); err != nil {
		return err
	}
	r.judge(w.truth, eyes, crowd.refused)
	more()
	return nil
}

// untilStill waits until nothing is spent any more though the ledger can be asked, or until the deadline.
func (r *result) untilStill(ctx context.Context, w *world, deadline time.Time) {
	last, since := -1, time.Now()
	for time.Now().Before(deadline) && time.Since(since) < stillTime && rig.Pause(ctx, 100*time.Millisecond) {
		_, err := w.ask(ctx)
		if now := w.truth.count(); now != last || err != nil {
			last, since = now, time.Now()
		}
	}
}

// firstAct notes how much of the budget could be spent.
func (r *result) firstAct(ctx context.Context, w *world, began time.Time) error {
	if err := w.truth.refresh(ctx); err != nil {
		return err
	}
	r.raised = time.Now()
	spent, count, last := w.truth.spent(r.raised)[""], w.truth.count(), began
	w.truth.mu.Lock()
	if count > 0 {
		last = w.truth.records[count-1].Time
	}
	w.truth.mu.Unlock()
	r.share = float64(spent.Nano()) / float64(r.limits[""].Nano())
	r.perSecond = float64(count) / last.Sub(began).Seconds()
	r.over(spent, r.limits[""])
	return nil
}

// raise doubles the limits.
func (r *result) raise(w *world) error {
	raised := map[string]money.Amount{}
	for name, limit := range r.limits {
		raised[name] = limit.Add(limit)
	}
	r.before, r.limits = r.limits, raised
	return w.putRoute(raised)
}

// strand notes what is out or counts as spent and is not.
func (r *result) strand(w *world) {
	found, err := w.ask(w.ctx)
	w.note(err)
	w.note(w.truth.refresh(w.ctx))
	route := found.windows[""]
	r.stranded = route.spent().Add(route.leased).Sub(w.truth.spent(time.Now())[""])
}

// awaitBack waits until nothing is out with proxies any more.
func (r *result) awaitBack(ctx context.Context, w *world, since time.Time) error {
	err := rig.Await(ctx, "all money is back from the proxies", backTime, func() bool {
		found, err := w.ask(ctx)
		return err == nil && found.leased().IsZero()
	})
	r.back = time.Since(since)
	return err
}

// compare holds the ledger's books against the upstream's, now that nothing is under way.
func (r *result) compare(ctx context.Context, w *world) error {
	if err := w.truth.refresh(ctx); err != nil {
		return err
	}
	found, err := w.ask(ctx)
	if err != nil {
		return err
	}
	if len(found.windows) != len(r.limits) { // A budget that is not shown would not be weighed.
		return fmt.Errorf("the ledger shows %d budgets, want %d", len(found.windows), len(r.limits))
	}
	r.weigh(w.truth.spent(time.Now()), found.windows)
	return nil
}

// weigh finds the worst of what was spent above a limit, what was spent and does not count as spent, and what is settled and was not spent.
func (r *result) weigh(spent map[string]money.Amount, books map[string]window) {
	for name, one := range books {
		r.over(spent[name], r.limits[name])
		r.lost = larger(r.lost, spent[name].Sub(one.spent()))
		r.doubled = larger(r.doubled, one.settled.Sub(spent[name]))
	}
	r.left = books[""].spent().Sub(spent[""])
}

// over notes what was spent above a limit.
func (r *result) over(spent, limit money.Amount) { r.overshoot = larger(r.overshoot, spent.Sub(limit)) }

// release notes what came back when the ledger gave up on the lost proxies.
func (r *result) release(w *world) {
	found, err := w.ask(w.ctx)
	w.note(err)
	r.released = r.left.Sub(found.windows[""].spent().Sub(w.truth.spent(time.Now())[""]))
}

// judge looks for requests that were refused for good although the money was there.
func (r *result) judge(bills *truth, eyes *observer, refused []refusal) {
	r.overleased = eyes.overleased
	for _, one := range refused {
		limits := r.limits
		if one.at.Before(r.raised.Add(limitsTime)) {
			limits = r.before
		}
		spent := bills.spent(one.at)
		room, explained := true, false
		var seen []string
		for _, name := range []string{"", one.consumer} {
			limit, has := limits[name]
			if !has {
				continue
			}
			room = room && spent[name].Add(one.needed).Cmp(limit) <= 0
			counted, isExplained := eyes.explain(&one, name, limit, spent[name])
			explained = explained || isExplained
			seen = append(seen, fmt.Sprintf("of %s USD %s were billed, and at most %s counted as spent", limit, spent[name], counted))
		}
		switch {
		case room && explained:
			r.cautious++
		case room:
			r.falseDenials++
			r.example = fmt.Sprintf("%s, asked at %s, answered at %s: %s: %s", one.consumer, one.asked.Format(clockTime),
				one.at.Format(clockTime), strings.Join(seen, "; "), one.body)
		}
	}
}
