package desired

import (
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// IndexKey is the key of a gateway's config Secret under which the index of its configuration stands.
	IndexKey = "index.json"
	// PartSuffix ends the keys of the parts in their Secrets, each after its hash.
	PartSuffix = ".json.gz"
)

// OwnerOfGateway is a gateway. Everything is named after its Service, which is not named like one of a route.
func OwnerOfGateway(gateway *v1alpha1.ModelGateway) Owner {
	name := compile.GatewayServiceName(gateway.Name)
	return Owner{
		Object: gateway, Kind: "ModelGateway", Label: v1alpha1.LabelGateway,
		Service: name, Proxy: name, Config: gateway.Name + ".gateway",
	}
}

// Server is who serves a route: its gateway's proxies, if it names one, or its own.
func Server(route *v1alpha1.ModelRoute, gateway *v1alpha1.ModelGateway) Owner {
	if gateway != nil {
		return OwnerOfGateway(gateway)
	}
	return OwnerOf(route)
}

// ServedElsewhere are the objects of a route that a gateway serves: its configuration, with its keys of record. It has the gateway's label:
// by it the gateway knows that it was made for it.
func ServedElsewhere(route *v1alpha1.ModelRoute, gateway *v1alpha1.ModelGateway, config []byte) []Object {
	owner := OwnerOf(route)
	secret := owner.secretConfig(owner.Config, map[string][]byte{ConfigKey: config}).
		WithLabels(map[string]string{v1alpha1.LabelGateway: gateway.Name})
	return []Object{owner.object("", "Secret", owner.Config, secret)}
}

// GatewayInput is what the objects of a gateway are made of.
type GatewayInput struct {
	Gateway *v1alpha1.ModelGateway
	// Index is the index of the configuration; Parts has, for each part, what its Secret is to have: packed parts by their hashes.
	Index []byte
	Parts [routeconfig.Parts]map[string][]byte
	// Files are what the routes refer to, and LongestRequestSeconds is how long a request to any of them may take.
	Files                 []compile.GatewayFile
	LongestRequestSeconds int64
	Program
}

// GatewayObjects returns the objects of a gateway in the order in which they are to be applied. The parts of the configuration come before
// the index that names them.
func GatewayObjects(in GatewayInput) []Object {
	owner := OwnerOfGateway(in.Gateway)
	names := make([]string, 0, routeconfig.Parts)
	for part := range routeconfig.Parts {
		names = append(names, routeconfig.PartName(owner.Config, part))
	}
	all := proxies{
		Owner: owner, Program: in.Program, pods: compile.GatewayPods(in.Gateway),
		rules: []*rbacv1ac.PolicyRuleApplyConfiguration{
			readSecrets("get", "list", "watch").WithResourceNames(owner.Config),
			readSecrets("get").WithResourceNames(names...),
		},
		files:                 []mounted{gatewayConfigFiles(owner, names)},
		longestRequestSeconds: in.LongestRequestSeconds,
	}
	for part, name := range names {
		all.config = append(all.config, owner.secret(name, in.Parts[part]))
	}
	all.config = append(all.config, owner.secret(owner.Config, map[string][]byte{IndexKey: in.Index}))
	if len(in.Files) > 0 {
		all.files = append(all.files, gatewayFiles(in.Files))
	}
	return all.objects()
}

func (o Owner) secret(name string, data map[string][]byte) Object {
	return o.object("", "Secret", name, o.secretConfig(name, data))
}

func (o Owner) secretConfig(name string, data map[string][]byte) *corev1ac.SecretApplyConfiguration {
	return corev1ac.Secret(name, o.namespace()).
		WithLabels(o.Labels()).
		WithOwnerReferences(o.reference()).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)
}

// gatewayConfigFiles are the index and all parts side by side.
func gatewayConfigFiles(owner Owner, parts []string) mounted {
	source := corev1ac.ProjectedVolumeSource().WithDefaultMode(0o440)
	for _, name := range append([]string{owner.Config}, parts...) {
		source.WithSources(corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(name)))
	}
	return readOnly(corev1ac.Volume().WithName("config").WithProjected(source), configDir)
}

// GatewayFilesVolume is the name of the volume with what the routes of a gateway refer to.
const GatewayFilesVolume = "upstreams"

// gatewayFiles are one volume, whatever the number of routes. What is missing is left out: the routes that need it are not served well, and
// the others are.
func gatewayFiles(files []compile.GatewayFile) mounted {
	source := corev1ac.ProjectedVolumeSource().WithDefaultMode(0o440)
	for len(files) > 0 {
		first := files[0]
		var items []*corev1ac.KeyToPathApplyConfiguration
		for len(files) > 0 && files[0].Kind == first.Kind && files[0].Name == first.Name {
			items = append(items, corev1ac.KeyToPath().WithKey(files[0].Key).WithPath(files[0].Path()))
			files = files[1:]
		}
		projection := corev1ac.VolumeProjection()
		if first.Kind == v1alpha1.CABundleSecret {
			projection.WithSecret(corev1ac.SecretProjection().WithName(first.Name).WithItems(items...).WithOptional(true))
		} else {
			projection.WithConfigMap(corev1ac.ConfigMapProjection().WithName(first.Name).WithItems(items...).WithOptional(true))
		}
		source.WithSources(projection)
	}
	return readOnly(corev1ac.Volume().WithName(GatewayFilesVolume).WithProjected(source), compile.GatewayFileDir)
}
