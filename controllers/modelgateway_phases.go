package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
)

// gatewayScope is one pass over one gateway: what the phases find out and pass on.
type gatewayScope struct {
	// gateway is as it was read; nobody changes it.
	gateway *v1alpha1.ModelGateway
	now     time.Time
	memory  *gatewayMemory

	// named are the routes that name the gateway.
	named []v1alpha1.ModelRoute
	// resolved is true once what the spec refers to was looked at; unresolved is what is wrong with it, and invalid what the API server
	// finds wrong with the spec. authority is what the endpoint's certificate is known by.
	resolved   bool
	unresolved *unresolvedError
	invalid    field.ErrorList
	authority  []byte
	assembled
	objects []desired.Object
	// applied is true once the children are as they should be.
	applied bool
	// extensions is what became of the children of kinds that not every cluster has; nil if the pass did not get to them.
	extensions extensions

	proxies
	// served are the hashes of what proxies serve, by their pods; fresh is true if the ledger has said so lately.
	served map[string]string
	fresh  bool

	// err is what ended the phases early.
	err error
}

func (s *gatewayScope) name() types.NamespacedName { return client.ObjectKeyFromObject(s.gateway) }

func (r *ModelGatewayReconciler) listRoutes(ctx context.Context, s *gatewayScope) error {
	routes, err := routesOf(ctx, r.Client, s.name())
	if err != nil {
		return err
	}
	for i := range routes {
		if routes[i].DeletionTimestamp.IsZero() {
			s.named = append(s.named, routes[i])
		}
	}
	return nil
}

// resolve checks that clients can be served under the certificate of spec.tls, and finds out what they know it by.
func (r *ModelGatewayReconciler) resolve(ctx context.Context, s *gatewayScope) error {
	name := compile.GatewayPods(s.gateway).TLS.SecretRef.Name
	if name == "" {
		s.resolved = true
		return nil
	}
	authority, problem, err := lookUpCertificate(ctx, r.Live, s.gateway.Namespace, name, compile.GatewayHost(s.gateway))
	if err != nil {
		return err
	}
	s.authority, s.unresolved, s.resolved = authority, problem, true
	return nil
}

// refuse ends the pass where the spec refers to something that is not there. The configuration has been written by then: what is wrong with
// how clients are served keeps no key from being revoked.
func (r *ModelGatewayReconciler) refuse(_ context.Context, s *gatewayScope) error {
	if s.unresolved != nil {
		return s.unresolved
	}
	return nil
}

// buildChildren makes up the children as they should be, and finds out whether they can be so, as for a route.
func (r *ModelGatewayReconciler) buildChildren(ctx context.Context, s *gatewayScope) error {
	there, err := observeProxies(ctx, r.Client, desired.OwnerOfGateway(s.gateway))
	if err != nil {
		return err
	}
	s.objects = desired.GatewayObjects(desired.GatewayInput{
		Gateway: s.gateway, Index: s.index, Parts: s.parts, Files: filesToMount(s.files, there),
		LongestRequestSeconds: s.longestRequestSeconds, Program: r.Config.program(),
	})
	if s.unresolved != nil { // How the proxies run stays as it is; what they serve does not wait.
		s.objects = slices.DeleteFunc(s.objects, func(object desired.Object) bool { return object.Kind.Kind != "Secret" })
	}
	err = r.applier().Check(ctx, s.gateway, s.objects, nil)
	if refused, isRefused := errors.AsType[*apply.WriteError](err); isRefused && refused.Reason() == metav1.StatusReasonInvalid {
		s.invalid = field.ErrorList{field.Forbidden(field.NewPath("spec"),
			fmt.Sprintf("the API server refuses the %s: %s", refused.Kind, listed(refused.Causes(), ", ")))}
		return invalidError{}
	}
	return err
}

func (r *ModelGatewayReconciler) applyChildren(ctx context.Context, s *gatewayScope) error {
	if err := r.applier().Apply(ctx, s.gateway, s.objects, nil); err != nil {
		return err
	}
	s.memory.parts = s.partHashes
	s.memory.history.note(s.hash, s.taken)
	s.applied = true
	return nil
}

// applyExtensions makes the children what they should be without which the gateway serves all the same.
func (r *ModelGatewayReconciler) applyExtensions(ctx context.Context, s *gatewayScope) (err error) {
	s.extensions, err = applyExtensions(ctx, r.applier(), r.Extensions, s.gateway, desired.ExtensionsOfGateway(s.gateway))
	return err
}

