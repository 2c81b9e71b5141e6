package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// maxPackedPart is how large a packed part may be, in bytes: a Secret has up to three of them while one version replaces another, and the
// API server takes 1 MiB.
const maxPackedPart = 256 << 10

// takenRoute is a route's configuration as a gateway takes it up.
type takenRoute struct {
	// version is the resourceVersion of the Secret that it was read from, and hash that of its content.
	version, hash string
	route         routeconfig.Route
	// issuer is whose tokens its consumers present; nil if none does.
	issuer *routeconfig.Issuer
	files  []compile.GatewayFile
	// problem is why it cannot be taken up; empty if it can.
	problem string
}

// assembled is what a gateway's proxies are to be told.
type assembled struct {
	// index and parts are what the Secrets are to have, hash names this version, and partHashes its parts.
	index      []byte
	parts      [routeconfig.Parts]map[string][]byte
	hash       string
	partHashes []string
	// taken are the hashes of the routes' own configurations, of those that are in it; problems are why others are not, by name.
	taken    map[types.NamespacedName]string
	problems map[string]string
	// files are what the routes refer to.
	files                 []compile.GatewayFile
	longestRequestSeconds int64
}

// assemble puts the configurations of the routes together.
func (r *ModelGatewayReconciler) assemble(ctx context.Context, s *gatewayScope) error {
	top, err := configTop(ctx, r.Config, r.Authority)
	if err != nil {
		return err
	}
	secrets, err := r.configSecrets(ctx, s.name())
	if err != nil {
		return err
	}
	s.memory.taken = takeUp(s.named, secrets, s.memory.taken, top)
	left := map[string]string{}
	var routes []compile.GatewayRoute
	for i := range s.named {
		one, is := s.memory.taken[client.ObjectKeyFromObject(&s.named[i])]
		if is && one.problem == "" {
			routes = append(routes, compile.GatewayRoute{Route: one.route, Age: s.named[i].CreationTimestamp.Time})
		} else if is {
			left[s.named[i].Name] = one.problem
		}
	}
	if top.Issuer, err = r.issuerFor(ctx, s.memory.taken); err != nil {
		return err
	}
	made, err := pack(top, routes, partsThere(s, secrets))
	if err != nil {
		return err
	}
	maps.Copy(made.problems, left)
	for name := range made.taken {
		made.taken[name] = s.memory.taken[name].hash
	}
	s.assembled = made
	return nil
}

// issuerFor is who issues the tokens that consumers of the routes present; nil if none does. What the API server does not say now, it said
// when the routes were compiled.
func (r *ModelGatewayReconciler) issuerFor(
	ctx context.Context, taken map[types.NamespacedName]takenRoute,
) (issuer *routeconfig.Issuer, err error) {
	for _, one := range taken {
		if one.issuer == nil {
			continue
		}
		if issuer, _, err = r.Issuer.issuer(ctx); issuer == nil && err == nil {
			issuer = one.issuer
		}
		return issuer, err
	}
	return nil, nil
}

// configSecrets are the Secrets of a gateway's configuration, and those of the routes that were compiled for it, by their names. They are
// the cache's own, and only read.
func (r *ModelGatewayReconciler) configSecrets(ctx context.Context, gateway types.NamespacedName) (map[string]*corev1.Secret, error) {
	var list corev1.SecretList
	err := r.Client.List(ctx, &list, client.InNamespace(gateway.Namespace),
		client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelGateway: gateway.Name},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the configurations of the gateway's routes: %w", err)
	}
	byName := make(map[string]*corev1.Secret, len(list.Items))
	for i := range list.Items {
		byName[list.Items[i].Name] = &list.Items[i]
	}
	return byName, nil
}

// takeUp reads the configurations of routes. One that was read before is not read again, and one whose Secret is gone stays as it was: its
// route is there, and writes it again.
func takeUp(
	routes []v1alpha1.ModelRoute, secrets map[string]*corev1.Secret, before map[types.NamespacedName]takenRoute, top routeconfig.Config,
) map[types.NamespacedName]takenRoute {
	now := make(map[types.NamespacedName]takenRoute, len(routes))
	for i := range routes {
		route := &routes[i]
		name := client.ObjectKeyFromObject(route)
		secret := secrets[desired.ConfigSecretName(route)]
		earlier, known := before[name]
		switch {
		case secret == nil && known:
			now[name] = earlier
		case secret == nil || !metav1.IsControlledBy(secret, route):
		case known && earlier.version == secret.ResourceVersion:
			now[name] = earlier
		default:
			now[name] = takeUpOne(name, secret, top)
		}
	}
	return now
}

// takeUpOne reads one configuration. Like keysOfRecord it is lenient with what a newer version has added, until the route is compiled
// again; what no proxy would take it refuses, so that no route stops the others.
func takeUpOne(name types.NamespacedName, secret *corev1.Secret, top routeconfig.Config) takenRoute {
	encoded := secret.Data[desired.ConfigKey]
	taken := takenRoute{version: secret.ResourceVersion, hash: routeconfig.Hash(encoded)}
	var config routeconfig.Config
	err := json.Unmarshal(encoded, &config)
	if err == nil && len(config.Routes) != 1 {
		err = fmt.Errorf("it has %d routes", len(config.Routes))
	}
	if err == nil && (config.Routes[0].Namespace != name.Namespace || config.Routes[0].Name != name.Name) {
		err = fmt.Errorf("it is that of %s/%s", config.Routes[0].Namespace, config.Routes[0].Name)
	}
	if err == nil {
		checked := top
		checked.Issuer = config.Issuer
		checked.Routes = config.Routes
		err = routeconfig.Validate(checked)
	}
	if err != nil {
		taken.problem = fmt.Sprintf("its configuration in Secret %s cannot be read (%v): delete the Secret, and it is written anew.",
			secret.Name, err)
		return taken
	}
	taken.route, taken.issuer, taken.files = config.Routes[0], config.Issuer, compile.GatewayFiles(config.Routes)
	return taken
}

