package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/keys"
)

func TestAModelKeyGetsASecretBesideItOnceTheProxiesAcceptTheKey(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	w.create(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	w.deployment("chat")
	w.untilAccepted("chat", tenant+"/crawler", 1)
	key := w.untilKey(tenant, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending)
	if w.hasKeySecret(tenant) || key.Status.KeyID != "" {
		t.Fatal("the key is delivered though no proxy is ready")
	}

	w.runPod("chat", "one")
	w.runProxy("chat", "one")
	key = w.untilKeyReady(tenant)
	secret := w.keySecret(tenant)
	hash := keys.Hash(keyOf(secret))
	if accepted := w.acceptedHashes("chat", tenant+"/crawler"); !slices.Equal(accepted, []string{hash}) {
		t.Error("the key that is delivered is not the one that is accepted")
	}
	want := map[string]string{
		"OPENAI_API_KEY": keyOf(secret), "OPENAI_BASE_URL": "http://chat." + w.namespace + ".svc/v1", "MODEL": "chat",
	}
	if diff := cmp.Diff(want, textOf(secret.Data)); diff != "" || !metav1.IsControlledBy(secret, key) {
		t.Errorf("the Secret (-want +got):\n%s\nits owners: %v", diff, secret.OwnerReferences)
	}
	if key.Status.KeyID != keys.ID(hash) || key.Status.SecretName != "crawler" || key.Status.Summary.Routes != "1/1" {
		t.Errorf("the status is %+v", key.Status)
	}
	w.untilEvent(eventKeyIssued)
}

func TestARouteSaysWhoMayAsk(t *testing.T) {
	cases := map[string]struct {
		from     v1alpha1.NamespacesFrom
		selector *metav1.LabelSelector
		allowed  bool
	}{
		"Absent is the route's own namespace": {allowed: false},
		"Same is too":                         {from: v1alpha1.NamespacesSame, allowed: false},
		"All is every namespace":              {from: v1alpha1.NamespacesAll, allowed: true},
		"Selector is those that it matches": {
			from: v1alpha1.NamespacesSelector, selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "search"}}, allowed: true,
		},
		"and no others": {
			from: v1alpha1.NamespacesSelector, selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "ads"}}, allowed: false,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w, tenant := newWorldWithTenant(t, map[string]string{"team": "search"})
			route := w.route()
			if test.from != "" {
				route.Spec.Keys = v1alpha1.RouteKeys{AllowedNamespaces: v1alpha1.AllowedNamespaces{From: test.from, Selector: test.selector}}
			}
			w.create(w.modelKey(tenant, "chat"))
			w.serve(route)
			if test.allowed {
				w.untilKeyReady(tenant)
				return
			}
			key := w.untilKey(tenant, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNotAllowed)
			if key.Status.Routes[0].State != v1alpha1.KeyNotAllowed || w.hasKeySecret(tenant) {
				t.Errorf("the route is %+v", key.Status.Routes[0])
			}
			w.untilAccepted("chat", tenant+"/crawler", 0)
		})
	}
}

func TestAKeyThatIsNotAllowedAnyMoreIsRefusedAtOnceAndComesBackAsAnother(t *testing.T) {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"team": "search"}}
	cases := map[string]struct{ forbid, allow func(w *world, tenant string) }{
		"The namespace loses its label": {
			forbid: func(w *world, tenant string) { w.label(tenant, "") },
			allow:  func(w *world, tenant string) { w.label(tenant, "search") },
		},
		"The route asks for another label": {
			forbid: func(w *world, _ string) {
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
					r.Spec.Keys.AllowedNamespaces.Selector.MatchLabels["team"] = "ads"
				})
			},
			allow: func(w *world, tenant string) { w.label(tenant, "ads") },
		},
		"The ModelKey expires": {
			forbid: func(w *world, tenant string) {
				changeIn(w, tenant, "crawler", &v1alpha1.ModelKey{}, func(k *v1alpha1.ModelKey) {
					k.Spec.ExpireTime = new(metav1.NewTime(time.Now().Add(2 * time.Second)))
				})
			},
			allow: func(w *world, tenant string) {
				changeIn(w, tenant, "crawler", &v1alpha1.ModelKey{}, func(k *v1alpha1.ModelKey) { k.Spec.ExpireTime = nil })
			},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w, tenant := newWorldWithTenant(t, selector.MatchLabels)
			route := w.route()
			route.Spec.Keys = v1alpha1.RouteKeys{AllowedNamespaces: v1alpha1.AllowedNamespaces{
				From: v1alpha1.NamespacesSelector, Selector: selector.DeepCopy(),
			}}
			w.serve(route)
			w.create(w.modelKey(tenant, "chat"))
			w.untilKeyReady(tenant)
			old := keyOf(w.keySecret(tenant))

			test.forbid(w, tenant)
			w.untilAccepted("chat", tenant+"/crawler", 0)
			w.eventually("the Secret is gone", func() error {
				if w.hasKeySecret(tenant) {
					return errors.New("it is there")
				}
				return nil
			})
			test.allow(w, tenant)
			w.untilKeyReady(tenant)
			if keyOf(w.keySecret(tenant)) == old {
				t.Error("the old key is back")
			}
		})
	}
}

