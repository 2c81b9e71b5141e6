package controllers

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// keyScope is one pass over one ModelKey: what the phases find out and pass on.
type keyScope struct {
	// key is as it was read; nobody changes it.
	key *v1alpha1.ModelKey
	now time.Time

	// resolved is true once the spec and the routes that it names were looked at; invalid is what is wrong with the spec.
	resolved bool
	invalid  field.ErrorList
	routes   []namedRoute
	// teamRefusal says why the ModelKey may not spend in its team's name; empty if it may.
	teamRefusal string

	// record are the keys that proxies accept, delivered is the key of the Secret, and seen the version that it was read from; pending has
	// still to be delivered. The keys are nil where there is none.
	record             []routeconfig.Key
	delivered, pending *consumerKey
	seen               string
	plan               keys.Plan
	// objects are the Secret as it should be.
	objects []desired.Object

	usage keyUsage
	// err is what ended the phases early.
	err error
}

// namedRoute is a route that a ModelKey names.
type namedRoute struct {
	v1alpha1.RouteReference
	// route is nil if there is none.
	route *v1alpha1.ModelRoute
	// gateway is the route's; nil if it names none, or there is none.
	gateway *v1alpha1.ModelGateway
	// taken says which older route has the name of its model, for the same proxies; empty if none has.
	taken string
	// admits is true if the route accepts the ModelKey; refusal says why it does not, and what to do.
	admits  bool
	refusal refusal
	// report is what the route does with the keys; reported is false if it has not said so since this process began.
	report   routeReport
	reported bool
}

// refusal is why a route does not accept a ModelKey.
type refusal struct {
	state   v1alpha1.KeyRouteState
	message string
}

func newKeyScope(key *v1alpha1.ModelKey, now time.Time) *keyScope {
	return &keyScope{key: key, now: now}
}

func (s *keyScope) name() types.NamespacedName { return client.ObjectKeyFromObject(s.key) }

func (s *keyScope) policy() keys.Policy { return compile.KeyPolicy(s.key.Spec.Rotation, s.key) }

// admitted are the routes that accept the ModelKey.
func (s *keyScope) admitted() []types.NamespacedName {
	var names []types.NamespacedName
	for _, one := range s.routes {
		if one.admits {
			names = append(names, one.objectKey())
		}
	}
	return names
}

// isReported reports whether all routes that accept the ModelKey have said what they do since this process began.
func (s *keyScope) isReported() bool {
	return !slices.ContainsFunc(s.routes, func(one namedRoute) bool { return one.admits && !one.reported })
}

// access is how clients reach the routes, in the order of the spec; those that do not accept the ModelKey have none.
func (s *keyScope) access() []desired.Access {
	all := make([]desired.Access, len(s.routes))
	for i, one := range s.routes {
		if one.admits {
			all[i] = one.access()
		}
	}
	return all
}

// ring is what is known of the ModelKey's keys.
func (s *keyScope) ring() keys.Ring {
	ring := keys.Ring{Record: s.record}
	if s.delivered != nil {
		ring.Delivered = s.delivered.SHA256
	}
	if s.pending != nil {
		ring.Pending = &s.pending.Key
	}
	return ring
}

// issued is what the routes are to be told.
func (s *keyScope) issued() issuedKeys {
	return issuedKeys{uid: s.key.UID, accepted: s.plan.Accepted, pending: s.pending, routes: s.admitted()}
}

// access is how clients reach the route: as the route said, or, until it has said so, as it will without a certificate of its own
// authority.
func (n namedRoute) access() desired.Access {
	if n.reported && n.report.access.BaseURL != "" {
		return n.report.access
	}
	return desired.AccessThrough(n.route, n.gateway)
}

func (n namedRoute) objectKey() types.NamespacedName {
	return types.NamespacedName{Namespace: n.Namespace, Name: n.Name}
}

// accepts reports whether every ready proxy of the route accepts a key.
func (n namedRoute) accepts(key types.NamespacedName, hash string) bool {
	for _, acknowledged := range n.report.keys[key].acknowledged {
		if n.admits && acknowledged == hash {
			return true
		}
	}
	return false
}

// acceptsAccounts reports whether every ready proxy of the route accepts the tokens of all ServiceAccounts of a ModelKey.
func (n namedRoute) acceptsAccounts(key *v1alpha1.ModelKey) bool {
	report := n.report.keys[client.ObjectKeyFromObject(key)]
	for _, name := range compile.KeyAccounts(key) {
		isAccepted := slices.ContainsFunc(report.accounts, func(account routeconfig.ServiceAccount) bool {
			return account.Namespace == name.Namespace && account.Name == name.Name
		})
		if !isAccepted {
			return false
		}
	}
	return n.admits
}

// isUsable reports whether any route may accept the ModelKey.
func isUsable(key *v1alpha1.ModelKey, now time.Time) bool {
	return key.DeletionTimestamp.IsZero() && !compile.IsExpired(key, now) && len(compile.ValidateKey(key)) == 0
}
