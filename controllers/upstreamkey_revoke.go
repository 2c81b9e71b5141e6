package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/openrouter"
)

const (
	// revokeBound is how long a route that is to go is kept for its keys to be deleted at the upstreams.
	revokeBound = 10 * time.Minute
	// revokeInterval is how often that is tried.
	revokeInterval = 10 * time.Second
)

// sweep deletes the previous keys whose time is over.
func (r *UpstreamKeyReconciler) sweep(ctx context.Context, p *upstreamPass) error {
	var failures []error
	p.record.Previous = slices.DeleteFunc(slices.Clone(p.record.Previous), func(key madeKey) bool {
		if p.now.Before(key.RetireTime.Time) {
			p.at(key.RetireTime.Time)
			return false
		}
		account, problem, err := r.managementKey(ctx, p.route, key.account())
		if account != nil {
			err = r.Keys.Delete(ctx, *account, key.Hash)
		}
		message := "its previous key with the hash " + key.Hash + " is not deleted there yet"
		switch {
		case err != nil:
			failures = append(failures, p.tryAgain(v1alpha1.ReasonRevocationPending, message, err))
		case problem != nil:
			_ = p.fail(v1alpha1.ReasonRevocationPending, message+". "+problem.Message, nil)
			p.at(p.now.Add(revokeInterval))
		}
		return err == nil && problem == nil
	})
	return errors.Join(failures...)
}

// retire sees to it that an upstream that is to have no key of ours has none, once those are over that were sent with it.
func (r *UpstreamKeyReconciler) retire(ctx context.Context, p *upstreamPass) error {
	if err := r.read(ctx, p); err != nil || p.secret == nil {
		return err
	}
	p.record.retire(p.now.Add(retireGrace))
	failure := r.sweep(ctx, p)
	p.scheduleRotation(v1alpha1.Upstream{})
	if !p.record.isEmpty() {
		p.key = string(p.secret.Data[compile.UpstreamKeyFile])
		return errors.Join(failure, r.save(ctx, p))
	}
	err := r.Client.Delete(ctx, p.secret, client.Preconditions{UID: &p.secret.UID, ResourceVersion: &p.secret.ResourceVersion})
	return errors.Join(failure, client.IgnoreNotFound(err))
}

// revokeAll deletes all keys of a route that is to go, and lets it go. That cannot keep it for ever: not longer than ten minutes, not at
// all once somebody says so, nor where its namespace goes too and the management key with it.
func (r *UpstreamKeyReconciler) revokeAll(ctx context.Context, route *v1alpha1.ModelRoute) (reconcile.Result, error) {
	if route.Annotations[v1alpha1.AnnotationAbandonUpstreamKeys] == "true" {
		return r.abandon(ctx, route, "as the annotation "+v1alpha1.AnnotationAbandonUpstreamKeys+" asks for")
	}
	accounts, err := r.accounts(ctx, route)
	if err != nil {
		return reconcile.Result{}, err
	}
	report, canWait := upstreamKeyReport{}, false
	for _, of := range accounts {
		problem, isMissing := r.revoke(ctx, route, of.accountOfKey, of.hashes)
		if problem != "" {
			report.problems = append(report.problems, unresolvedError{Reason: v1alpha1.ReasonRevocationPending, Message: problem})
			canWait = canWait || !isMissing
		}
	}
	until := route.DeletionTimestamp.Add(revokeBound)
	switch {
	case len(report.problems) == 0:
		return retryConflict(r.removeFinalizer(ctx, route))
	case !r.Clock.Now().Before(until):
		return r.abandon(ctx, route, "after ten minutes")
	}
	if !canWait {
		isLeaving, err := r.isNamespaceLeaving(ctx, route.Namespace)
		if err != nil {
			return reconcile.Result{}, err
		}
		if isLeaving {
			return r.abandon(ctx, route, "since the namespace goes and its management key is gone")
		}
	}
	r.Reports.report(client.ObjectKeyFromObject(route), report)
	return reconcile.Result{RequeueAfter: max(time.Second, min(revokeInterval, until.Sub(r.Clock.Now())))}, nil
}

// revoke deletes all keys of a route in one account: those of the hashes, which are of record, and all that have the names of its keys. It
// says what went wrong; isMissing if that is the management key.
func (r *UpstreamKeyReconciler) revoke(
	ctx context.Context, route *v1alpha1.ModelRoute, of accountOfKey, hashes []string,
) (problem string, isMissing bool) {
	account, missing, err := r.managementKey(ctx, route, of)
	remembered := r.remembered.of(client.ObjectKeyFromObject(route), of.management)
	switch {
	case account == nil && remembered != "":
		account, err = &openrouter.Account{BaseURL: of.baseURL, ManagementKey: remembered}, nil
	case missing != nil:
		return missing.Message, true
	}
	var keys []openrouter.Key
	if err == nil {
		keys, err = r.listings.since(ctx, r.Clock, r.Keys, *account, route.DeletionTimestamp.Time)
	}
	for _, key := range keys {
		if compile.IsUpstreamKeyName(route, key.Name) && !slices.Contains(hashes, key.Hash) {
			hashes = append(hashes, key.Hash)
		}
	}
	for i := 0; i < len(hashes) && err == nil; i++ {
		err = r.Keys.Delete(ctx, *account, hashes[i])
	}
	if err == nil {
		return "", false
	}
	log.FromContext(ctx).Info("The keys of a route that is to go are not deleted yet; this is tried again", "error", err.Error())
	return fmt.Sprintf("The route's keys at %s are not deleted there yet (%s). This is tried again.",
		of.baseURL, describeFailure(err)), false
}