func TestADeletedModelKeyIsRefusedAtOnce(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	w.delete(w.untilKeyReady(tenant))
	w.untilAccepted("chat", tenant+"/crawler", 0)
}

func TestTheSecretOfAModelKeyIsNeverTrusted(t *testing.T) {
	cases := map[string]func(w *world, tenant string){
		"Deleted: the key is revoked": func(w *world, tenant string) { w.delete(w.keySecret(tenant)) },
		"Edited: a key that somebody chose is not accepted": func(w *world, tenant string) {
			changeIn(w, tenant, "crawler", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["OPENAI_API_KEY"] = []byte("mine") })
		},
	}
	for name, meddle := range cases {
		t.Run(name, func(t *testing.T) {
			w, tenant := newWorldWithTenant(t, nil)
			w.serve(w.openRoute())
			w.create(w.modelKey(tenant, "chat"))
			w.untilKeyReady(tenant)
			old := keyOf(w.keySecret(tenant))
			meddle(w, tenant)
			w.eventually("there is a new key, and it alone is accepted", func() error {
				if !w.hasKeySecret(tenant) {
					return errors.New("there is no Secret")
				}
				now := keyOf(w.keySecret(tenant))
				if now == old || now == "mine" || !slices.Equal(w.acceptedHashes("chat", tenant+"/crawler"), []string{keys.Hash(now)}) {
					return errors.New("it has the old one, or another is accepted")
				}
				return nil
			})
			w.untilKeyReady(tenant)
		})
	}
}

func TestOneKeyReachesSeveralRoutes(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	first, second := w.openRoute(), w.openRoute()
	second.Name, second.Spec.Model.Name = "code", "codestral"
	w.serve(first)
	w.serve(second)
	w.create(w.modelKey(tenant, "chat", "lost", "code"))
	key := w.untilKey(tenant, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonRouteNotFound)
	w.eventually("the routes that are there accept the key", func() error {
		if w.getIn(tenant, "crawler", key); key.Status.Summary.Routes != "2/3" {
			return errors.New(key.Status.Summary.Routes)
		}
		return nil
	})
	secret := w.keySecret(tenant)
	want := map[string]string{
		"OPENAI_API_KEY":  keyOf(secret),
		"OPENAI_BASE_URL": "http://chat." + w.namespace + ".svc/v1", "MODEL": "chat",
		"OPENAI_BASE_URL_3": "http://code." + w.namespace + ".svc/v1", "MODEL_3": "codestral",
	}
	if diff := cmp.Diff(want, textOf(secret.Data)); diff != "" {
		t.Errorf("the Secret (-want +got):\n%s", diff)
	}
	for _, route := range []string{"chat", "code"} {
		if accepted := w.acceptedHashes(route, tenant+"/crawler"); !slices.Equal(accepted, []string{keys.Hash(keyOf(secret))}) {
			t.Errorf("route %s accepts %v", route, accepted)
		}
	}

	third := w.openRoute()
	third.Name = "lost"
	w.serve(third)
	w.untilKeyReady(tenant)
	after := w.keySecret(tenant)
	if keyOf(after) != keyOf(secret) || string(after.Data["MODEL_2"]) != "lost" {
		t.Error("the key has changed, or the Secret lacks the new route")
	}
}

func TestARouteThatCannotBeServedKeepsNoKeyFromTheOthers(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	idle := w.openRoute()
	idle.Name = "idle"
	w.create(idle)
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant, "idle", "chat"))
	w.eventually("the key is delivered", func() error {
		if !w.hasKeySecret(tenant) {
			return errors.New("it is not")
		}
		return nil
	})
	key := w.untilKey(tenant, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending)
	w.eventually("the status says which route is to blame", func() error {
		w.getIn(tenant, "crawler", key)
		if key.Status.Routes[0].State != v1alpha1.KeyNotServed || key.Status.Routes[1].State != v1alpha1.KeyAccepted {
			return errors.New("it does not")
		}
		return nil
	})
}

