package controllers

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// leaving is a world with a route that has a key, and is then told to go.
func leaving(t *testing.T, before func(*provisioning)) *provisioning {
	t.Helper()
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	p.untilWorks("")
	before(p)
	route := &v1alpha1.ModelRoute{}
	p.get("chat", route)
	p.delete(route)
	return p
}

// untilPending waits until the route says that its keys are still to be deleted.
func (p *provisioning) untilPending() {
	p.t.Helper()
	route := &v1alpha1.ModelRoute{}
	p.eventually("the route says why it stays", func() error {
		p.get("chat", route)
		condition := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionUpstreamKeysProvisioned)
		if condition == nil || condition.Status != metav1.ConditionFalse || condition.Reason != v1alpha1.ReasonRevocationPending {
			return errors.New("it does not")
		}
		return nil
	})
}

func (p *provisioning) mustTellOfAbandoned(hash string) {
	p.t.Helper()
	events := p.eventsOf(eventUpstreamKeysAbandoned)
	if len(events) != 1 || !strings.Contains(events[0], "/chat") || !strings.Contains(events[0], hash) {
		p.t.Errorf("the events are %q", events)
	}
}

func TestTheKeysGoWithTheRoute(t *testing.T) {
	p := leaving(t, func(*provisioning) {})
	p.untilGone()
	p.untilKeys(0)
	if events := p.eventsOf(eventUpstreamKeysAbandoned); len(events) > 0 {
		t.Errorf("the events are %q", events)
	}
}

func TestARouteWaitsForAnUpstreamThatIsDown(t *testing.T) {
	p := leaving(t, func(p *provisioning) { p.isDown.Store(true) })
	p.untilPending()
	p.isDown.Store(false)
	p.look()
	p.untilGone()
	p.untilKeys(0)
}

func TestARouteWaitsNoLongerThanTenMinutes(t *testing.T) {
	p := leaving(t, func(p *provisioning) { p.isDown.Store(true) })
	p.untilPending()
	p.later(revokeBound)
	p.untilGone()
	p.mustTellOfAbandoned(p.untilKeys(1)[0].Hash)
}

func TestARouteGoesAtOnceWhereSomebodySaysSo(t *testing.T) {
	p := leaving(t, func(p *provisioning) { p.isDown.Store(true) })
	p.untilPending()
	change(p.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		route.Annotations = map[string]string{v1alpha1.AnnotationAbandonUpstreamKeys: "true"}
	})
	p.untilGone()
	p.mustTellOfAbandoned(p.untilKeys(1)[0].Hash)
}

func TestTheKeysGoAlsoWhereTheManagementKeyWentFirst(t *testing.T) {
	p := leaving(t, func(p *provisioning) { p.loseManagementKey() })
	p.untilGone()
	p.untilKeys(0)
}

func TestANamespaceThatGoesDoesNotHang(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	p.untilWorks("")
	p.stopManager() // which remembers the management key
	p.loseManagementKey()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}
	route := &v1alpha1.ModelRoute{}
	p.get("chat", route)
	p.delete(namespace)
	p.delete(route)
	p.manage()
	p.untilGone()
	p.mustTellOfAbandoned(p.untilKeys(1)[0].Hash)
}

func TestARouteWithoutItsManagementKeyWaitsForIt(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	p.untilWorks("")
	p.stopManager()
	management := p.loseManagementKey()
	route := &v1alpha1.ModelRoute{}
	p.get("chat", route)
	p.delete(route)
	p.manage()
	p.untilPending()
	management.ResourceVersion = ""
	p.create(management)
	p.look()
	p.untilGone()
	p.untilKeys(0)
}

// loseManagementKey deletes the Secret, and returns what it was.
func (p *provisioning) loseManagementKey() *corev1.Secret {
	p.t.Helper()
	secret := &corev1.Secret{}
	p.get(managementSecret, secret)
	p.delete(secret.DeepCopy())
	return secret
}
