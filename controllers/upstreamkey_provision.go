package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/fence"
	"github.com/modelroute/modelroute/internal/openrouter"
)

const (
	// retireGrace is how long a key lives that the spec does not ask for any more: the longest that a request may take.
	retireGrace = time.Hour
	// maxPreviousKeys bounds how many keys a record has that are still to be deleted.
	maxPreviousKeys = 8
)

// upstreamPass is one look at the key of one upstream.
type upstreamPass struct {
	route    *v1alpha1.ModelRoute
	upstream string
	now      time.Time
	// isFirst is true if no key was ever made for the route, so that none can be lost.
	isFirst bool

	// secret is nil if there is none; record and key are what it has, record as it will be.
	secret *corev1.Secret
	record upstreamKeyRecord
	key    string

	// terms are those of the limit that was asked for, or was left as it is; empty if the pass did not get so far.
	terms string
	// problem is what is to be told; nil if all is well. next is when to look again.
	problem *unresolvedError
	next    time.Time
}

// at makes the next look no later than the given time.
func (p *upstreamPass) at(next time.Time) {
	if next.Before(p.next) {
		p.next = next
	}
}

// fail notes what is to be told and returns the error, for another try.
func (p *upstreamPass) fail(reason, message string, err error) error {
	p.problem = &unresolvedError{Reason: reason, Message: "Upstream " + p.upstream + ": " + message}
	return err
}

// tryAgain is fail where the upstream was asked in vain.
func (p *upstreamPass) tryAgain(reason, what string, err error) error {
	return p.fail(reason, what+" ("+describeFailure(err)+"). This is tried again.", err)
}

// provision sees to it that an upstream has its key and that the key has its limit.
func (r *UpstreamKeyReconciler) provision(ctx context.Context, p *upstreamPass, upstream v1alpha1.Upstream) error {
	if err := r.read(ctx, p); err != nil {
		return err
	}
	limit, err := compile.UpstreamKeyLimit(p.route, upstream, p.now)
	if err != nil {
		return p.fail(v1alpha1.ReasonInvalid, "the spec is invalid.", nil)
	}
	if expiry := compile.NextExpiry(p.route, nil, nil, p.now); !expiry.IsZero() {
		p.at(expiry)
	}
	account, err := r.open(ctx, p, keyAccountOf(upstream))
	if account == nil || err != nil {
		return err
	}
	swept := r.sweep(ctx, p)
	found, err := r.look(ctx, p, upstream, *account)
	if err != nil {
		return p.tryAgain(v1alpha1.ReasonProvisioningFailed, "its key cannot be looked at", err)
	}
	if current := p.record.Current; current != nil && p.key != "" && !isRotationDue(current, upstream, p.now) {
		err = r.adjust(ctx, p, *account, limit, *found)
	} else {
		err = r.replace(ctx, p, upstream, *account, limit)
	}
	p.scheduleRotation(upstream)
	return errors.Join(swept, err)
}

// read reads the Secret of an upstream's key from the API server: a key is not made, or thrown away, on the word of a cache that may be
// behind.
func (r *UpstreamKeyReconciler) read(ctx context.Context, p *upstreamPass) error {
	secret, err := ownedLiveSecret(ctx, r.Live, p.route, compile.ProvisionedSecretName(p.route, p.upstream))
	if err != nil {
		return err
	}
	p.secret = secret
	p.record, p.key = recordIn(secret)
	return nil
}

// open reads a management key. Without one there is nothing that can be done, and a problem: nobody tells us when its Secret comes.
func (r *UpstreamKeyReconciler) open(ctx context.Context, p *upstreamPass, of accountOfKey) (*openrouter.Account, error) {
	account, problem, err := r.managementKey(ctx, p.route, of)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		p.at(p.now.Add(retryInterval))
		return nil, p.fail(problem.Reason, problem.Message, nil)
	}
	return account, nil
}

