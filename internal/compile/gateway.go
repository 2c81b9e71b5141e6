package compile

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// MaxGatewayRoutes is how many routes a gateway serves: what one session with the ledger can have.
const MaxGatewayRoutes = 1000

// GatewayServiceName is the name of a gateway's Service. It is not the gateway's own, which a route may have.
func GatewayServiceName(gateway string) string { return gateway + "-gateway" }

// GatewayHost is the name of a gateway's endpoint in the cluster's DNS.
func GatewayHost(gateway *v1alpha1.ModelGateway) string {
	return GatewayServiceName(gateway.Name) + "." + gateway.Namespace + ".svc"
}

// GatewayEndpoint is the base URL of a gateway, and so of its routes, for OpenAI clients within the cluster.
func GatewayEndpoint(gateway *v1alpha1.ModelGateway) string {
	scheme := "http"
	if GatewayPods(gateway).TLS.SecretRef.Name != "" {
		scheme = "https"
	}
	return scheme + "://" + GatewayHost(gateway) + "/v1"
}

// GatewayPods is what a gateway says of how its proxies run.
func GatewayPods(gateway *v1alpha1.ModelGateway) v1alpha1.ProxyPods {
	if gateway.Spec == nil {
		return v1alpha1.ProxyPods{}
	}
	return gateway.Spec.ProxyPods
}

// GatewayFileDir is where the proxies of a gateway find what its routes refer to.
const GatewayFileDir = UpstreamKeyDir

// GatewayFile is a value of a Secret or a ConfigMap as the proxies of a gateway have it: routes that name the same one share it.
type GatewayFile struct {
	Kind      v1alpha1.CABundleKind
	Name, Key string
}

var gatewayFileDirs = map[v1alpha1.CABundleKind]string{v1alpha1.CABundleSecret: "secrets", v1alpha1.CABundleConfigMap: "configmaps"}

// Path is where the file is below GatewayFileDir.
func (f GatewayFile) Path() string { return gatewayFileDirs[f.Kind] + "/" + f.Name + "/" + f.Key }

// gatewayFileAt is the file of a path that a route's configuration has; false for another path.
func gatewayFileAt(path string) (GatewayFile, bool) {
	below, found := strings.CutPrefix(path, GatewayFileDir+"/")
	parts := strings.Split(below, "/")
	if !found || len(parts) != 3 {
		return GatewayFile{}, false
	}
	for kind, dir := range gatewayFileDirs {
		if parts[0] == dir {
			return GatewayFile{Kind: kind, Name: parts[1], Key: parts[2]}, true
		}
	}
	return GatewayFile{}, false
}

// GatewayFiles are the files that routes of a gateway need, each once, sorted.
func GatewayFiles(routes []routeconfig.Route) []GatewayFile {
	var files []GatewayFile
	for _, route := range routes {
		for _, upstream := range route.Upstreams {
			for _, path := range [...]string{upstream.APIKeyFile, upstream.CAFile} {
				if file, is := gatewayFileAt(path); is {
					files = append(files, file)
				}
			}
		}
	}
	SortFiles(files)
	return slices.Compact(files)
}

// SortFiles puts files into the order in which they are mounted.
func SortFiles(files []GatewayFile) {
	slices.SortFunc(files, func(a, b GatewayFile) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
	})
}

// keyFile is where proxies find an upstream's API key.
func keyFile(in Input, upstream v1alpha1.Upstream) string {
	if in.UpstreamKeyDir == "" && in.Route.Spec.GatewayRef.Name != "" {
		ref := UpstreamKeySecret(in.Route, upstream)
		return GatewayFileDir + "/" + GatewayFile{v1alpha1.CABundleSecret, ref.Name, ref.Key}.Path()
	}
	return cmp.Or(in.UpstreamKeyDir, UpstreamKeyDir) + "/" + upstream.Name + "/" + UpstreamKeyFile
}

// caFile is where proxies find the certificates of an upstream's authorities; empty if it has none of its own.
func caFile(in Input, upstream v1alpha1.Upstream) string {
	ref, has := CABundle(upstream)
	switch {
	case !has:
		return ""
	case in.UpstreamCADir == "" && in.Route.Spec.GatewayRef.Name != "":
		return GatewayFileDir + "/" + GatewayFile{ref.Kind, ref.Name, ref.Key}.Path()
	}
	return cmp.Or(in.UpstreamCADir, UpstreamCADir) + "/" + upstream.Name + "/" + UpstreamCAFile
}

// GatewayRoute is a route as a gateway is to serve it.
type GatewayRoute struct {
	routeconfig.Route
	// Age is when the route was made.
	Age time.Time
}

