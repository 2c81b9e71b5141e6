package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
)

// admitModelKeys finds the ModelKeys that the route accepts, and their keys: those that their controller has issued, or those of record
// until it has looked at them.
func (r *ModelRouteReconciler) admitModelKeys(ctx context.Context, s *scope) error {
	var list v1alpha1.ModelKeyList
	if err := r.Client.List(ctx, &list, client.MatchingFields{routeRefsIndex: s.name().String()}); err != nil {
		return fmt.Errorf("listing the route's ModelKeys: %w", err)
	}
	var candidates []*v1alpha1.ModelKey
	for i := range list.Items {
		admitted, err := r.admits(ctx, s, &list.Items[i])
		if err != nil {
			return err
		}
		if admitted {
			candidates = append(candidates, &list.Items[i])
		}
	}
	s.modelKeys, s.crowdedOut = compile.AsManyAsFit(candidates)
	for _, key := range s.modelKeys {
		if !compile.KeyHasKey(key) {
			continue
		}
		name := compile.KeyConsumerName(key.Namespace, key.Name)
		issued, known := r.Exchange.of(client.ObjectKeyFromObject(key), key.UID)
		if s.claims[name] = issued.accepted; !known {
			s.claims[name] = s.record[name]
		}
	}
	return r.lookUpAccounts(ctx, s, compile.Consumers(s.route, s.modelKeys))
}

// admits reports whether the route accepts a ModelKey, if it has room for it. Why it does not, the status of the ModelKey says.
func (r *ModelRouteReconciler) admits(ctx context.Context, s *scope, key *v1alpha1.ModelKey) (bool, error) {
	if lets, err := r.lets(ctx, s, key); err != nil || !lets {
		return false, err
	}
	team, refusal, err := teamRules{Client: r.Client, Usage: r.Usage}.check(ctx, key.Spec.Team, key.Name, key.Namespace)
	if err != nil || refusal != "" {
		return false, err
	}
	if s.isUnpriced() && (compile.DenyMoney(key.Spec.Budgets) || team != nil && compile.DenyMoney(team.Spec.Budgets)) {
		s.unpriced = append(s.unpriced, key)
		return false, nil
	}
	s.drawOn(key.Spec.Team, team)
	return true, nil
}

// lets reports whether a ModelKey may reach the route at all, whatever its team may spend and what the route has room for.
func (r *ModelRouteReconciler) lets(ctx context.Context, s *scope, key *v1alpha1.ModelKey) (bool, error) {
	labels, err := namespaceLabels(ctx, r.Client, key.Namespace)
	if err != nil || !isUsable(key, s.now) || !compile.Allows(s.route, key.Namespace, labels) {
		return false, err
	}
	taken, err := modelNameTaken(ctx, r.Client, key, s.route, labels)
	return err == nil && taken == "", err
}

// modelNameTaken says which older route of those that a ModelKey names has a model of the same name in the same gateway; empty if none has.
// Proxies could not tell which of the two a request is for. The labels are those of the ModelKey's namespace.
func modelNameTaken(
	ctx context.Context, reader client.Reader, key *v1alpha1.ModelKey, route *v1alpha1.ModelRoute, labels map[string]string,
) (string, error) {
	if route.Spec.GatewayRef.Name == "" {
		return "", nil
	}
	for _, ref := range compile.RouteRefs(key) {
		other := &v1alpha1.ModelRoute{}
		if err := reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, other); err != nil {
			if client.IgnoreNotFound(err) != nil {
				return "", fmt.Errorf("reading route %s/%s: %w", ref.Namespace, ref.Name, err)
			}
			continue
		}
		name := compile.SameModelName(route, other)
		isServed := other.DeletionTimestamp.IsZero() && compile.Allows(other, key.Namespace, labels)
		if name != "" && isServed && compile.IsOlder(other, route) {
			return fmt.Sprintf("ModelRoute %s/%s, which is older, has a model %q in ModelGateway %s too, and one key reaches one of a "+
				"name: name one of the models otherwise, or take ModelRoute %s/%s out of spec.routeRefs.",
				other.Namespace, other.Name, name, route.Spec.GatewayRef.Name, route.Namespace, route.Name), nil
		}
	}
	return "", nil
}

// reportModelKeys tells the controller of ModelKeys what the proxies do with their keys. What a pass did not find out stays as it was.
func (r *ModelRouteReconciler) reportModelKeys(s *scope) {
	var notOwned *apply.NotOwnedError
	var unresolved *unresolvedError
	isStuck := errors.Is(s.err, invalidError{}) || errors.As(s.err, &unresolved) || errors.As(s.err, &notOwned)
	if s.err != nil && !isStuck {
		return
	}
	before, _ := r.Exchange.reportOf(s.name())
	r.Exchange.report(s.name(), routeReport{
		able:   s.hasReadyProxies() && !isStuck,
		access: s.access(),
		keys:   keyReports(s, before, s.err == nil && s.isAcknowledged()),
	})
}

// keyReports say what the proxies accept: all keys of this pass if they have all acknowledged its configuration, and else those of them
// that they acknowledged before.
func keyReports(s *scope, before routeReport, all bool) map[types.NamespacedName]keyReport {
	reports := accountReports(s, before, all)
	for _, key := range s.modelKeys {
		if !compile.KeyHasKey(key) {
			continue
		}
		name, accepted := client.ObjectKeyFromObject(key), s.claims[compile.KeyConsumerName(key.Namespace, key.Name)]
		acknowledged := stillAccepted(before.keys[name].acknowledged, accepted)
		if all {
			acknowledged = hashesOf(accepted)
		}
		reports[name] = keyReport{acknowledged: acknowledged}
	}
	for _, key := range s.crowdedOut {
		reports[client.ObjectKeyFromObject(key)] = keyReport{crowdedOut: true}
	}
	for _, key := range s.unpriced {
		reports[client.ObjectKeyFromObject(key)] = keyReport{unpriced: true}
	}
	return reports
}

// namespaceLabels are those of a namespace; nil if it is gone. Of namespaces the cache has the metadata alone.
func namespaceLabels(ctx context.Context, reader client.Reader, name string) (map[string]string, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := reader.Get(ctx, types.NamespacedName{Name: name}, namespace); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return namespace.Labels, nil
}

// routeRefsIndex is the index of ModelKeys by the routes that they name.
const routeRefsIndex = "routes"

func indexRouteRefs(object client.Object) []string {
	key, isKey := object.(*v1alpha1.ModelKey)
	if !isKey {
		return nil
	}
	names := make([]string, 0, len(key.Spec.RouteRefs))
	for _, ref := range compile.RouteRefs(key) {
		names = append(names, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}.String())
	}
	return names
}

// routesOfModelKey are those that a ModelKey names.
func routesOfModelKey(_ context.Context, object client.Object) []reconcile.Request {
	key, isKey := object.(*v1alpha1.ModelKey)
	if !isKey {
		return nil
	}
	var requests []reconcile.Request
	for _, ref := range compile.RouteRefs(key) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}})
	}
	return requests
}

// routesOfNamespace are those that the ModelKeys of a namespace name, whose labels have changed.
func (r *ModelRouteReconciler) routesOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	var list v1alpha1.ModelKeyList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace.GetName())); err != nil {
		return nil // The cache is filled, or the controller would not run.
	}
	requests := r.routesWithTeams(ctx, namespace.GetName())
	for i := range list.Items {
		for _, request := range routesOfModelKey(ctx, &list.Items[i]) {
			if !slices.Contains(requests, request) {
				requests = append(requests, request)
			}
		}
	}
	return requests
}