// usedAccount is an account in which keys of a route may be, and the hashes of those that are of record.
type usedAccount struct {
	accountOfKey

	hashes []string
}

// accounts are all in which keys of the route may be.
func (r *UpstreamKeyReconciler) accounts(ctx context.Context, route *v1alpha1.ModelRoute) ([]usedAccount, error) {
	var accounts []usedAccount
	add := func(of accountOfKey, hashes ...string) {
		at := slices.IndexFunc(accounts, func(one usedAccount) bool { return one.accountOfKey == of })
		if at < 0 {
			at, accounts = len(accounts), append(accounts, usedAccount{accountOfKey: of})
		}
		accounts[at].hashes = append(accounts[at].hashes, hashes...)
	}
	for _, upstream := range provisionedUpstreams(route) {
		add(keyAccountOf(upstream))
	}
	records, err := r.records(ctx, route)
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		for _, key := range record.all() {
			add(key.account(), key.Hash)
		}
	}
	return accounts, nil
}

// records are those of all upstreams that have one.
func (r *UpstreamKeyReconciler) records(ctx context.Context, route *v1alpha1.ModelRoute) ([]upstreamKeyRecord, error) {
	names, err := r.upstreamsWithSecret(ctx, route)
	if err != nil {
		return nil, err
	}
	records := make([]upstreamKeyRecord, 0, len(names))
	for _, name := range names {
		p := &upstreamPass{route: route, upstream: name}
		if err := r.read(ctx, p); err != nil {
			return nil, err
		}
		records = append(records, p.record)
	}
	return records, nil
}

// abandon lets a route go whose keys are not deleted, and tells which these are.
func (r *UpstreamKeyReconciler) abandon(ctx context.Context, route *v1alpha1.ModelRoute, why string) (reconcile.Result, error) {
	records, err := r.records(ctx, route)
	if err != nil {
		return reconcile.Result{}, err
	}
	var hashes []string
	for _, record := range records {
		hashes = append(hashes, record.hashes()...)
	}
	known := "; their hashes are not known"
	if len(hashes) > 0 {
		known = "; their hashes are " + listed(hashes, ", ")
	}
	note := fmt.Sprintf("The route goes without its keys being deleted at the upstream, %s: delete those that are called %q there%s.",
		why, strings.TrimSpace(compile.UpstreamKeyName(route, "*")), known)
	log.FromContext(ctx).Info("A route goes without its keys being deleted at the upstream", "why", why, "hashes", hashes)
	r.Events.Eventf(route, nil, corev1.EventTypeWarning, eventUpstreamKeysAbandoned, actionRevoke, "%s", clip(note, maxNote))
	return retryConflict(r.removeFinalizer(ctx, route))
}

// keyListings are lists of keys by account, so that many routes that go together are served by one: no key is made for a route that is to
// go.
type keyListings struct {
	mu    sync.Mutex
	lists map[openrouter.Account]*keyListing
}

// keyListing has a lock of its own, so that one upstream that answers slowly keeps no other waiting.
type keyListing struct {
	mu    sync.Mutex
	began time.Time
	keys  []openrouter.Key
}

// since is a list of our keys that was begun a second after the given time or later: API servers tell time in whole seconds.
func (l *keyListings) since(
	ctx context.Context, clock clock.PassiveClock, keys UpstreamKeyMaker, account openrouter.Account, at time.Time,
) ([]openrouter.Key, error) {
	list := l.of(account)
	list.mu.Lock()
	defer list.mu.Unlock()
	if list.began.After(at.Add(time.Second)) {
		return list.keys, nil
	}
	began := clock.Now()
	named, err := keys.Named(ctx, account, compile.IsAnyUpstreamKeyName)
	if err != nil {
		return nil, err
	}
	list.began, list.keys = began, named
	return named, nil
}

func (l *keyListings) of(account openrouter.Account) *keyListing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lists == nil {
		l.lists = map[openrouter.Account]*keyListing{}
	}
	if l.lists[account] == nil {
		l.lists[account] = &keyListing{}
	}
	return l.lists[account]
}

func (r *UpstreamKeyReconciler) isNamespaceLeaving(ctx context.Context, name string) (bool, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, types.NamespacedName{Name: name}, namespace); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return !namespace.DeletionTimestamp.IsZero(), nil
}
