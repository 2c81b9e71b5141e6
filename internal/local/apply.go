package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"connectrpc.com/connect/v2"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/local/manifest"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// acknowledgeInterval is how often the ledger is asked whether the proxy serves a configuration, acknowledgePatience for how long.
	acknowledgeInterval = 50 * time.Millisecond
	acknowledgePatience = 30 * time.Second
)

// applier makes the ledger and the proxy what the routes say, in the order in which the operator does it in a cluster.
type applier struct {
	dir     directory
	ledger  *embedded
	keys    *keyring
	baseURL string
	clock   clock.WithTicker
	logger  *slog.Logger
}

// applied is what was made of routes.
type applied struct {
	routes  []manifest.Route
	hash    string
	secrets []consumerSecret
	// delivered has the content of each file of the Secrets, by path.
	delivered map[string][]byte
	// expires is when the next credit or ModelKey expires; zero if none will.
	expires time.Time
}

// prepare tells the ledger what may be spent, and then writes the configuration that needs it, so that nothing is ever served under a
// budget that the ledger does not know.
func (a *applier) prepare(ctx context.Context, routes []manifest.Route) (*applied, error) {
	now := a.clock.Now()
	routes = withoutExpired(routes, now)
	made := &applied{routes: routes}
	for _, route := range routes {
		at := compile.NextExpiry(route.ModelRoute, route.ModelKeys, route.Teams, now)
		if !at.IsZero() && (made.expires.IsZero() || at.Before(made.expires)) {
			made.expires = at
		}
	}
	accepted, secrets, err := a.keysOf(routes)
	if err != nil {
		return nil, err
	}
	made.secrets = secrets
	config, err := a.compile(routes, accepted)
	if err != nil {
		return nil, err
	}
	made.hash = routeconfig.Hash(config)
	if err := errors.Join(a.writeUpstreamKeys(routes), a.remember(routes)); err != nil {
		return nil, err
	}
	if err := a.putBudgets(ctx, routes, now); err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(a.dir.config(), configsource.Key), config); err != nil {
		return nil, fmt.Errorf("writing the proxy's configuration: %w", err)
	}
	return made, nil
}

// withoutExpired returns the routes without the ModelKeys whose time is over.
func withoutExpired(routes []manifest.Route, now time.Time) []manifest.Route {
	served := slices.Clone(routes)
	for i := range served {
		served[i].ModelKeys = slices.DeleteFunc(slices.Clone(served[i].ModelKeys), func(key *v1alpha1.ModelKey) bool {
			return compile.IsExpired(key, now)
		})
	}
	return served
}

// holders are all that have keys: the consumers of all routes, and then the ModelKeys.
func holders(routes []manifest.Route) []holder {
	var all []holder
	byName := map[v1alpha1.RouteReference]*v1alpha1.ModelRoute{}
	var modelKeys []*v1alpha1.ModelKey
	for _, route := range routes {
		byName[v1alpha1.RouteReference{Namespace: route.Namespace, Name: route.Name}] = route.ModelRoute
		for _, consumer := range route.Spec.Consumers {
			all = append(all, consumerOf(route.ModelRoute, consumer))
		}
		for _, key := range route.ModelKeys {
			if !slices.Contains(modelKeys, key) {
				modelKeys = append(modelKeys, key)
			}
		}
	}
	for _, key := range modelKeys {
		var its []*v1alpha1.ModelRoute
		for _, ref := range compile.RouteRefs(key) {
			its = append(its, byName[ref])
		}
		all = append(all, modelKeyOf(key, its))
	}
	return all
}

// keysOf returns the accepted keys at each of the routes, by consumer, and the Secrets that deliver them.
func (a *applier) keysOf(routes []manifest.Route) ([]map[string][]routeconfig.Key, []consumerSecret, error) {
	accepted := make([]map[string][]routeconfig.Key, len(routes))
	var secrets []consumerSecret
	for _, one := range holders(routes) {
		secret, err := a.keys.secretOf(one)
		if err != nil {
			return nil, nil, err
		}
		secrets = append(secrets, secret)
		for i, route := range routes {
			if !slices.Contains(one.routes, route.ModelRoute) {
				continue
			}
			if accepted[i] == nil {
				accepted[i] = map[string][]routeconfig.Key{}
			}
			accepted[i][one.name] = []routeconfig.Key{secret.accepted()}
		}
	}
	return accepted, secrets, nil
}