// partsHeld is what the Secrets of the parts have, and which of it has to stay: what the index names that proxies may have.
type partsHeld [routeconfig.Parts]struct {
	data map[string][]byte
	keep []string
}

func partsThere(s *gatewayScope, secrets map[string]*corev1.Secret) partsHeld {
	var all partsHeld
	name := desired.OwnerOfGateway(s.gateway).Config
	var index routeconfig.Index
	if secret := secrets[name]; secret != nil && metav1.IsControlledBy(secret, s.gateway) {
		index, _ = routeconfig.DecodeIndex(secret.Data[desired.IndexKey]) // One that no proxy can read names nothing.
	}
	for part := range routeconfig.Parts {
		if secret := secrets[routeconfig.PartName(name, part)]; secret != nil && metav1.IsControlledBy(secret, s.gateway) {
			all[part].data = secret.Data
		}
		for _, hashes := range [][]string{index.Parts, s.memory.parts} {
			if part < len(hashes) {
				all[part].keep = append(all[part].keep, hashes[part])
			}
		}
	}
	return all
}

// pack makes one configuration of routes, and of it what the Secrets are to have. Where a part does not fit into a Secret, its youngest
// routes are left out.
func pack(top routeconfig.Config, routes []compile.GatewayRoute, there partsHeld) (assembled, error) {
	crowdedOut := map[string]bool{}
	for {
		fitting := slices.DeleteFunc(slices.Clone(routes), func(one compile.GatewayRoute) bool { return crowdedOut[one.Name] })
		merged, problems := compile.Merge(top, fitting)
		index, parts, err := routeconfig.Split(merged)
		if err != nil {
			return assembled{}, err
		}
		made := assembled{
			index: index, hash: routeconfig.Hash(index), taken: map[types.NamespacedName]string{}, problems: problems,
			files: compile.GatewayFiles(merged.Routes),
		}
		for _, route := range merged.Routes {
			made.taken[types.NamespacedName{Namespace: route.Namespace, Name: route.Name}] = ""
			for _, upstream := range route.Upstreams {
				made.longestRequestSeconds = max(made.longestRequestSeconds, upstream.TimeoutSeconds)
			}
		}
		full, err := made.packParts(parts, there)
		if err != nil {
			return assembled{}, err
		}
		if full < 0 {
			for name := range crowdedOut {
				made.problems[name] = "the Secret that it would be in is full: name another ModelGateway, or have fewer keys."
			}
			return made, nil
		}
		crowdedOut[youngestIn(full, fitting)] = true
	}
}

// packParts packs the parts. It returns one that is too large; -1 if none is.
func (a *assembled) packParts(parts map[string][]byte, there partsHeld) (full int, err error) {
	index, err := routeconfig.DecodeIndex(a.index)
	if err != nil {
		return 0, fmt.Errorf("reading what was written: %w", err)
	}
	a.partHashes = index.Parts
	for part, hash := range index.Parts {
		if a.parts[part], err = packedPart(hash, parts[hash], there[part].data, there[part].keep); err != nil {
			return 0, err
		}
		if len(a.parts[part][hash+desired.PartSuffix]) > maxPackedPart {
			return part, nil
		}
	}
	return -1, nil
}

// packedPart is what the Secret of a part is to have: the part of this hash, and those that proxies may still look for. Where it is there
// already everything stays as it is.
func packedPart(hash string, part []byte, data map[string][]byte, keep []string) (map[string][]byte, error) {
	name := hash + desired.PartSuffix
	_, has := data[name]
	if hash == "" || has && slices.Contains(keep, hash) {
		return onlyParts(data), nil
	}
	wanted := map[string][]byte{}
	for _, kept := range keep {
		if packed, has := data[kept+desired.PartSuffix]; has {
			wanted[kept+desired.PartSuffix] = packed
		}
	}
	if has {
		wanted[name] = data[name]
		return wanted, nil
	}
	packed, err := routeconfig.Pack(part)
	wanted[name] = packed
	return wanted, err
}

func onlyParts(data map[string][]byte) map[string][]byte {
	parts := map[string][]byte{}
	for name, packed := range data {
		if strings.HasSuffix(name, desired.PartSuffix) {
			parts[name] = packed
		}
	}
	return parts
}

func youngestIn(part int, routes []compile.GatewayRoute) string {
	youngest := -1
	for i, one := range routes {
		if routeconfig.PartOf(one.Namespace, one.Name) != part {
			continue
		}
		if youngest < 0 || one.Age.After(routes[youngest].Age) || one.Age.Equal(routes[youngest].Age) && one.Name > routes[youngest].Name {
			youngest = i
		}
	}
	return routes[youngest].Name
}
