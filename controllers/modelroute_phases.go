package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// complete adds to the route what it leaves out.
func (r *ModelRouteReconciler) complete(_ context.Context, s *scope) error {
	s.completed = new(compile.Complete(s.route, r.Lists.of(s.route)))
	return nil
}

// resolve checks the spec and whether what it refers to is there. It does both, so that the status says all that is wrong.
func (r *ModelRouteReconciler) resolve(ctx context.Context, s *scope) error {
	if s.isCompleted() {
		s.invalid, s.validated = compile.Validate(s.completed.Route), true
	}
	for _, upstream := range s.route.Spec.Upstreams {
		problem, err := r.lookUpUpstream(ctx, s, upstream)
		if err != nil {
			return err
		}
		if problem != nil && s.unresolved == nil {
			s.unresolved = problem
		}
	}
	for _, resolve := range []func(context.Context, *scope) error{r.resolveGateway, r.resolveCertificate} {
		if err := resolve(ctx, s); err != nil {
			return err
		}
	}
	if err := r.lookUpAccounts(ctx, s, compile.Consumers(s.route, nil)); err != nil {
		return err
	}
	s.resolved = true
	switch {
	case !s.isCompleted():
		return &pendingListError{s.completed.Pending}
	case len(s.invalid) > 0:
		return invalidError{}
	case s.unresolved != nil:
		return s.unresolved
	}
	return nil
}

// lookUpUpstream checks that all is there that an upstream refers to.
func (r *ModelRouteReconciler) lookUpUpstream(ctx context.Context, s *scope, upstream v1alpha1.Upstream) (*unresolvedError, error) {
	if compile.IsProvisioned(upstream) {
		if !s.records[upstream.Name].isThere {
			return pendingKey(s, upstream.Name), nil
		}
	} else if problem, err := r.lookUpKey(ctx, s, upstream.APIKeySecretRef); problem != nil || err != nil {
		return problem, err
	}
	if ref, has := compile.CABundle(upstream); has {
		return r.lookUpCABundle(ctx, s.route.Namespace, ref)
	}
	return nil, nil
}

// lookUpKey checks that an upstream's key is there. Its value does not leave this function; the proxies have it from a mounted file.
func (r *ModelRouteReconciler) lookUpKey(ctx context.Context, s *scope, ref v1alpha1.SecretKeyReference) (*unresolvedError, error) {
	namespace := s.route.Namespace
	sighting := sightingOf(namespace, ref)
	if r.sightings.has(sighting, s.now) {
		return nil, nil
	}
	secret := &corev1.Secret{}
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, secret)
	if apierrors.IsNotFound(err) {
		return &unresolvedError{Reason: v1alpha1.ReasonSecretNotFound, Message: fmt.Sprintf(
			"Secret %q does not exist: create it in namespace %s with the upstream's API key under %q.", ref.Name, namespace, ref.Key)}, nil
	}
	if problem := mayNotRead(err, "Secret", namespace, ref.Name); problem != nil {
		return problem, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Secret of the upstream's API key: %w", err)
	}
	if len(bytes.TrimSpace(secret.Data[ref.Key])) == 0 {
		return &unresolvedError{Reason: v1alpha1.ReasonSecretKeyMissing, Message: fmt.Sprintf(
			"Secret %q has nothing under %q: put the upstream's API key there.", ref.Name, ref.Key)}, nil
	}
	r.sightings.note(sighting, s.now)
	return nil, nil
}

// compile makes the configuration of the proxies.
func (r *ModelRouteReconciler) compile(ctx context.Context, s *scope) error {
	top, err := configTop(ctx, r.Config, r.Authority)
	if err != nil {
		return err
	}
	accepted := maps.Clone(s.claims)
	for consumer, plan := range s.plans {
		accepted[consumer] = plan.Accepted
	}
	config, err := compile.Config(compile.Input{
		Route: s.completed.Route, SupportedParameters: s.completed.SupportedParameters,
		ModelKeys: s.modelKeys, Teams: s.teams, Ledger: top.Ledger, Keys: accepted,
		ServiceAccounts: s.servedAccounts(), Issuer: s.identities.issuer,
	})
	if err != nil {
		return fmt.Errorf("compiling the route: %w", err)
	}
	if s.config, err = routeconfig.Encode(config); err != nil {
		return err
	}
	s.hash = routeconfig.Hash(s.config)
	return nil
}

// putBudgets tells the ledger what may be spent. It comes before the configuration that needs it, so that no proxy ever serves under a
// budget that the ledger does not know.
func (r *ModelRouteReconciler) putBudgets(ctx context.Context, s *scope) error {
	request, err := compile.Budgets(s.route, s.modelKeys, s.teams, s.owner().Identity(), s.now)
	if err != nil {
		return fmt.Errorf("compiling the budgets: %w", err)
	}
	shared, err := compile.Shared(s.route, s.modelKeys, s.teams, s.now)
	if err != nil {
		return fmt.Errorf("compiling the budgets of teams and ModelKeys: %w", err)
	}
	if err = r.Shared.putAll(ctx, shared, s.now); err == nil {
		err = r.put(ctx, s.name(), request)
	}
	if refused, isRefused := errors.AsType[*InvalidBudgetsError](err); isRefused {
		message := "the ledger refuses its budgets and rate limits: " + refused.Message
		s.invalid = field.ErrorList{field.Forbidden(field.NewPath("spec"), message)}
		return invalidError{}
	}
	if err != nil {
		return &ledgerError{err}
	}
	return nil
}