// compile makes one configuration of all routes, and reads it as the proxy will: one that it would refuse is never written.
func (a *applier) compile(routes []manifest.Route, keys []map[string][]routeconfig.Key) ([]byte, error) {
	config := routeconfig.Config{Version: routeconfig.Version, Ledger: routeconfig.Ledger{URL: a.ledger.url}}
	for i, route := range routes {
		one, err := compile.Config(compile.Input{
			Route: route.ModelRoute, SupportedParameters: route.SupportedParameters,
			ModelKeys: route.ModelKeys, Teams: route.Teams, Ledger: config.Ledger, Keys: keys[i],
			UpstreamKeyDir: a.upstreamKeyDir(route), UpstreamCADir: a.upstreamKeyDir(route),
		})
		if err != nil {
			return nil, fmt.Errorf("compiling route %s/%s: %w", route.Namespace, route.Name, err)
		}
		config.Routes = append(config.Routes, one.Routes...)
	}
	encoded, err := routeconfig.Encode(config)
	if err != nil {
		return nil, err
	}
	if _, err := routeconfig.Decode(encoded); err != nil {
		return nil, err
	}
	return encoded, nil
}

func (a *applier) upstreamKeyDir(route manifest.Route) string {
	return filepath.Join(a.dir.upstreams(), route.Namespace, route.Name)
}

// writeUpstreamKeys puts the upstreams' keys, and the certificates of their authorities, where the proxy reads them.
func (a *applier) writeUpstreamKeys(routes []manifest.Route) error {
	for _, route := range routes {
		for upstream, key := range route.UpstreamKeys {
			path := filepath.Join(a.upstreamKeyDir(route), upstream, compile.UpstreamKeyFile)
			if err := replace(path, []byte(key)); err != nil {
				return fmt.Errorf("writing an upstream's key: %w", err)
			}
		}
		for upstream, bundle := range route.UpstreamAuthorities {
			path := filepath.Join(a.upstreamKeyDir(route), upstream, compile.UpstreamCAFile)
			if err := replace(path, []byte(bundle)); err != nil {
				return fmt.Errorf("writing the certificates of an upstream's authorities: %w", err)
			}
		}
	}
	return nil
}

// remembered is what `usage` has to know and the ledger does not: the budgets as they were written, with the percentages of their alerts.
// The status of the routes has the prices that were adopted, for the next run.
type remembered struct {
	Routes []*v1alpha1.ModelRoute `json:"routes"`
	// Shared are the budgets of teams and ModelKeys, by what the ledger knows them by.
	Shared map[string][]v1alpha1.Budget `json:"shared,omitempty"`
}

func rememberedOf(routes []manifest.Route) remembered {
	all := remembered{Shared: map[string][]v1alpha1.Budget{}}
	for _, route := range routes {
		all.Routes = append(all.Routes, route.ModelRoute)
		for name, team := range route.Teams {
			all.Shared[compile.TeamOwner(name)] = team.Spec.Budgets
		}
		for _, key := range route.ModelKeys {
			all.Shared[compile.KeyOwner(key)] = key.Spec.Budgets
		}
	}
	return all
}

func (a *applier) remember(routes []manifest.Route) error {
	encoded, err := json.Marshal(rememberedOf(routes))
	if err != nil {
		return fmt.Errorf("encoding the routes: %w", err)
	}
	return replace(a.dir.routes(), encoded)
}

// putBudgets tells the ledger what may be spent now. In the name of a route that is gone nobody may; what it has spent stays in the books.
func (a *applier) putBudgets(ctx context.Context, routes []manifest.Route, now time.Time) error {
	shared := map[string]bool{}
	for _, route := range routes {
		if err := a.putShared(ctx, route, now, shared); err != nil {
			return err
		}
		request, err := compile.Budgets(route.ModelRoute, route.ModelKeys, route.Teams, string(proxyIdentity), now)
		if err != nil {
			return fmt.Errorf("compiling the budgets of route %s/%s: %w", route.Namespace, route.Name, err)
		}
		if err := a.put(ctx, request); err != nil {
			return err
		}
	}
	return a.putNothing(ctx, routes, shared)
}

