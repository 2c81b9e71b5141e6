package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// scope is one pass over one route: what the phases find out and pass on. What a phase did not get to is at its zero value, which the
// status shows as unknown.
type scope struct {
	// route is as it was read, but for the consumers that may not spend in their team's name; nobody changes it.
	route *v1alpha1.ModelRoute
	now   time.Time
	// live reads from the API server, which is not asked twice in a pass whether something is there.
	live client.Reader

	// completed is the route with what it leaves out; nil if the pass did not get to it.
	completed *compile.Completed
	// validated and resolved are true once the spec, and what it refers to, were looked at; invalid and unresolved are what is wrong with
	// them.
	validated, resolved bool
	invalid             field.ErrorList
	unresolved          *unresolvedError

	// records are what the Secrets have with the keys that are made at upstreams, by the upstreams' names; upstreamKeys is how these stand,
	// if that is known.
	records           map[string]provisionedKey
	upstreamKeys      upstreamKeyReport
	upstreamKeysKnown bool

	// endpointCA is what the endpoint's certificate is known by; empty where any client knows it, or there is none.
	endpointCA []byte

	// record are the hashes of record: the keys that the proxies accept, by consumer, ModelKeys among them.
	record map[string][]routeconfig.Key
	// delivered are the keys that are in their consumers' Secrets and of record; pending are those that have still to be delivered.
	delivered, pending map[string]consumerKey
	// seen are the resourceVersions of the Secrets that the delivered keys were read from, by consumer.
	seen map[string]string
	// plans say which keys each consumer of the spec is to have.
	plans map[string]keys.Plan
	// modelKeys are those that the route admits, crowdedOut those that it has no room for, unpriced those that have a budget that denies
	// while no price is known; claims are the keys that are accepted of the admitted ones, by the names that they have as consumers.
	modelKeys, crowdedOut, unpriced []*v1alpha1.ModelKey
	claims                          map[string][]routeconfig.Key
	// identities are the ServiceAccounts whose tokens some consumers have in the place of keys.
	identities identities
	// teams are the budgets of the teams in whose names consumers spend; refused says of which consumers that is not allowed, and why.
	teams   compile.Teams
	refused []string

	// config is what the proxies are to be told, encoded, and hash its name.
	config []byte
	hash   string
	// objects are the children as they should be; reserved, the Secrets of the pending keys.
	objects, reserved []desired.Object
	// plan is the children as they should be beside what there is of them.
	plan *apply.Plan
	// applied is true once the children are so.
	applied bool
	// extensions is what became of the children of kinds that not every cluster has; nil if the pass did not get to them.
	extensions extensions

	// proxies are the route's own. A route with a gateway has none; gateway is its gateway then, and inGateway what becomes of it there.
	proxies
	gateway   *v1alpha1.ModelGateway
	inGateway routeInGateway
	usage     snapshot
	books     booksSnapshot

	// err is what ended the phases early.
	err error
}

func newScope(route *v1alpha1.ModelRoute, now time.Time) *scope {
	return &scope{
		route:     route,
		records:   map[string]provisionedKey{},
		now:       now,
		record:    map[string][]routeconfig.Key{},
		delivered: map[string]consumerKey{},
		pending:   map[string]consumerKey{},
		seen:      map[string]string{},
		plans:     map[string]keys.Plan{},
		claims:    map[string][]routeconfig.Key{},
		teams:     compile.Teams{},
		identities: identities{
			uids: map[types.NamespacedName]types.UID{}, absent: map[types.NamespacedName]string{},
		},
	}
}

// ring is what is known of the keys of a consumer of the spec.
func (s *scope) ring(consumer string) keys.Ring {
	ring := keys.Ring{Record: s.record[consumer], Delivered: s.delivered[consumer].SHA256}
	if key, pending := s.pending[consumer]; pending {
		ring.Pending = &key.Key
	}
	return ring
}

// deliver notes that a consumer's Secret now has the key that was pending.
func (s *scope) deliver(consumer v1alpha1.Consumer, key consumerKey) {
	ring := s.ring(consumer.Name)
	ring.Record, ring.Delivered, ring.Pending = s.plans[consumer.Name].Accepted, key.SHA256, nil
	s.delivered[consumer.Name] = key
	s.plans[consumer.Name] = ring.Plan(compile.KeyPolicy(consumer.Rotation, s.route), s.now)
}

// isCompleted reports whether it is known what the route leaves out.
func (s *scope) isCompleted() bool { return s.completed != nil && len(s.completed.Pending) == 0 }

// isUnpriced reports whether no price is known at one of the route's upstreams, so that no budget that denies can be held to.
func (s *scope) isUnpriced() bool { return s.isCompleted() && compile.IsUnpriced(s.completed.Route) }

func (s *scope) name() types.NamespacedName { return client.ObjectKeyFromObject(s.route) }

// owner is whose proxies serve the route.
func (s *scope) owner() desired.Owner { return desired.Server(s.route, s.gateway) }

// access is how clients reach the route.
func (s *scope) access() desired.Access {
	access := desired.AccessThrough(s.route, s.gateway)
	access.CA = string(s.endpointCA)
	return access
}

// acknowledged returns how many of the route's own ready proxies serve this pass's configuration.
func (s *scope) acknowledged() int {
	hashes := servedHashes(s.usage.usage)
	count := 0
	for _, pod := range s.readyPods {
		if s.hash != "" && hashes[pod] == s.hash {
			count++
		}
	}
	return count
}

// isServed reports whether there are proxies that serve the route, as it is now or as it was.
func (s *scope) isServed() bool {
	if s.gateway != nil {
		return s.inGateway.hash != ""
	}
	return s.deployment != nil
}

// hasReadyProxies reports whether there are proxies that can be told.
func (s *scope) hasReadyProxies() bool {
	if s.gateway != nil {
		return s.inGateway.able
	}
	return len(s.readyPods) > 0
}

// isAcknowledged reports whether there are ready proxies and all of them serve this pass's configuration.
func (s *scope) isAcknowledged() bool {
	if !s.usage.fresh || s.hash == "" {
		return false
	}
	if s.gateway != nil {
		return s.inGateway.served && s.inGateway.hash == s.hash
	}
	return len(s.readyPods) > 0 && s.acknowledged() == len(s.readyPods)
}

// isSettled reports whether no proxy has still to take up this pass's configuration.
func (s *scope) isSettled() bool {
	if s.gateway != nil {
		return s.isAcknowledged() || !s.inGateway.able
	}
	return s.acknowledged() == len(s.readyPods)
}

// unresolvedError says that something that the spec refers to is not there.
type unresolvedError struct {
	// Reason is one of the reasons of ResolvedRefs, and Message says what to do.
	Reason, Message string
}

// Error is the message.
func (e *unresolvedError) Error() string { return e.Message }

// invalidError says that the spec cannot be served; scope.invalid has the fields.
type invalidError struct{}

// Error says so.
func (invalidError) Error() string { return "the spec is invalid" }

// ledgerError says that the ledger could not be told or is not there yet.
type ledgerError struct{ err error }

// Error is that of the call.
func (e *ledgerError) Error() string { return e.err.Error() }

// Unwrap returns the error of the call.
func (e *ledgerError) Unwrap() error { return e.err }