// Merge makes one configuration of the routes of a gateway, under what stands at its top. Proxies refuse a configuration in which a key
// reaches two models of one name, and one that is too large: what would lead to that is left out. It returns what was left out, by the
// name of the route; of two routes it is the younger one that loses.
func Merge(top routeconfig.Config, routes []GatewayRoute) (merged routeconfig.Config, problems map[string]string) {
	routes = slices.Clone(routes)
	slices.SortFunc(routes, func(a, b GatewayRoute) int { return cmp.Or(a.Age.Compare(b.Age), cmp.Compare(a.Name, b.Name)) })
	merged, problems = top, map[string]string{}
	merged.Routes = nil
	holders := map[heldModel]string{}
	for _, one := range routes {
		if len(merged.Routes) == MaxGatewayRoutes {
			problems[one.Name] = fmt.Sprintf(
				"it serves %d older routes, which is as many as it can: name another ModelGateway.", MaxGatewayRoutes)
			continue
		}
		route, clash := withoutClashes(one.Route, holders)
		if clash != "" {
			problems[one.Name] = clash
		}
		merged.Routes = append(merged.Routes, route)
	}
	slices.SortFunc(merged.Routes, func(a, b routeconfig.Route) int { return cmp.Compare(a.Name, b.Name) })
	return merged, problems
}

// heldModel is a model's name as the holder of a key knows it.
type heldModel struct{ key, model string }

// withoutClashes leaves out the keys and the ServiceAccounts of a route that already reach a model of the same name through an older one,
// and says which.
func withoutClashes(route routeconfig.Route, holders map[heldModel]string) (routeconfig.Route, string) {
	clash := ""
	route.Consumers = slices.Clone(route.Consumers)
	for i := range route.Consumers {
		consumer := &route.Consumers[i]
		consumer.Keys = unheld(consumer.Keys, route, holders, func(key routeconfig.Key) string { return key.SHA256 },
			func(key routeconfig.Key, name, older string) {
				clash = clashOf("key "+key.ID, consumer.Name, name, older)
			})
		consumer.ServiceAccounts = unheld(consumer.ServiceAccounts, route, holders, routeconfig.ServiceAccount.ID,
			func(account routeconfig.ServiceAccount, name, older string) {
				clash = clashOf("ServiceAccount "+account.Namespace+"/"+account.Name, consumer.Name, name, older)
			})
	}
	return route, clash
}

func clashOf(what, consumer, model, older string) string {
	return fmt.Sprintf("%s of consumer %s reaches the model %q through ModelRoute %s, which is older: name the model otherwise.",
		what, consumer, model, older)
}

// unheld are those of the keys, or of the accounts, that reach no model of the route's names yet. From then on they do. The others are
// told.
func unheld[T any](
	all []T, route routeconfig.Route, holders map[heldModel]string, id func(T) string, tell func(one T, name, older string),
) []T {
	names := append([]string{route.Model.Name}, route.Model.Aliases...)
	var left []T
	for _, one := range all {
		if name, older := taken(holders, id(one), names); older != "" {
			tell(one, name, older)
			continue
		}
		left = append(left, one)
	}
	for _, one := range left {
		for _, name := range names {
			holders[heldModel{id(one), name}] = route.Name
		}
	}
	return left
}

func taken(holders map[heldModel]string, key string, names []string) (name, older string) {
	for _, name := range names {
		if older := holders[heldModel{key, name}]; older != "" {
			return name, older
		}
	}
	return "", ""
}

// ModelNames are the names under which clients can ask for a route's model.
func ModelNames(route *v1alpha1.ModelRoute) []string {
	return append([]string{ModelName(route)}, route.Spec.Model.Aliases...)
}

// SameModelName is a name that two routes of one gateway have in common for their models, so that no key can reach both; empty if there
// is none, or they are not served together.
func SameModelName(a, b *v1alpha1.ModelRoute) string {
	if a.Spec.GatewayRef.Name == "" || a.Spec.GatewayRef != b.Spec.GatewayRef || a.Namespace != b.Namespace {
		return ""
	}
	for _, name := range ModelNames(a) {
		if slices.Contains(ModelNames(b), name) {
			return name
		}
	}
	return ""
}

// IsOlder says which of two routes of one namespace goes before the other where only one of them can have something.
func IsOlder(a, b *v1alpha1.ModelRoute) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// validateGateway checks that a route leaves it to its gateway how proxies run.
func validateGateway(route *v1alpha1.ModelRoute, spec *field.Path) field.ErrorList {
	if route.Spec.GatewayRef.Name == "" || route.Spec.Proxy == nil || reflect.ValueOf(route.Spec.Proxy.ProxyPods).IsZero() {
		return nil
	}
	return field.ErrorList{field.Forbidden(spec.Child("proxy"),
		"with gatewayRef it can have maxRequestBytes, maxAttempts and costHeaders alone: say how proxies run in the ModelGateway")}
}
