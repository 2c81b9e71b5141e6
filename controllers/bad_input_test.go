package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestAnUpstreamsKeyThatIsNotThereIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.delete(w.upstreamSecret(""))
	w.create(w.route())
	route := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	want := fmt.Sprintf("Secret %q does not exist: create it in namespace %s with the upstream's API key under %q.",
		upstreamSecret, w.namespace, upstreamKey)
	if diff := cmp.Diff(want, conditionOf(route, v1alpha1.ConditionReady).Message); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if owned := w.ownedBy(route); len(owned) > 0 {
		t.Errorf("there are children already: %v", owned)
	}

	w.create(w.upstreamSecret(" \n"))
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretKeyMissing)
	if owned := w.ownedBy(route); len(owned) > 0 {
		t.Errorf("there are children already: %v", owned)
	}

	change(w, upstreamSecret, &corev1.Secret{}, func(s *corev1.Secret) { s.Data[upstreamKey] = []byte("good") })
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.deployment("chat")
}

func TestTheUpstreamsSecretIsNotTouched(t *testing.T) {
	w := newWorld(t)
	before := &corev1.Secret{}
	w.get(upstreamSecret, before)
	w.serve(w.route())
	after := &corev1.Secret{}
	w.get(upstreamSecret, after)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("it has changed:\n%s", diff)
	}
}

func TestARouteThatTurnsBadGoesOnServingItsLastGoodGeneration(t *testing.T) {
	cases := map[string]struct {
		spoil, mend func(w *world)
		condition   string
		reason      string
		stalled     bool
	}{
		"ATimeZoneThatIsNone": {
			func(w *world) {
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
					r.Spec.Budgets[0].Window.TimeZone = "Europe/Nowhere"
					r.Spec.Consumers = nil
				})
			},
			func(w *world) {
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Budgets[0].Window.TimeZone = "Europe/Paris" })
			},
			v1alpha1.ConditionAccepted, v1alpha1.ReasonInvalid, true,
		},
		"AnUpstreamsSecretThatIsGone": {
			func(w *world) {
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
					r.Spec.Upstreams[0].APIKeySecretRef.Name = "elsewhere"
					r.Spec.Consumers = nil
				})
			},
			func(w *world) {
				secret := w.upstreamSecret("another")
				secret.Name = "elsewhere"
				w.create(secret)
			},
			v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonSecretNotFound, false,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(w.route())
			w.quiet("chat")
			before := w.versions()
			delete(before, "ModelRoute chat")

			test.spoil(w)
			route := w.until("chat", test.condition, metav1.ConditionFalse, test.reason)
			if got := conditionOf(route, v1alpha1.ConditionProgrammed); got.Status != metav1.ConditionFalse || got.Reason != v1alpha1.ReasonLastGood {
				t.Errorf("Programmed is %s with reason %s", got.Status, got.Reason)
			}
			if got := conditionOf(route, v1alpha1.ConditionAvailable); got.Status != metav1.ConditionTrue {
				t.Errorf("Available is %s, though the proxies serve", got.Status)
			}
			if got := conditionOf(route, v1alpha1.ConditionStalled).Status == metav1.ConditionTrue; got != test.stalled {
				t.Errorf("it is %t that the route is stalled", got)
			}
			for range 3 {
				w.reconcile()
			}
			after := w.versions()
			delete(after, "ModelRoute chat")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the children have changed:\n%s", diff)
			}

			test.mend(w)
			w.until("chat", test.condition, metav1.ConditionTrue, test.condition)
			w.eventually("the removed consumer's Secret is gone", func() error {
				if w.exists("chat-search", &corev1.Secret{}) {
					return errors.New("it is there")
				}
				return nil
			})
		})
	}
}

func TestTheStatusNamesEveryBadField(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Budgets[0].Window.TimeZone = "Europe/Nowhere"
	route.Spec.Consumers[0].SecretName = upstreamSecret
	w.create(route)
	stalled := w.until("chat", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalid)
	message := conditionOf(stalled, v1alpha1.ConditionAccepted).Message
	for _, path := range []string{"spec.budgets[0].window", "spec.consumers[0].secretName"} {
		if !strings.Contains(message, path) {
			t.Errorf("%s is not in %q", path, message)
		}
	}
	w.untilEvent(v1alpha1.ReasonInvalid)
}