// pruneChildren deletes the children that are no longer wanted.
func (r *ModelGatewayReconciler) pruneChildren(ctx context.Context, s *gatewayScope) error {
	labels := client.MatchingLabels(desired.OwnerOfGateway(s.gateway).Labels())
	return r.applier().Prune(ctx, s.gateway, labels, slices.Concat(s.objects, desired.ExtensionsOfGateway(s.gateway)))
}

// observe looks at what is there.
func (r *ModelGatewayReconciler) observe(ctx context.Context, s *gatewayScope) error {
	there, err := observeProxies(ctx, r.Client, desired.OwnerOfGateway(s.gateway))
	if err != nil {
		return err
	}
	s.proxies = there
	r.Usage.EnsureAsked(ctx)
	routes := make([]types.NamespacedName, 0, len(s.memory.history.routes))
	for route := range s.memory.history.routes {
		routes = append(routes, route)
	}
	s.served, s.fresh = r.Usage.servedIn(routes)
	return nil
}

// report tells the routes what became of them.
func (r *ModelGatewayReconciler) report(s *gatewayScope) {
	next := gatewayReport{
		uid: s.gateway.UID, authority: s.authority,
		gatewayState: gatewayState{
			able:      len(s.readyPods) > 0,
			available: gatewayAvailable(s).status == metav1.ConditionTrue,
			paused:    s.wantedReplicas() == 0 && len(s.readyPods) == 0,
		},
		routes: map[types.NamespacedName]routeState{},
	}
	if !s.isRollingOut() {
		s.memory.mounted = mountedFiles(s.deployment)
	}
	for route, its := range s.memory.history.routes {
		next.routes[route] = routeState{
			hash:   its.hash,
			served: next.able && s.servesEverywhere(route) && hasAll(s.memory.mounted, s.memory.taken[route].files),
		}
	}
	for name, problem := range s.problems {
		route := types.NamespacedName{Namespace: s.gateway.Namespace, Name: name}
		state := next.routes[route]
		state.problem = problem
		next.routes[route] = state
	}
	named := make([]types.NamespacedName, 0, len(s.named))
	for i := range s.named {
		named = append(named, client.ObjectKeyFromObject(&s.named[i]))
	}
	r.Exchange.report(s.name(), next, named)
}

// servesEverywhere reports whether all ready proxies serve a route as it is now.
func (s *gatewayScope) servesEverywhere(route types.NamespacedName) bool {
	for _, pod := range s.readyPods {
		if !s.memory.history.serves(s.served[pod], route) {
			return false
		}
	}
	return s.fresh
}

// acknowledged returns how many of the ready proxies serve this pass's configuration.
func (s *gatewayScope) acknowledged() int {
	count := 0
	for _, pod := range s.readyPods {
		if s.hash != "" && s.served[pod] == s.hash {
			count++
		}
	}
	return count
}

// filesToMount are the files that the proxies are to have. To have others they are replaced, and many routes that come one after the other
// are not to do that once each: what is needed in addition waits for the rollout that is under way.
func filesToMount(needed []compile.GatewayFile, there proxies) []compile.GatewayFile {
	if there.deployment == nil || !there.isRollingOut() {
		return needed
	}
	var held []compile.GatewayFile
	for file := range mountedFiles(there.deployment) {
		held = append(held, file)
	}
	compile.SortFiles(held)
	return held
}

// mountedFiles are the files that proxies of a Deployment's template have.
func mountedFiles(deployment *appsv1.Deployment) map[compile.GatewayFile]bool {
	files := map[compile.GatewayFile]bool{}
	note := func(kind v1alpha1.CABundleKind, name string, items []corev1.KeyToPath) {
		for _, item := range items {
			files[compile.GatewayFile{Kind: kind, Name: name, Key: item.Key}] = true
		}
	}
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		if volume.Name != desired.GatewayFilesVolume || volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				note(v1alpha1.CABundleSecret, source.Secret.Name, source.Secret.Items)
			}
			if source.ConfigMap != nil {
				note(v1alpha1.CABundleConfigMap, source.ConfigMap.Name, source.ConfigMap.Items)
			}
		}
	}
	return files
}

func hasAll(mounted map[compile.GatewayFile]bool, files []compile.GatewayFile) bool {
	for _, file := range files {
		if !mounted[file] {
			return false
		}
	}
	return true
}
