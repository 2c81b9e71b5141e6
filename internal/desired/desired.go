// Package desired turns a route and its compiled configuration into the Kubernetes objects that should exist for it. Its
// functions are pure: no client, no clock, no randomness. They set only the fields that they mean, so that server-side apply
// leaves the rest to others.
package desired

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// ConfigKey is the key of the config Secret under which the configuration stands.
const ConfigKey = "config.json"

// Input is what the objects of a route are made of.
type Input struct {
	Route *v1alpha1.ModelRoute
	// Config is the encoded configuration of the proxies.
	Config []byte
	Program
}

// Program is what proxies run, whoever they serve.
type Program struct {
	// Image is the image that has the proxy, and PullPolicy how it is pulled; empty leaves that to the kubelet.
	Image      string
	PullPolicy corev1.PullPolicy
	// Env are further environment variables of the proxies, sorted by name.
	Env []EnvVar
}

// proxies are all that the objects of a set of proxies are made of.
type proxies struct {
	Owner
	Program
	pods v1alpha1.ProxyPods
	// config are the Secrets with the configuration, and rules the rights to read them.
	config []Object
	rules  []*rbacv1ac.PolicyRuleApplyConfiguration
	// files are mounted beside what all proxies have: first the configuration, then what its upstreams need.
	files []mounted
	// longestRequestSeconds is how long a request may still take that began just before a proxy was told to stop.
	longestRequestSeconds int64
}

// Object is one object as it should be.
type Object struct {
	Kind schema.GroupVersionKind
	Name types.NamespacedName
	// Config is a generated apply configuration.
	Config runtime.ApplyConfiguration
	// Seen is the resourceVersion of the object that Config was made from, where it was: it must not be written over what the object has
	// become since. Empty means that Config stands whatever there is.
	Seen string
	// FirstReplicas is how many replicas a Deployment begins with whose number is then for an autoscaler to say, and how many it has at the
	// least when the autoscaler takes over. 0: Config says how many, or the object has none.
	FirstReplicas int32
	// Plain is true of a Deployment that has nothing in it that a user words, such as a node selector, so that the API server has nothing
	// to find fault with.
	Plain bool
}

// ConfigSecretName is the name of the Secret with a route's configuration.
func ConfigSecretName(route *v1alpha1.ModelRoute) string {
	return route.Name + compile.ConfigSecretSuffix
}

// Objects returns the objects of a route in the order in which they are to be applied.
func Objects(in Input) []Object {
	owner := OwnerOf(in.Route)
	return proxies{
		Owner: owner, Program: in.Program, pods: podsOf(in.Route),
		config: []Object{configSecret(owner, in.Config)},
		rules: []*rbacv1ac.PolicyRuleApplyConfiguration{
			readSecrets("get", "list", "watch").WithResourceNames(owner.Config),
		},
		files:                 append([]mounted{configFiles(owner)}, upstreamFiles(in.Route)...),
		longestRequestSeconds: longestRequestSeconds(in.Route),
	}.objects()
}

// podsOf is what a route says of how its proxies run, which may be nothing.
func podsOf(route *v1alpha1.ModelRoute) v1alpha1.ProxyPods {
	if route.Spec.Proxy == nil {
		return v1alpha1.ProxyPods{}
	}
	return route.Spec.Proxy.ProxyPods
}

// objects are in the order in which they are to be applied: the proxies come when all that they need is there, and what scales them comes
// after them.
func (p proxies) objects() []Object {
	objects := append([]Object{p.serviceAccount(), p.role(), p.roleBinding()}, p.config...)
	objects = append(objects, p.service())
	if p.mostReplicas() > 1 { // A single proxy would only be in the way of whoever drains its node.
		objects = append(objects, p.disruptionBudget())
	}
	if len(p.pods.NetworkPolicy.From) > 0 {
		objects = append(objects, p.networkPolicy())
	}
	objects = append(objects, p.deployment())
	if p.isAutoscaled() {
		objects = append(objects, p.autoscaler())
	}
	return objects
}

func configSecret(owner Owner, config []byte) Object {
	return owner.secret(owner.Config, map[string][]byte{ConfigKey: config})
}

func (p proxies) serviceAccount() Object {
	account := corev1ac.ServiceAccount(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference())
	return p.object("", "ServiceAccount", p.Proxy, account)
}

// role lets the proxies read the Secrets with their configuration, and nothing else.
func (p proxies) role() Object {
	role := rbacv1ac.Role(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithRules(p.rules...)
	return p.object("rbac.authorization.k8s.io", "Role", p.Proxy, role)
}

func readSecrets(verbs ...string) *rbacv1ac.PolicyRuleApplyConfiguration {
	return rbacv1ac.PolicyRule().WithAPIGroups("").WithResources("secrets").WithVerbs(verbs...)
}

func (p proxies) roleBinding() Object {
	binding := rbacv1ac.RoleBinding(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(p.Proxy)).
		WithSubjects(rbacv1ac.Subject().WithKind("ServiceAccount").WithNamespace(p.namespace()).WithName(p.Proxy))
	return p.object("rbac.authorization.k8s.io", "RoleBinding", p.Proxy, binding)
}

func (p proxies) service() Object {
	protocol := portHTTP
	if p.isEncrypted() {
		protocol = portHTTPS
	}
	service := corev1ac.Service(p.Service, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(p.ProxyLabels()).
			WithPorts(corev1ac.ServicePort().
				WithName(protocol).WithProtocol(corev1.ProtocolTCP).WithAppProtocol(protocol).
				WithPort(p.servicePort()).WithTargetPort(intstr.FromString(protocol))))
	return p.object("", "Service", p.Service, service)
}

// isEncrypted reports whether clients are served over TLS.
func (p proxies) isEncrypted() bool { return p.pods.TLS.SecretRef.Name != "" }

func (o Owner) object(group, kind, name string, config runtime.ApplyConfiguration) Object {
	return Object{
		Kind:   schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind},
		Name:   types.NamespacedName{Namespace: o.namespace(), Name: name},
		Config: config,
	}
}