// managementKey reads the key that makes others. Its value goes nowhere but into questions to the upstream.
func (r *UpstreamKeyReconciler) managementKey(
	ctx context.Context, route *v1alpha1.ModelRoute, of accountOfKey,
) (*openrouter.Account, *unresolvedError, error) {
	secret, ref := &corev1.Secret{}, of.management
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: route.Namespace, Name: ref.Name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, &unresolvedError{Reason: v1alpha1.ReasonSecretNotFound, Message: fmt.Sprintf(
			"Secret %q does not exist: create it in namespace %s with the upstream's management key under %q.",
			ref.Name, route.Namespace, ref.Key)}, nil
	}
	if problem := mayNotRead(err, "Secret", route.Namespace, ref.Name); problem != nil {
		return nil, problem, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the Secret of the management key: %w", err)
	}
	value := string(bytes.TrimSpace(secret.Data[ref.Key]))
	if value == "" {
		return nil, &unresolvedError{Reason: v1alpha1.ReasonSecretKeyMissing, Message: fmt.Sprintf(
			"Secret %q has nothing under %q: put the upstream's management key there.", ref.Name, ref.Key)}, nil
	}
	r.remembered.note(client.ObjectKeyFromObject(route), ref, value)
	return &openrouter.Account{BaseURL: of.baseURL, ManagementKey: value}, nil, nil
}

// look finds out how the current key stands at the upstream. One that is not there any more, or not in this account, is current no more;
// found is nil then, or if there was none.
func (r *UpstreamKeyReconciler) look(
	ctx context.Context, p *upstreamPass, upstream v1alpha1.Upstream, account openrouter.Account,
) (found *openrouter.Key, err error) {
	current := p.record.Current
	if current == nil {
		return nil, nil
	}
	key, err := r.Keys.Get(ctx, account, current.Hash)
	wanted := keyAccountOf(upstream)
	switch {
	case err == nil && key.Name == compile.UpstreamKeyName(p.route, p.upstream):
		current.BaseURL, current.ManagementKeySecretRef = wanted.baseURL, wanted.management
		return &key, nil
	case err != nil && !errors.Is(err, openrouter.ErrNotFound):
		return nil, err
	case current.account() != wanted:
		p.record.retire(p.now.Add(compile.UpstreamKeyOverlap(upstream)))
	}
	p.record.Current, p.key = nil, ""
	return nil, nil
}

func isRotationDue(current *madeKey, upstream v1alpha1.Upstream, now time.Time) bool {
	interval := compile.UpstreamKeyInterval(upstream)
	return interval > 0 && !now.Before(current.CreateTime.Add(interval))
}

func (p *upstreamPass) scheduleRotation(upstream v1alpha1.Upstream) {
	if interval := compile.UpstreamKeyInterval(upstream); interval > 0 && p.record.Current != nil {
		p.at(p.record.Current.CreateTime.Add(interval))
	}
	for _, key := range p.record.Previous {
		p.at(key.RetireTime.Time)
	}
}

// replace makes a new key. The one before it, if there is one, can be used for a while. A key that was made and whose Secret was not
// written is found by its name: nobody has it, so that it is deleted. Where the Secret was lost, somebody may have the key that was in it.
func (r *UpstreamKeyReconciler) replace(
	ctx context.Context, p *upstreamPass, upstream v1alpha1.Upstream, account openrouter.Account, limit fence.Limit,
) error {
	cannot := func(err error) error {
		return p.tryAgain(v1alpha1.ReasonProvisioningFailed, "no key can be made", err)
	}
	end := p.now.Add(compile.UpstreamKeyOverlap(upstream))
	p.record.retire(end)
	if err := r.collect(ctx, p, upstream, account, end); err != nil {
		return cannot(err)
	}
	name := compile.UpstreamKeyName(p.route, p.upstream)
	key, hash, err := r.Keys.Create(ctx, account, name, limit.First())
	if err != nil {
		return cannot(err)
	}
	its := keyAccountOf(upstream)
	p.key, p.record.Current = key, &madeKey{
		Hash: hash, SHA256: hashOfKey(key), BaseURL: its.baseURL, ManagementKeySecretRef: its.management,
		CreateTime: metav1.NewTime(p.now.Truncate(time.Second)), Limit: limit.String(), Terms: limit.Terms(),
	}
	p.terms = limit.Terms()
	if err := r.save(ctx, p); err != nil {
		// Nobody will ever have it. If it cannot be deleted now, it is found by its name later.
		return errors.Join(err, r.Keys.Delete(context.WithoutCancel(ctx), account, hash))
	}
	r.Events.Eventf(p.route, p.reference(), corev1.EventTypeNormal, eventUpstreamKeyMade, actionProvision+"/"+p.upstream,
		"Upstream %s has a new key with the hash %s and the limit %s.", p.upstream, hash, limit)
	return nil
}

