package controllers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

const (
	// usageInterval is how often the ledger is asked for the spend of all routes.
	usageInterval = time.Second
	// turnsPerLook is how many routes may have new figures in their status after one look at the ledger, so that however many spend, the
	// API server is not flooded.
	turnsPerLook = 20
	// usageGrace is how long the ledger may fail to answer before what it said last counts as not observed.
	usageGrace = 10 * time.Second
)

// Usage keeps what the ledger said last of every route, and wakes the routes whose status has to follow.
type Usage struct {
	// Ledger is asked once a second.
	Ledger Ledger
	// Routes reads routes, from a cache.
	Routes client.Reader
	// Gateways are woken in place of the routes that they serve when proxies serve something else; nil if there are none.
	Gateways *GatewayExchange
	Clock    clock.WithTicker

	// polling is held during a call, so that there is one at a time.
	polling sync.Mutex

	mu sync.Mutex
	// routes is nil until the ledger has answered for the first time. The map and what is in it are never changed: a usage that is the same
	// pointer as before is the same.
	routes map[types.NamespacedName]*ledgerpb.RouteUsage
	// known is the state of the ledger's last answer.
	known string
	// asked is when the call began whose answer routes is; tried is true once there was any call.
	asked time.Time
	tried bool
	// lost is true when the ledger has not answered for longer than usageGrace, or never.
	lost bool
	// byKey is what each ModelKey has spent, by route; shared is what each shared owner has.
	byKey  map[types.NamespacedName]keySpend
	shared map[string]*ledgerpb.SharedUsage
	// existing is how many routes there were at the last look: the ledger also knows those that are gone.
	existing int
	// waiting are the objects whose figures are due and that have to wait for another look.
	waiting map[subject]bool
	// found is what was found of routes at the last look. Only the poll uses it.
	found map[types.NamespacedName]found

	// modelKeys wakes the ModelKeys whose status has to follow, and teams the teams.
	modelKeys, teams waker
}

// subject is what has figures in a status: a route, a ModelKey, or a team.
type subject struct {
	kind string
	types.NamespacedName
}

const (
	routeKind = "ModelRoute"
	keyKind   = "ModelKey"
	teamKind  = "TeamBudget"
)

func routeSubject(name types.NamespacedName) subject {
	return subject{kind: routeKind, NamespacedName: name}
}
func keySubject(name types.NamespacedName) subject {
	return subject{kind: keyKind, NamespacedName: name}
}
func teamSubject(name string) subject {
	return subject{kind: teamKind, NamespacedName: types.NamespacedName{Name: name}}
}

// snapshot is what is known of one route's usage.
type snapshot struct {
	// synced is true if the ledger has answered since this process began; fresh, if it did so lately.
	synced, fresh bool
	// asked is when the ledger was asked for this answer.
	asked time.Time
	// usage is nil if the ledger does not know the route.
	usage *ledgerpb.RouteUsage
	// waits is true if the status has to keep the figures that it has until it is the route's turn.
	waits bool
	// routes is how many there are.
	routes int
}

// of returns what the ledger said last of a route.
func (u *Usage) of(route types.NamespacedName) snapshot {
	u.mu.Lock()
	defer u.mu.Unlock()
	return snapshot{
		synced: u.routes != nil, fresh: u.routes != nil && !u.lost, asked: u.asked, usage: u.routes[route],
		waits: u.waiting[routeSubject(route)], routes: u.existing,
	}
}

// EnsureAsked asks the ledger now if it was never asked before, so that the first status after a start does not have to call the spend
// unknown.
func (u *Usage) EnsureAsked(ctx context.Context) {
	if u.state().tried {
		return
	}
	u.polling.Lock()
	defer u.polling.Unlock()
	if !u.state().tried {
		u.ask(ctx)
	}
}