func (r *ModelRouteReconciler) put(ctx context.Context, route types.NamespacedName, request *ledgerpb.PutRouteRequest) error {
	if !r.puts.needs(route, request, r.Usage.of(route)) {
		return nil
	}
	if err := r.Ledger.PutRoute(ctx, request); err != nil {
		return err
	}
	r.puts.note(route, request, r.Clock.Now())
	return nil
}

// buildChildren makes up the children as they should be, and finds out whether they can be so: that none of them belongs to somebody
// else, and that the API server takes them. Until that is known neither the ledger nor the cluster is told anything, so that a route that
// turns bad goes on as it was.
func (r *ModelRouteReconciler) buildChildren(ctx context.Context, s *scope) error {
	if s.gateway != nil {
		s.objects = desired.ServedElsewhere(s.route, s.gateway, s.config)
	} else {
		s.objects = desired.Objects(desired.Input{Route: s.route, Config: s.config, Program: r.Config.program()})
	}
	for _, consumer := range s.route.Spec.Consumers {
		// Whoever edits or deletes the Secret meanwhile wants another key, and must not get the old one back.
		seen := s.seen[consumer.Name]
		if key, pending := s.pending[consumer.Name]; pending {
			next := desired.ConsumerSecret(s.route, consumer, s.access(), key.secret)
			next.Seen = seen
			s.reserved = append(s.reserved, next)
		} else if key, delivered := s.delivered[consumer.Name]; delivered {
			present := desired.ConsumerSecret(s.route, consumer, s.access(), key.secret)
			present.Seen = seen
			s.objects = append(s.objects, present)
		}
	}
	var err error
	if s.plan, err = r.applier(s).Plan(ctx, s.route, s.objects, s.reserved); err != nil {
		return err
	}
	err = s.plan.Try(ctx)
	if refused, isRefused := errors.AsType[*apply.WriteError](err); isRefused && refused.Reason() == metav1.StatusReasonInvalid {
		s.invalid = field.ErrorList{refusedChild(refused)}
		return invalidError{}
	}
	return err
}

// refusedChild says what the API server finds wrong with a child, beside the field of the route that is to blame.
func refusedChild(refused *apply.WriteError) *field.Error {
	path := field.NewPath("spec")
	switch refused.Kind {
	case "Deployment", "HorizontalPodAutoscaler":
		path = path.Child("proxy")
	case "NetworkPolicy":
		path = path.Child("proxy", "networkPolicy")
	}
	return field.Forbidden(path, fmt.Sprintf("the API server refuses the %s: %s", refused.Kind, listed(refused.Causes(), ", ")))
}

// applyChildren makes the children what they should be.
func (r *ModelRouteReconciler) applyChildren(ctx context.Context, s *scope) error {
	if err := s.plan.Apply(ctx); err != nil {
		return err
	}
	s.applied = true
	return nil
}

// applyExtensions makes the children what they should be without which the route serves all the same.
func (r *ModelRouteReconciler) applyExtensions(ctx context.Context, s *scope) (err error) {
	s.extensions, err = applyExtensions(ctx, r.applier(s), r.Extensions, s.route, desired.ExtensionsOf(s.route))
	return err
}

// pruneChildren deletes the children that are no longer wanted. Of a route that had none there are none such.
func (r *ModelRouteReconciler) pruneChildren(ctx context.Context, s *scope) error {
	if s.plan.IsNew() {
		return nil
	}
	labels := client.MatchingLabels(desired.OwnerOf(s.route).Labels())
	return r.applier(s).Prune(ctx, s.route, labels, slices.Concat(s.objects, s.reserved, desired.ExtensionsOf(s.route)))
}

// observe looks at what is there: at the Deployment that this pass has written, which the cache may not show yet, if it has.
func (r *ModelRouteReconciler) observe(ctx context.Context, s *scope) error {
	if s.gateway != nil {
		s.inGateway = r.Gateways.route(s.gateway, s.name())
	} else {
		there, err := observeProxies(ctx, r.Client, s.owner())
		if err != nil {
			return err
		}
		if written, err := s.plan.Deployment(); err != nil {
			return err
		} else if written != nil {
			there.deployment = written
		}
		s.proxies = there
	}
	r.Usage.EnsureAsked(ctx)
	s.usage, s.books = r.Usage.of(s.name()), r.Books.of(s.name())
	return nil
}

// forget is all that is left to do for a route that is gone: nobody may spend in its name any more. What its proxies still hold is
// settled all the same, and what it has spent stays in the ledger.
func (r *ModelRouteReconciler) forget(ctx context.Context, route types.NamespacedName) (reconcile.Result, error) {
	r.keyring.keep(route)
	r.clashes.Delete(route)
	r.Exchange.forgetRoute(route)
	empty := &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name}}
	if err := r.put(ctx, route, empty); err != nil {
		log.FromContext(ctx).Info("The ledger could not be told that the route is gone; this is tried again", "error", err.Error())
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	}
	return reconcile.Result{}, nil
}