// collect finds keys that were made and are not in the record.
func (r *UpstreamKeyReconciler) collect(
	ctx context.Context, p *upstreamPass, upstream v1alpha1.Upstream, account openrouter.Account, end time.Time,
) error {
	if p.isFirst {
		return nil
	}
	name := compile.UpstreamKeyName(p.route, p.upstream)
	keys, err := r.Keys.Named(ctx, account, func(other string) bool { return other == name })
	if err != nil {
		return err
	}
	known := p.record.hashes()
	for _, key := range keys {
		if slices.Contains(known, key.Hash) {
			continue
		}
		if p.secret == nil && len(p.record.Previous) < maxPreviousKeys {
			its := keyAccountOf(upstream)
			p.record.Previous = append(p.record.Previous, madeKey{
				Hash: key.Hash, BaseURL: its.baseURL, ManagementKeySecretRef: its.management,
				RetireTime: metav1.NewTime(end.Truncate(time.Second)),
			})
			continue
		}
		if err := r.Keys.Delete(ctx, account, key.Hash); err != nil {
			return err
		}
	}
	return nil
}

// adjust gives the key the limit that it is to have. It is raised before the ledger is told of more, and lowered when less is in force.
func (r *UpstreamKeyReconciler) adjust(
	ctx context.Context, p *upstreamPass, account openrouter.Account, limit fence.Limit, found openrouter.Key,
) error {
	current := p.record.Current
	isNews := current.Terms != limit.Terms()
	ask := limit.Next(found.Key, isNews)
	p.terms = limit.Terms()
	if !ask.Fits(found.Key) {
		if isNews && ask.Lowers(found.Key) && !isEnforced(p.route) {
			return r.save(ctx, p)
		}
		if err := r.Keys.Change(ctx, account, current.Hash, ask); err != nil {
			return p.tryAgain(v1alpha1.ReasonProvisioningFailed, "its key's limit cannot be changed", err)
		}
	}
	current.Limit, current.Terms = limit.String(), limit.Terms()
	if found.Disabled {
		_ = p.fail(v1alpha1.ReasonUpstreamKeyDisabled, fmt.Sprintf(
			"somebody has disabled its key with the hash %s there: enable it there, or delete it there to have a new one made.",
			found.Hash), nil)
	}
	return r.save(ctx, p)
}

// isEnforced reports whether the route's budgets, as they are now, are in force.
func isEnforced(route *v1alpha1.ModelRoute) bool {
	programmed := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionProgrammed)
	return programmed != nil && programmed.Status == metav1.ConditionTrue && programmed.ObservedGeneration == route.Generation
}

// save writes the Secret with the key and the record, if either is not in it yet. Whoever edits or deletes it meanwhile makes that a
// conflict.
func (r *UpstreamKeyReconciler) save(ctx context.Context, p *upstreamPass) error {
	encoded, err := json.Marshal(p.record)
	if err != nil {
		return fmt.Errorf("encoding the record of an upstream's keys: %w", err)
	}
	object := desired.UpstreamKeySecret(p.route, p.upstream, p.key, string(encoded))
	if p.secret != nil {
		object.Seen = p.secret.ResourceVersion
	}
	err = r.applier().Apply(ctx, p.route, []desired.Object{object}, nil)
	if notOwned, is := errors.AsType[*apply.NotOwnedError](err); is {
		return p.fail(v1alpha1.ReasonChildNotOwned, fmt.Sprintf(
			"Secret %q belongs to somebody else and is left alone: delete it.", notOwned.Name), err)
	}
	if failed, is := errors.AsType[*apply.WriteError](err); is {
		return failed.Err
	}
	return err
}

// reference is the Secret of the upstream's key, as what an event is related to.
func (p *upstreamPass) reference() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.route.Namespace, Name: compile.ProvisionedSecretName(p.route, p.upstream),
	}}
}

// describeFailure says why an upstream could not be asked, with nothing in it that differs from one try to the next.
func describeFailure(err error) string {
	if refused, is := errors.AsType[*openrouter.StatusError](err); is {
		switch refused.Status {
		case 401, 403:
			return fmt.Sprintf("it refuses the management key with status %d", refused.Status)
		default:
			return fmt.Sprintf("it answers with status %d", refused.Status)
		}
	}
	return "it cannot be reached; the manager's log has the details"
}