// Start implements a controller's source: it polls in the background until ctx ends and puts the routes that have to be looked at into
// the queue.
func (u *Usage) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	spendMetrics.of.Store(u)
	go u.run(ctx, func(due call) {
		request := reconcile.Request{NamespacedName: due.NamespacedName}
		if byPriority, is := queue.(priorityqueue.PriorityQueue[reconcile.Request]); is && due.canWait {
			byPriority.AddWithOpts(priorityqueue.AddOpts{Priority: new(firstFiguresPriority)}, request)
		} else {
			queue.Add(request)
		}
	})
	return nil
}

// call is that a route has to be looked at.
type call struct {
	types.NamespacedName
	// canWait is true of one that has no figures yet, of which none is urgent: others are looked at first.
	canWait bool
}

// firstFiguresPriority is below that of routes that are looked at because the manager has begun. Where thousands are new, each of them gets
// its proxies before any gets its zeros.
const firstFiguresPriority = 2 * handler.LowPriority

func (u *Usage) run(ctx context.Context, wake func(call)) {
	ticker := u.Clock.NewTicker(usageInterval)
	defer ticker.Stop()
	for {
		for _, route := range u.poll(ctx) {
			wake(route)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// poll asks the ledger and returns the routes that have to be looked at.
func (u *Usage) poll(ctx context.Context) []call {
	u.polling.Lock()
	defer u.polling.Unlock()
	before := u.state()
	u.ask(ctx)
	after := u.state()
	turns := u.takeTurns(ctx, after.routes)
	u.modelKeys.wake(namesOf(turns[keyKind])...)
	u.teams.wake(namesOf(turns[teamKind])...)
	var due []call
	for _, turn := range turns[routeKind] {
		due = append(due, call{NamespacedName: turn.NamespacedName, canWait: turn.shown.IsZero()})
	}
	if (before.routes == nil) != (after.routes == nil) || before.lost != after.lost {
		u.Gateways.wakeAll()
		return u.everyRoute(ctx, after)
	}
	gateways := map[types.NamespacedName]bool{}
	for name, usage := range after.routes {
		if before.routes[name] == usage || maps.Equal(servedHashes(before.routes[name]), servedHashes(usage)) {
			continue
		}
		// Of a gateway's version only the gateway knows for which routes it is news.
		if gateway, is := u.Gateways.gatewayOf(name); is {
			gateways[gateway] = true
		} else {
			due = append(due, call{NamespacedName: name})
		}
	}
	for gateway := range gateways {
		u.Gateways.gateways.wake(gateway)
	}
	for name := range before.routes {
		if after.routes[name] == nil {
			due = append(due, call{NamespacedName: name}) // the ledger has lost it, and has to be told again
		}
	}
	return due
}

// turn is that an object's figures have to be written.
type turn struct {
	subject
	// rank is 0 if a milestone is to be shown, else 1.
	rank int
	// shown is when those were written that the status has.
	shown time.Time
}

func namesOf(turns []turn) []types.NamespacedName {
	names := make([]types.NamespacedName, 0, len(turns))
	for _, turn := range turns {
		names = append(names, turn.NamespacedName)
	}
	return names
}

// takeTurns returns, by their kinds, those whose figures are to be written now, at most turnsPerLook in all: the urgent ones first, then
// those that have waited longest. The others wait.
func (u *Usage) takeTurns(ctx context.Context, routes map[types.NamespacedName]*ledgerpb.RouteUsage) map[string][]turn {
	turns := slices.Concat(u.routeTurns(ctx, routes), u.keyTurns(ctx), u.teamTurns(ctx))
	slices.SortFunc(turns, func(a, b turn) int {
		return cmp.Or(a.rank-b.rank, a.shown.Compare(b.shown), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	waiting := map[subject]bool{}
	due := map[string][]turn{}
	for i, turn := range turns {
		if i < turnsPerLook {
			due[turn.kind] = append(due[turn.kind], turn)
		} else {
			waiting[turn.subject] = true
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = waiting
	return due
}

// turnFor makes a turn for a subject whose status shows this spend, which is nil if it shows none.
func turnFor(of subject, shown *v1alpha1.Spend, urgent bool) turn {
	its := turn{subject: of, rank: 1}
	if shown == nil || urgent {
		its.rank = 0
	}
	if shown != nil {
		its.shown = shown.UpdateTime.Time
	}
	return its
}

type usageState struct {
	routes      map[types.NamespacedName]*ledgerpb.RouteUsage
	known       string
	tried, lost bool
}

func (u *Usage) state() usageState {
	u.mu.Lock()
	defer u.mu.Unlock()
	return usageState{routes: u.routes, known: u.known, tried: u.tried, lost: u.lost}
}

func (u *Usage) ask(ctx context.Context) {
	asked := u.Clock.Now()
	answer, err := u.Ledger.ListUsage(ctx, u.state().known)
	if ctx.Err() != nil {
		return
	}
	logger := log.FromContext(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tried = true
	if err != nil {
		if !u.lost && (u.routes == nil || asked.Sub(u.asked) > usageGrace) {
			logger.Error(err, "The ledger does not answer")
			u.lost = true
		}
		return
	}
	if u.lost {
		logger.Info("The ledger answers again")
	}
	u.lost, u.asked = false, asked
	u.take(answer)
}

// take keeps what an answer says, beside what is not different since the one before. It is called with mu held.
func (u *Usage) take(answer *ledgerpb.ListUsageResponse) {
	u.known = answer.GetState()
	routes, shared := map[types.NamespacedName]*ledgerpb.RouteUsage{}, map[string]*ledgerpb.SharedUsage{}
	if answer.GetChanges() {
		if len(answer.GetRoutes()) == 0 && len(answer.GetShared()) == 0 {
			return
		}
		routes, shared = maps.Clone(u.routes), maps.Clone(u.shared)
	}
	for _, usage := range answer.GetRoutes() {
		routes[types.NamespacedName{Namespace: usage.GetRoute().GetNamespace(), Name: usage.GetRoute().GetName()}] = usage
	}
	for _, usage := range answer.GetShared() {
		shared[usage.GetOwner()] = usage
	}
	u.routes, u.shared, u.byKey = routes, shared, spendByKey(routes)
}

// everyRoute returns all routes: those that exist and those that the ledger knows.
func (u *Usage) everyRoute(ctx context.Context, state usageState) []call {
	names := map[types.NamespacedName]bool{}
	for name := range state.routes {
		names[name] = true
	}
	var routes v1alpha1.ModelRouteList
	if err := u.Routes.List(ctx, &routes); err != nil {
		log.FromContext(ctx).Error(err, "Listing routes")
	}
	for i := range routes.Items {
		names[client.ObjectKeyFromObject(&routes.Items[i])] = true
	}
	every := make([]call, 0, len(names))
	for name := range names {
		every = append(every, call{NamespacedName: name})
	}
	return every
}

// servedIn returns which configuration each instance serves that has any of these routes, by its pod's name, and whether the ledger has
// said so lately.
func (u *Usage) servedIn(routes []types.NamespacedName) (hashes map[string]string, fresh bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	usages := make([]*ledgerpb.RouteUsage, 0, len(routes))
	for _, route := range routes {
		usages = append(usages, u.routes[route])
	}
	return servedHashes(usages...), u.routes != nil && !u.lost
}

// servedHashes returns which configuration each instance serves, by its pod's name. Of several processes in one pod the one heard from
// last counts.
func servedHashes(usages ...*ledgerpb.RouteUsage) map[string]string {
	latest := map[string]*ledgerpb.ProxyStatus{}
	for _, usage := range usages {
		for _, proxy := range usage.GetProxies() {
			known := latest[proxy.GetInstance()]
			if known == nil || known.GetLastHeartbeat().AsTime().Before(proxy.GetLastHeartbeat().AsTime()) {
				latest[proxy.GetInstance()] = proxy
			}
		}
	}
	hashes := make(map[string]string, len(latest))
	for instance, proxy := range latest {
		hashes[instance] = proxy.GetConfigHash()
	}
	return hashes
}
