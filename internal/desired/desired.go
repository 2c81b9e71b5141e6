// Package desired turns a route and its compiled configuration into the Kubernetes objects that should exist for it. Its
// functions are pure: no client, no clock, no randomness. They set only the fields that they mean, so that server-side apply
// leaves the rest to others.
package desired

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
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
	// Image is the image that has the proxy, and PullPolicy how it is pulled; empty leaves that to the kubelet.
	Image      string
	PullPolicy corev1.PullPolicy
	// Env are further environment variables of the proxies, sorted by name.
	Env []EnvVar
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
}

// ServiceName is the name of the route's Service: the host in its endpoint.
func ServiceName(route *v1alpha1.ModelRoute) string { return route.Name }

// ProxyName is the name of the route's Deployment, ServiceAccount, Role and RoleBinding.
func ProxyName(route *v1alpha1.ModelRoute) string { return route.Name + "-proxy" }

// ConfigSecretName is the name of the Secret with the proxies' configuration.
func ConfigSecretName(route *v1alpha1.ModelRoute) string {
	return route.Name + compile.ConfigSecretSuffix
}

// ProxyIdentity is how the ledger knows the route's proxies: the user name of their ServiceAccount.
func ProxyIdentity(route *v1alpha1.ModelRoute) string {
	return "system:serviceaccount:" + route.Namespace + ":" + ProxyName(route)
}

// ProxyLabels are the labels by which the route's proxies are found. They never change, since a Deployment's selector cannot.
func ProxyLabels(route *v1alpha1.ModelRoute) map[string]string {
	return map[string]string{"app.kubernetes.io/name": "modelroute-proxy", v1alpha1.LabelRoute: route.Name}
}

// Objects returns the objects of a route in the order in which they are to be applied: the proxies come when all that they need is there,
// and what scales them comes after them.
func Objects(in Input) []Object {
	objects := []Object{
		serviceAccount(in.Route),
		role(in.Route),
		roleBinding(in.Route),
		configSecret(in.Route, in.Config),
		service(in.Route),
	}
	if mostReplicas(in.Route) > 1 { // A single proxy would only be in the way of whoever drains its node.
		objects = append(objects, disruptionBudget(in.Route))
	}
	if len(proxyOf(in.Route).NetworkPolicy.From) > 0 {
		objects = append(objects, networkPolicy(in.Route))
	}
	objects = append(objects, deployment(in))
	if isAutoscaled(in.Route) {
		objects = append(objects, autoscaler(in.Route))
	}
	return objects
}

func configSecret(route *v1alpha1.ModelRoute, config []byte) Object {
	name := ConfigSecretName(route)
	secret := corev1ac.Secret(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route)).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{ConfigKey: config})
	return object("", "Secret", route, name, secret)
}

func serviceAccount(route *v1alpha1.ModelRoute) Object {
	name := ProxyName(route)
	account := corev1ac.ServiceAccount(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route))
	return object("", "ServiceAccount", route, name, account)
}

// role lets the proxies watch the one Secret with their configuration, and nothing else.
func role(route *v1alpha1.ModelRoute) Object {
	name := ProxyName(route)
	role := rbacv1ac.Role(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route)).
		WithRules(rbacv1ac.PolicyRule().
			WithAPIGroups("").WithResources("secrets").WithResourceNames(ConfigSecretName(route)).
			WithVerbs("get", "list", "watch"))
	return object("rbac.authorization.k8s.io", "Role", route, name, role)
}

func roleBinding(route *v1alpha1.ModelRoute) Object {
	name := ProxyName(route)
	binding := rbacv1ac.RoleBinding(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route)).
		WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(name)).
		WithSubjects(rbacv1ac.Subject().WithKind("ServiceAccount").WithNamespace(route.Namespace).WithName(name))
	return object("rbac.authorization.k8s.io", "RoleBinding", route, name, binding)
}

func service(route *v1alpha1.ModelRoute) Object {
	name, protocol, port := ServiceName(route), portHTTP, int32(80)
	if _, encrypted := compile.TLSSecret(route); encrypted {
		protocol, port = portHTTPS, 443
	}
	service := corev1ac.Service(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(ProxyLabels(route)).
			WithPorts(corev1ac.ServicePort().
				WithName(protocol).WithProtocol(corev1.ProtocolTCP).WithAppProtocol(protocol).
				WithPort(port).WithTargetPort(intstr.FromString(protocol))))
	return object("", "Service", route, name, service)
}

// labels are on every object of a route: by them the operator finds what it made.
func labels(route *v1alpha1.ModelRoute) map[string]string {
	return map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelRoute: route.Name}
}

// ownerReference makes the route the controller of an object, so that it goes when the route goes, and nobody else claims it.
func ownerReference(route *v1alpha1.ModelRoute) *metav1ac.OwnerReferenceApplyConfiguration {
	return controllerReference("ModelRoute", route)
}

func controllerReference(kind string, owner metav1.Object) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(kind).
		WithName(owner.GetName()).WithUID(owner.GetUID()).
		WithController(true).WithBlockOwnerDeletion(true)
}

func object(group, kind string, owner metav1.Object, name string, config runtime.ApplyConfiguration) Object {
	return Object{
		Kind:   schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind},
		Name:   types.NamespacedName{Namespace: owner.GetNamespace(), Name: name},
		Config: config,
	}
}