func TestARestartOfTheManagerLeavesModelKeysAlone(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	w.untilKeyReady(tenant)
	before, accepted := w.keySecret(tenant), w.acceptedHashes("chat", tenant+"/crawler")
	w.quiet("chat")
	w.stopManager()
	written := w.writes.Load()
	w.startManager()
	w.eventually("the manager has looked at everything", func() error {
		if _, reported := w.reconciler.Exchange.reportOf(keyOfRoute(w, "chat")); !reported {
			return errors.New("it has not")
		}
		return nil
	})
	w.quiet("chat")
	if now := w.writes.Load(); now != written {
		t.Errorf("the manager wrote %d times", now-written)
	}
	if after := w.keySecret(tenant); after.ResourceVersion != before.ResourceVersion || keyOf(after) != keyOf(before) {
		t.Error("the Secret has changed")
	}
	if !slices.Equal(w.acceptedHashes("chat", tenant+"/crawler"), accepted) {
		t.Error("other keys are accepted")
	}
}

func TestASecretDeletedWhileNoManagerRanRevokesTheKey(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	w.untilKeyReady(tenant)
	old := keys.Hash(keyOf(w.keySecret(tenant)))
	w.stopManager()
	w.delete(w.keySecret(tenant))
	w.startManager()
	w.eventually("there is a new key", func() error {
		if !w.hasKeySecret(tenant) || slices.Contains(w.acceptedHashes("chat", tenant+"/crawler"), old) {
			return errors.New("there is none, or the old one is accepted")
		}
		return nil
	})
	w.untilKeyReady(tenant)
}

func TestASecretOfSomebodyElseIsLeftAloneByAModelKey(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "crawler"}, Data: map[string][]byte{"a": []byte("b")}}
	w.create(foreign)
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	w.untilKey(tenant, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChildNotOwned)
	after := w.keySecret(tenant)
	if diff := cmp.Diff(foreign.Data, after.Data); diff != "" || after.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("it was written to: %s", diff)
	}
	w.untilAccepted("chat", tenant+"/crawler", 0)
	w.delete(after)
	w.untilKeyReady(tenant)
}

func TestAModelKeyShowsWhatItSpendsWithinABudgetOfItsOwn(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	p := w.serve(w.openRoute())
	key := w.modelKey(tenant, "chat")
	key.Spec.Budgets = []v1alpha1.Budget{{
		Name: "all", Amount: "0.50", Window: v1alpha1.Window{Period: "Total"}, Enforcement: v1alpha1.EnforcementDeny,
	}}
	w.create(key)
	w.untilKeyReady(tenant)
	p.spendAs(tenant+"/crawler", "openrouter", 500_000_000)
	w.eventually("the status shows it", func() error {
		w.getIn(tenant, "crawler", key)
		status := key.Status
		if status.Spend == nil || status.Spend.Total != "0.50" || status.Routes[0].Spent != "0.50" || status.Summary.Used != "100%" ||
			status.LastUseTime == nil {
			return fmt.Errorf("it is %+v", status)
		}
		return nil
	})
	w.untilKey(tenant, v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, v1alpha1.ReasonBudgetExhausted)
	w.untilEvent(eventBudgetExhausted)
}

func TestAKeyIsNowhereButInItsSecret(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	key := w.untilKeyReady(tenant)
	route := w.untilReady("chat")
	var text strings.Builder
	for _, part := range []any{key, route} {
		text.WriteString(cmp.Diff(nil, part))
	}
	for len(w.events) > 0 {
		text.WriteString(<-w.events)
	}
	config := &corev1.Secret{}
	w.get("chat.config", config)
	text.Write(config.Data["config.json"])
	for _, secret := range []*corev1.Secret{w.keySecret(tenant), w.consumerSecret("chat", "search")} {
		if strings.Contains(text.String(), keyOf(secret)) {
			t.Errorf("the key of Secret %s is elsewhere too", secret.Name)
		}
	}
	if !strings.Contains(text.String(), key.Status.KeyID) {
		t.Error("this test does not look where keys are named")
	}
}

// label gives a namespace the label team, or takes it away.
func (w *world) label(namespace, team string) {
	w.t.Helper()
	changeIn(w, "", namespace, &corev1.Namespace{}, func(n *corev1.Namespace) {
		if delete(n.Labels, "team"); team != "" {
			n.Labels["team"] = team
		}
	})
}
