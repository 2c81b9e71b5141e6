package desired

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// Owner is what objects are made for, and by which names and labels they are known.
type Owner struct {
	// Object controls the objects, which live in its namespace; Kind is its kind.
	Object metav1.Object
	Kind   string
	// Label is the label of the objects that has the owner's name.
	Label string
	// Service is the name of the Service: the host in the endpoint. Proxy is that of the Deployment, the ServiceAccount, the Role and the
	// RoleBinding, and Config that of the Secret with the proxies' configuration.
	Service, Proxy, Config string
}

// OwnerOf is a route that has proxies of its own.
func OwnerOf(route *v1alpha1.ModelRoute) Owner {
	return Owner{
		Object: route, Kind: "ModelRoute", Label: v1alpha1.LabelRoute,
		Service: route.Name, Proxy: route.Name + "-proxy", Config: ConfigSecretName(route),
	}
}

// Identity is how the ledger knows the proxies: the user name of their ServiceAccount.
func (o Owner) Identity() string {
	return "system:serviceaccount:" + o.Object.GetNamespace() + ":" + o.Proxy
}

// Labels are on every object: by them the operator finds what it made.
func (o Owner) Labels() map[string]string {
	return map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, o.Label: o.Object.GetName()}
}

// ProxyLabels are the labels by which the proxies are found. They never change, since a Deployment's selector cannot.
func (o Owner) ProxyLabels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "modelroute-proxy", o.Label: o.Object.GetName()}
}

func (o Owner) namespace() string { return o.Object.GetNamespace() }

// reference makes the owner the controller of an object, so that it goes when the owner goes, and nobody else claims it.
func (o Owner) reference() *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(o.Kind).
		WithName(o.Object.GetName()).WithUID(o.Object.GetUID()).
		WithController(true).WithBlockOwnerDeletion(true)
}
