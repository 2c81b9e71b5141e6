package controllers

import (
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// awaitLimit is how long a budget waits for the limits of its route's keys to be changed: no longer than one question and its answer.
const awaitLimit = 15 * time.Second

// UpstreamKeyReports are what the reconciler of upstreams' keys tells that of routes. They are in memory alone: what has to survive a
// restart is in the Secrets.
type UpstreamKeyReports struct {
	mu      sync.Mutex
	reports map[types.NamespacedName]upstreamKeyReport
	waits   map[types.NamespacedName]limitWait
	// routes wakes what has to follow.
	routes waker
}

// upstreamKeyReport says how a route's keys stand.
type upstreamKeyReport struct {
	// tried are the terms of the limits that were last asked for, or were left for later, by upstream.
	tried map[string]string
	// problems are what is to be told, in the order of the spec.
	problems []unresolvedError
}

// limitWait is since when a route waits for limits, and for which.
type limitWait struct {
	terms map[string]string
	since time.Time
}

func (r *upstreamKeyReport) add(p *upstreamPass) {
	if p.terms != "" {
		r.tried[p.upstream] = p.terms
	}
	if p.problem != nil {
		r.problems = append(r.problems, *p.problem)
	}
}

// report notes how a route's keys stand, and wakes the route if that is news.
func (r *UpstreamKeyReports) report(route types.NamespacedName, next upstreamKeyReport) {
	r.mu.Lock()
	before, known := r.reports[route]
	if r.reports == nil {
		r.reports = map[types.NamespacedName]upstreamKeyReport{}
	}
	r.reports[route] = next
	r.mu.Unlock()
	if !known || !reflect.DeepEqual(before, next) {
		r.routes.wake(route)
	}
}

// of returns how a route's keys stand; false if they were not looked at since this process began.
func (r *UpstreamKeyReports) of(route types.NamespacedName) (upstreamKeyReport, bool) {
	if r == nil {
		return upstreamKeyReport{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	report, known := r.reports[route]
	return report, known
}

func (r *UpstreamKeyReports) forget(route types.NamespacedName) {
	r.mu.Lock()
	_, known := r.reports[route]
	delete(r.reports, route)
	delete(r.waits, route)
	r.mu.Unlock()
	if known {
		r.routes.wake(route)
	}
}

// isWaiting reports whether a route's budgets have to wait: limits of these terms were not tried, and not waited for too long.
func (r *UpstreamKeyReports) isWaiting(route types.NamespacedName, terms map[string]string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	tried := r.reports[route].tried
	isTried := true
	for upstream, wanted := range terms {
		isTried = isTried && tried[upstream] == wanted
	}
	if isTried {
		delete(r.waits, route)
		return false
	}
	wait, isKnown := r.waits[route]
	if !isKnown || !maps.Equal(wait.terms, terms) {
		if r.waits == nil {
			r.waits = map[types.NamespacedName]limitWait{}
		}
		wait = limitWait{terms: terms, since: now}
		r.waits[route] = wait
	}
	return now.Sub(wait.since) < awaitLimit
}

// awaitingLimitError says that the limits of the route's keys are changed before its budgets.
type awaitingLimitError struct{}

// Error says so.
func (awaitingLimitError) Error() string {
	return "the limits of the upstreams' keys are changed first"
}

// upstreamKeysProvisioned is the verdict of UpstreamKeysProvisioned. What was not looked at yet stays as it was.
func upstreamKeysProvisioned(s *scope) (verdict, bool) {
	report, isKnown := s.upstreamKeys, s.upstreamKeysKnown
	switch {
	case isKnown && len(report.problems) > 0:
		return problemsOfKeys(report), true
	case isKnown && len(report.tried) > 0:
		return yes(v1alpha1.ReasonUpstreamKeysProvisioned, "Every key that is made at an upstream is there and has its limit."), true
	case isKnown:
		return yes(v1alpha1.ReasonUpstreamKeysProvisioned,
			"No key is made at an upstream any more; the last ones are deleted there soon."), true
	case len(provisionedUpstreams(s.route)) == 0:
		return verdict{}, false
	}
	for _, before := range s.route.Status.Conditions {
		if before.Type == v1alpha1.ConditionUpstreamKeysProvisioned {
			return verdict{before.Status, before.Reason, before.Message}, true
		}
	}
	return unknown(v1alpha1.ReasonUpstreamKeyPending, "The keys are still to be made at the upstreams."), true
}

func problemsOfKeys(report upstreamKeyReport) verdict {
	messages := make([]string, 0, len(report.problems))
	for _, problem := range report.problems {
		messages = append(messages, problem.Message)
	}
	return no(report.problems[0].Reason, listed(messages, " "))
}

// pendingKey is what ResolvedRefs says of an upstream that has no key yet.
func pendingKey(s *scope, upstream string) *unresolvedError {
	message := fmt.Sprintf("The key of upstream %s is still to be made there.", upstream)
	if len(s.upstreamKeys.problems) > 0 {
		message += " " + problemsOfKeys(s.upstreamKeys).message
	}
	return &unresolvedError{Reason: v1alpha1.ReasonUpstreamKeyPending, Message: message}
}
