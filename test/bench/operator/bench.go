package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// bench is what is measured, and what came out.
type bench struct {
	world *world
	sizes sizes
	say   func(line string)

	// all are the routes. sessions are what their proxies are to the ledger, of those without a real one; proxies are the real ones.
	all      batch
	sessions map[types.NamespacedName]*session
	proxies  []*realProxy

	results results
}

// results are the figures.
type results struct {
	// objects is how many belong to the routes; made is how long the operator took for them, from its start, and asked what it asked of the
	// API server for that; bare is how long a client took that only writes, and created one that knows that nothing is there.
	objects             int
	made, bare, created time.Duration
	asked               requests
	// delivered is how long the keys took from the moment at which their routes had proxies; keys is how many there are.
	keys      int
	delivered time.Duration
	// toSecret and toProxy are how long changes took.
	toSecret, toProxy []time.Duration
	// idle is what was asked of the API server in a window in which nothing happened, idleCPU what the manager worked in it.
	idle    requests
	idleCPU time.Duration
	// restart is what a restarted manager asked, touched how many objects it changed, and restarted how long it took until it was idle.
	restart   requests
	touched   int
	restarted time.Duration
	// busy is what was asked while routes spent, and busyCPU what the manager worked.
	busy    requests
	busyCPU time.Duration
	// alone is how long good routes took by themselves, and among how long others took among invalid ones.
	alone, among time.Duration
	// memory is the most that the manager had, up to each stage, and at idle.
	madePeak, idleBytes, peak int64
}

// run runs the stages one after the other.
func (b *bench) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.all = batch{name: "ai", routes: b.sizes.routes}
	stages := []struct {
		name string
		run  func(context.Context) error
	}{
		{"a user writes the routes", b.write},
		{"the operator makes what belongs to the routes", b.make},
		{"a bare client writes the same", b.writeBare},
		{"proxies come, and keys are delivered", b.deliver},
		{"changes", b.change},
		{"nothing happens", b.idle},
		{"the manager is started again", b.restart},
		{"routes spend", b.spend},
		{"good routes among invalid ones", b.mix},
	}
	for _, stage := range stages[:min(len(stages), b.sizes.stages)] {
		began, worked := time.Now(), rig.Worked()
		if err := stage.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
		b.say(fmt.Sprintf("%s: %s; processor time:%s", stage.name, time.Since(began).Round(time.Millisecond), workedSince(worked)))
	}
	b.results.peak = max(b.results.peak, rig.PeakBytes(b.world.manager.PID()))
	return nil
}

// workedSince says what the processes have worked.
func workedSince(before map[string]time.Duration) string {
	now := rig.Worked()
	var said strings.Builder
	for _, name := range slices.Sorted(maps.Keys(now)) {
		fmt.Fprintf(&said, " %s %.1f s", name, (now[name] - before[name]).Seconds())
	}
	return said.String()
}

// write makes the routes while no manager runs.
func (b *bench) write(ctx context.Context) error {
	return errors.Join(b.world.prepare(ctx, b.all), b.world.createRoutes(ctx, b.all, 0))
}

