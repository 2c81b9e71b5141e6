package desired

import (
	"cmp"
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// The kinds of objects that not every cluster has.
var (
	HTTPRouteKind  = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
	PodMonitorKind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}
)

// ExtensionKinds are all of them.
func ExtensionKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{HTTPRouteKind, PodMonitorKind}
}

// Extensions returns the objects of kinds that not every cluster has. Proxies serve without them.
func Extensions(owner Owner, pods v1alpha1.ProxyPods) []Object {
	p := proxies{Owner: owner, pods: pods}
	var objects []Object
	if len(pods.HTTPRoute.ParentRefs) > 0 {
		objects = append(objects, p.httpRoute())
	}
	if pods.PodMonitor != nil {
		objects = append(objects, p.podMonitor())
	}
	return objects
}

// ExtensionsOf are those of a route that has proxies of its own.
func ExtensionsOf(route *v1alpha1.ModelRoute) []Object {
	return Extensions(OwnerOf(route), podsOf(route))
}

// ExtensionsOfGateway are those of a gateway.
func ExtensionsOfGateway(gateway *v1alpha1.ModelGateway) []Object {
	return Extensions(OwnerOfGateway(gateway), compile.GatewayPods(gateway))
}

// untyped is an apply configuration of a kind whose Go types would be a dependency for a few fields.
type untyped map[string]any

// IsApplyConfiguration marks it as one.
func (untyped) IsApplyConfiguration() {}

func (p proxies) untyped(kind schema.GroupVersionKind, name string, labels map[string]string, spec untyped) Object {
	return p.object(kind.Group, kind.Kind, name, untyped{
		"apiVersion": kind.GroupVersion().String(),
		"kind":       kind.Kind,
		"metadata": untyped{
			"name": name, "namespace": p.namespace(), "labels": labels, "ownerReferences": []any{p.reference()},
		},
		"spec": spec,
	})
}

// httpRoute has Gateways send requests to the Service. Lists in it are atomic: what the API server would add to their items is said
// here, or they would never be as wanted.
func (p proxies) httpRoute() Object {
	spec := untyped{"parentRefs": parentReferences(p.pods.HTTPRoute.ParentRefs), "rules": []untyped{p.httpRule()}}
	if len(p.pods.HTTPRoute.Hostnames) > 0 {
		spec["hostnames"] = p.pods.HTTPRoute.Hostnames
	}
	return p.untyped(HTTPRouteKind, p.Service, p.Labels(), spec)
}

func parentReferences(gateways []v1alpha1.ListenerReference) []untyped {
	refs := make([]untyped, 0, len(gateways))
	for _, gateway := range gateways {
		ref := untyped{"group": HTTPRouteKind.Group, "kind": "Gateway", "name": gateway.Name}
		if gateway.Namespace != "" {
			ref["namespace"] = gateway.Namespace
		}
		if gateway.SectionName != "" {
			ref["sectionName"] = gateway.SectionName
		}
		if gateway.Port != 0 {
			ref["port"] = gateway.Port
		}
		refs = append(refs, ref)
	}
	return refs
}

// httpRule asks for no time limit, which is what "0s" means: a Gateway's own may be seconds, and an answer may be streamed for minutes. The
// proxy bounds each request by its upstream's time limit.
func (p proxies) httpRule() untyped {
	rule := untyped{
		"matches":     []untyped{{"path": untyped{"type": "PathPrefix", "value": cmp.Or(p.pods.HTTPRoute.PathPrefix, "/")}}},
		"backendRefs": []untyped{{"group": "", "kind": "Service", "name": p.Service, "port": p.servicePort(), "weight": 1}},
		"timeouts":    untyped{"request": "0s", "backendRequest": "0s"},
	}
	if p.pods.HTTPRoute.PathPrefix != "" {
		rule["filters"] = []untyped{{
			"type":       "URLRewrite",
			"urlRewrite": untyped{"path": untyped{"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
		}}
	}
	return rule
}

// podMonitor has the pods read one by one, on the admin port that no Service has: each proxy has figures of its own, and one that is
// not ready has some too.
func (p proxies) podMonitor() Object {
	endpoint := untyped{"port": portAdmin, "path": "/metrics"}
	if p.pods.PodMonitor.IntervalSeconds != 0 {
		endpoint["interval"] = strconv.Itoa(int(p.pods.PodMonitor.IntervalSeconds)) + "s"
	}
	all := p.Labels()
	maps.Copy(all, p.pods.PodMonitor.Labels) // which are never the operator's, as the schema has it
	return p.untyped(PodMonitorKind, p.Proxy, all, untyped{
		"selector":            untyped{"matchLabels": p.ProxyLabels()},
		"podMetricsEndpoints": []untyped{endpoint},
	})
}

// servicePort is the port of the Service.
func (p proxies) servicePort() int32 {
	if p.isEncrypted() {
		return 443
	}
	return 80
}
