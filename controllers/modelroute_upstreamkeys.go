package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// provisionedKey is what the Secret of an upstream's key has.
type provisionedKey struct {
	upstreamKeyRecord

	// isThere is true if it has the key of record.
	isThere bool
}

// readUpstreamKeys finds out which of the keys that are made at upstreams are there. A Secret of that name that is somebody else's has
// none: its key would go upstream with every request.
func (r *ModelRouteReconciler) readUpstreamKeys(ctx context.Context, s *scope) error {
	s.upstreamKeys, s.upstreamKeysKnown = r.UpstreamKeys.of(s.name())
	for _, upstream := range provisionedUpstreams(s.route) {
		secret, err := r.cachedSecret(ctx, s, compile.ProvisionedSecretName(s.route, upstream.Name))
		if err != nil {
			return err
		}
		record, key := recordIn(secret)
		s.records[upstream.Name] = provisionedKey{upstreamKeyRecord: record, isThere: key != ""}
	}
	return nil
}

// awaitLimits keeps the budgets back until the limits of the upstreams' keys were changed, so that no key denies what a budget allows. It
// waits for one try, whatever comes of it: an upstream that does not answer keeps no budget from being changed.
func (r *ModelRouteReconciler) awaitLimits(_ context.Context, s *scope) error {
	if r.UpstreamKeys == nil {
		return nil
	}
	other := map[string]string{}
	for _, upstream := range provisionedUpstreams(s.route) {
		limit, err := compile.UpstreamKeyLimit(s.route, upstream, s.now)
		if err != nil {
			return fmt.Errorf("compiling the limit of an upstream's key: %w", err)
		}
		if s.records[upstream.Name].Current.terms() != limit.Terms() {
			other[upstream.Name] = limit.Terms()
		}
	}
	if r.UpstreamKeys.isWaiting(s.name(), other, s.now) {
		return awaitingLimitError{}
	}
	return nil
}

// provisionedKeyShown is what the status shows of the key that was made for an upstream; nil if there is none.
func provisionedKeyShown(s *scope, upstream string) *v1alpha1.ProvisionedKeyStatus {
	record := s.records[upstream]
	if record.isEmpty() {
		return nil
	}
	shown := &v1alpha1.ProvisionedKeyStatus{}
	if current := record.Current; current != nil {
		shown.Hash, shown.Limit, shown.CreateTime = current.Hash, current.Limit, current.CreateTime
	}
	for _, previous := range record.Previous[:min(len(record.Previous), maxPreviousKeys)] {
		shown.PreviousHashes = append(shown.PreviousHashes, previous.Hash)
	}
	return shown
}

// showLeaving shows in the status of a route that is to go why it is not gone yet.
func (r *ModelRouteReconciler) showLeaving(ctx context.Context, route *v1alpha1.ModelRoute) error {
	report, isKnown := r.UpstreamKeys.of(client.ObjectKeyFromObject(route))
	if !isKnown || len(report.problems) == 0 || !controllerutil.ContainsFinalizer(route, v1alpha1.FinalizerUpstreamKeys) {
		return nil
	}
	changed := route.DeepCopy()
	meta.SetStatusCondition(&changed.Status.Conditions, makeCondition(route.Status.Conditions, route.Generation, r.Clock.Now(),
		v1alpha1.ConditionUpstreamKeysProvisioned, problemsOfKeys(report)))
	if equality.Semantic.DeepEqual(route.Status, changed.Status) {
		return nil
	}
	err := r.Client.Status().Patch(ctx, changed, client.MergeFromWithOptions(route, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}