func (b *bench) make(ctx context.Context) error {
	w := b.world
	before, err := w.requests(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := w.startManager(); err != nil {
		return err
	}
	if err := w.awaitCount(ctx, deployments, 0, b.all.routes); err != nil {
		return err
	}
	b.results.made = time.Since(began)
	if err := b.awaitIdle(ctx); err != nil {
		return err
	}
	after, err := w.requests(ctx)
	b.results.asked, b.results.madePeak = after.since(before), rig.PeakBytes(w.manager.PID())
	return err
}

// awaitIdle waits until the manager has looked at every route and has nothing to write for two seconds. It still looks at routes then, now
// and again.
func (b *bench) awaitIdle(ctx context.Context) error {
	idle, seen := 0, 0.0
	return rig.Await(ctx, "the manager is idle", patience, func() bool {
		now, err := b.world.work(ctx)
		idle++
		if err != nil || now.queued > 0 || now.writes != seen || now.passes < float64(b.all.routes) {
			idle, seen = 0, now.writes
		}
		return idle >= 100 // at intervals of 20 ms
	})
}

// writeBare writes the same objects twice into other namespaces: by the requests that the operator makes, and as new objects, which costs
// the API server less, since it does not look for those that there are. The manager, which would see them as its own, does not run
// meanwhile.
func (b *bench) writeBare(ctx context.Context) error {
	w := b.world
	b.results.peak = rig.PeakBytes(w.manager.PID())
	if err := w.manager.Terminate(); err != nil {
		return fmt.Errorf("ending the manager: %w", err)
	}
	applied, created := batch{name: "applied", routes: b.all.routes}, batch{name: "created", routes: b.all.routes}
	if err := b.writeCopies(ctx, applied, created); err != nil {
		return err
	}
	return errors.Join(w.deleteChildren(ctx, applied), w.deleteChildren(ctx, created), w.startManager(), b.awaitIdle(ctx))
}

func (b *bench) writeCopies(ctx context.Context, applied, created batch) error {
	w := b.world
	objects, err := w.children(ctx, b.all)
	if err != nil {
		return err
	}
	b.results.objects = len(objects)
	if err := errors.Join(w.prepare(ctx, applied), w.prepare(ctx, created)); err != nil {
		return err
	}
	wanted, err := b.wanted(objects, applied)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := inParallel(ctx, len(wanted), func(ctx context.Context, i int) error {
		for _, object := range wanted[i] { // A binding is refused while its Role is not there.
			if err := w.bare.Apply(ctx, object.Config, client.FieldOwner("bare")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("applying: %w", err)
	}
	b.results.bare = time.Since(began)
	copied := copies(objects, b.all, created)
	began = time.Now()
	err = inParallel(ctx, len(copied), func(ctx context.Context, i int) error { return w.bare.Create(ctx, copied[i]) })
	b.results.created = time.Since(began)
	return err
}

// deliver gives every route a proxy: a few a real one, the others a session.
func (b *bench) deliver(ctx context.Context) error {
	w := b.world
	began := time.Now()
	before, err := w.count(ctx, secrets)
	if err != nil {
		return err
	}
	httpClient := ledgerclient.NewHTTPClient(w.ledgerRoots)
	opened := make([]*session, b.all.routes)
	err = inParallel(ctx, b.all.routes, func(ctx context.Context, i int) (err error) {
		if i >= b.sizes.proxied {
			if opened[i], err = w.openSession(ctx, httpClient, b.all.route(i)); err != nil {
				return err
			}
		}
		return w.runPod(ctx, b.all.route(i))
	})
	if err != nil {
		return err
	}
	b.sessions = map[types.NamespacedName]*session{}
	for i, one := range opened {
		if one != nil {
			b.sessions[b.all.route(i)] = one
			continue
		}
		p, err := w.runProxy(ctx, b.all.route(i))
		if err != nil {
			return err
		}
		b.proxies = append(b.proxies, p)
	}
	b.results.keys = b.all.routes * len(consumers)
	if err := w.awaitCount(ctx, secrets, before, b.results.keys); err != nil {
		return err
	}
	b.results.delivered = time.Since(began)
	for _, p := range b.proxies {
		if err := p.takeKey(ctx, w); err != nil {
			return err
		}
	}
	return b.awaitIdle(ctx)
}

// ledgerRoots are what the ledger is known by.
func (w *world) ledgerRoots() (*x509.CertPool, error) {
	certificate, err := os.ReadFile(filepath.Join(w.dir, rig.CertificateFile))
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return roots, nil
}

func (b *bench) idle(ctx context.Context) error {
	w := b.world
	if err := b.awaitIdle(ctx); err != nil {
		return err
	}
	var err error
	b.results.idle, b.results.idleCPU, err = b.window(ctx, b.sizes.idle)
	b.results.idleBytes = rig.ResidentBytes(w.manager.PID())
	return err
}

// window counts what is asked of the API server for a while, and what the manager works.
func (b *bench) window(ctx context.Context, length time.Duration) (requests, time.Duration, error) {
	w := b.world
	before, err := w.requests(ctx)
	if err != nil {
		return requests{}, 0, err
	}
	worked := rig.CPUTime(w.manager.PID())
	if !rig.Pause(ctx, length) {
		return requests{}, 0, ctx.Err()
	}
	after, err := w.requests(ctx)
	return after.since(before), rig.CPUTime(w.manager.PID()) - worked, err
}

func (b *bench) restart(ctx context.Context) error {
	w := b.world
	b.results.peak = max(b.results.peak, rig.PeakBytes(w.manager.PID()))
	earlier, err := w.children(ctx, b.all)
	if err != nil {
		return err
	}
	before, err := w.requests(ctx)
	if err != nil {
		return err
	}
	if err := w.manager.Terminate(); err != nil {
		return fmt.Errorf("ending the manager: %w", err)
	}
	began := time.Now()
	if err := errors.Join(w.startManager(), b.awaitIdle(ctx)); err != nil {
		return err
	}
	b.results.restarted = time.Since(began)
	after, err := w.requests(ctx)
	if err != nil {
		return err
	}
	b.results.restart = after.since(before)
	later, err := w.children(ctx, b.all)
	if err != nil {
		return err
	}
	was, is := versions(earlier), versions(later)
	for uid, version := range was {
		if is[uid] != version {
			b.results.touched++
		}
	}
	maps.DeleteFunc(is, func(uid types.UID, _ string) bool { return was[uid] != "" })
	b.results.touched += len(is)
	return nil
}

// spendInterval is how often each route that spends has something to report.
const spendInterval = 5 * time.Second

// spend has routes spend.
func (b *bench) spend(ctx context.Context) error {
	spending, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- b.keepSpending(spending) }()
	// The first figures of every route are due at once.
	if !rig.Pause(ctx, spendInterval+time.Duration(b.sizes.spenders/20)*time.Second) {
		return ctx.Err()
	}
	var err error
	b.results.busy, b.results.busyCPU, err = b.window(ctx, b.sizes.busy)
	stop()
	return errors.Join(err, <-failed)
}

// keepSpending has each of the spenders report once in spendInterval, until ctx ends.
func (b *bench) keepSpending(ctx context.Context) error {
	var spenders []*session
	for i := range b.all.routes {
		if s := b.sessions[b.all.route(i)]; s != nil && len(spenders) < b.sizes.spenders {
			spenders = append(spenders, s)
		}
	}
	for rig.Pause(ctx, 0) {
		next := time.Now().Add(spendInterval)
		err := inParallel(ctx, len(spenders), func(ctx context.Context, i int) error { return spenders[i].spend(ctx, b.world) })
		if ctx.Err() != nil {
			return nil //nolint:nilerr // It was told to end.
		}
		if err != nil {
			return err
		}
		rig.Pause(ctx, time.Until(next))
	}
	return nil
}

// mix makes good routes by themselves, and others among invalid ones.
func (b *bench) mix(ctx context.Context) error {
	var err error
	if b.results.alone, err = b.converge(ctx, batch{name: "alone", routes: b.sizes.mixed}, 0); err != nil {
		return err
	}
	// Each eleventh is invalid.
	b.results.among, err = b.converge(ctx, batch{name: "among", routes: b.sizes.mixed + b.sizes.mixed/10}, 11)
	return err
}

// converge makes routes and returns how long it took until the good ones have what belongs to them.
func (b *bench) converge(ctx context.Context, its batch, every int) (time.Duration, error) {
	w := b.world
	if err := w.prepare(ctx, its); err != nil {
		return 0, err
	}
	before, err := w.count(ctx, deployments)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := w.createRoutes(ctx, its, every); err != nil {
		return 0, err
	}
	good := its.routes
	if every > 0 {
		good -= (its.routes + every - 1) / every
	}
	if err := w.awaitCount(ctx, deployments, before, good); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}