// putNothing tells the ledger of all routes and shared owners but these that nobody may spend in their names.
func (a *applier) putNothing(ctx context.Context, routes []manifest.Route, shared map[string]bool) error {
	known, err := a.ledger.service.Usage(ctx)
	if err != nil {
		return fmt.Errorf("asking the ledger for the routes that it knows: %w", err)
	}
	for _, one := range known.GetShared() {
		if owner := one.GetOwner(); !shared[owner] && len(one.GetBudgets()) > 0 {
			if _, err := a.ledger.manager.PutShared(ctx, &ledgerpb.PutSharedRequest{Owner: owner}); err != nil {
				return fmt.Errorf("taking the budgets of %s away: %w", owner, err)
			}
		}
	}
	for _, one := range known.GetRoutes() {
		if !slices.ContainsFunc(routes, func(route manifest.Route) bool { return isOf(one, route) }) {
			if err := a.put(ctx, &ledgerpb.PutRouteRequest{Route: one.GetRoute()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// putShared tells the ledger what the teams and the ModelKeys may spend in whose names a route is spent on, and notes their owners.
func (a *applier) putShared(ctx context.Context, route manifest.Route, now time.Time, told map[string]bool) error {
	requests, err := compile.Shared(route.ModelRoute, route.ModelKeys, route.Teams, now)
	if err != nil {
		return fmt.Errorf("compiling the budgets of teams and ModelKeys: %w", err)
	}
	for _, request := range requests {
		owner := request.GetOwner()
		if told[owner] {
			continue
		}
		told[owner] = true
		_, err := a.ledger.manager.PutShared(ctx, request)
		if refused, ok := errors.AsType[*connect.Error](err); ok {
			err = errors.New(refused.Message())
		}
		if err != nil {
			return fmt.Errorf("the ledger does not take the budgets of %s: %w", owner, err)
		}
	}
	return nil
}

func isOf(usage *ledgerpb.RouteUsage, route manifest.Route) bool {
	return usage.GetRoute().GetNamespace() == route.Namespace && usage.GetRoute().GetName() == route.Name
}

func (a *applier) put(ctx context.Context, request *ledgerpb.PutRouteRequest) error {
	_, err := a.ledger.manager.PutRoute(ctx, request)
	if refused, ok := errors.AsType[*connect.Error](err); ok {
		err = errors.New(refused.Message())
	}
	if err != nil {
		return fmt.Errorf("the ledger does not take the budgets of route %s/%s: %w",
			request.GetRoute().GetNamespace(), request.GetRoute().GetName(), err)
	}
	return nil
}

// deliver writes the consumers' Secrets once the proxy accepts their keys: a key that is delivered works.
func (a *applier) deliver(ctx context.Context, made *applied) error {
	if err := a.awaitAcknowledgement(ctx, made); err != nil {
		return err
	}
	var err error
	made.delivered, err = a.keys.deliver(made.secrets, a.baseURL)
	return err
}

// awaitAcknowledgement waits until the proxy has told the ledger that it serves the configuration, as Programmed means in a cluster.
func (a *applier) awaitAcknowledgement(ctx context.Context, made *applied) error {
	ticker := a.clock.NewTicker(acknowledgeInterval)
	defer ticker.Stop()
	patience := a.clock.NewTimer(acknowledgePatience)
	defer patience.Stop()
	for {
		known, err := a.ledger.service.Usage(ctx)
		if err == nil && acknowledges(known.GetRoutes(), made) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C():
			return errors.Join(errors.New("the proxy has not taken up the new configuration; its log says why"), err)
		case <-ticker.C():
		}
	}
}

func acknowledges(known []*ledgerpb.RouteUsage, made *applied) bool {
	serves := func(proxy *ledgerpb.ProxyStatus) bool { return proxy.GetConfigHash() == made.hash }
	for _, route := range made.routes {
		i := slices.IndexFunc(known, func(one *ledgerpb.RouteUsage) bool { return isOf(one, route) })
		if i < 0 || !slices.ContainsFunc(known[i].GetProxies(), serves) {
			return false
		}
	}
	return true
}
