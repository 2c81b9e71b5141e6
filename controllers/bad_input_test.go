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
		"ItsUpstreamsSecretIsDeleted": {
			func(w *world) {
				w.delete(w.upstreamSecret(""))
				w.reconcile() // as it is after idleInterval, since nobody tells of somebody else's Secret
			},
			func(w *world) {
				w.create(w.upstreamSecret("another"))
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = nil })
			},
			v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonSecretNotFound, false,
		},
		"APlaceForTheProxiesThatTheAPIServerRefuses": {
			func(w *world) {
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
					r.Spec.Proxy.NodeSelector = map[string]string{"no label": "x"}
					r.Spec.Consumers = nil
				})
			},
			func(w *world) {
				change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Proxy.NodeSelector = nil })
			},
			v1alpha1.ConditionAccepted, v1alpha1.ReasonInvalid, true,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.serve(w.route())
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
			p.spend(1) // for the consumer that the bad generation no longer has

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

func TestChildrenThatTheAPIServerRefusesAreNotHalfMade(t *testing.T) {
	cases := map[string]struct {
		spoil func(*v1alpha1.Proxy)
		want  string
	}{
		"ASelectorThatIsNoLabel": {
			func(p *v1alpha1.Proxy) { p.NodeSelector = map[string]string{"no label": "x"} }, "spec.template.spec.nodeSelector",
		},
		"ATolerationThatIsNone": {
			func(p *v1alpha1.Proxy) { p.Tolerations = []corev1.Toleration{{Operator: "Perhaps"}} }, "spec.template.spec.tolerations[0].operator",
		},
		"ALimitBelowTheRequest": {
			func(p *v1alpha1.Proxy) {
				p.Resources = &v1alpha1.Resources{
					Requests: corev1.ResourceList{corev1.ResourceMemory: quantity("64Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: quantity("32Mi")},
				}
			}, "must be less than or equal to memory limit",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			route := w.route()
			test.spoil(route.Spec.Proxy)
			w.create(route)
			stalled := w.until("chat", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalid)
			message := conditionOf(stalled, v1alpha1.ConditionReady).Message
			for _, part := range []string{"spec.proxy", "the API server refuses the Deployment", test.want} {
				if !strings.Contains(message, part) {
					t.Errorf("%q is not in %q", part, message)
				}
			}
			if owned := w.ownedBy(stalled); len(owned) > 0 {
				t.Errorf("a half-made set of children: %v", owned)
			}
			if usage := w.ledger.Usage(w.namespace, "chat"); usage != nil {
				t.Errorf("the ledger was told of it: %v", usage)
			}
		})
	}
}

func TestATakenNameDoesNotStopWhatIsServed(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.route())
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "taken"}})
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Spec.Consumers = []v1alpha1.Consumer{{Name: "batch", SecretName: "taken"}}
	})
	route := w.until("chat", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonChildNotOwned)
	for _, part := range []string{`Secret "taken" belongs to somebody else`, "secretName", servingLastGood} {
		if message := conditionOf(route, v1alpha1.ConditionReady).Message; !strings.Contains(message, part) {
			t.Errorf("%q is not in %q", part, message)
		}
	}
	p.spend(1) // for the consumer that the generation before had
}

func TestARouteWithHundredsOfProblemsHasAStatusAllTheSame(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Consumers = nil
	for consumer := range 64 {
		var budgets []v1alpha1.Budget
		for budget := range 8 {
			budgets = append(budgets, v1alpha1.Budget{
				Name: fmt.Sprint("b", budget), Amount: "1", Enforcement: v1alpha1.EnforcementDeny,
				Window: v1alpha1.Window{Period: "Month", TimeZone: "Europe/" + strings.Repeat("Nowhere", 8)},
			})
		}
		route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: fmt.Sprint("c", consumer), Budgets: budgets})
	}
	w.create(route)
	stalled := w.until("chat", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalid)
	if message := conditionOf(stalled, v1alpha1.ConditionAccepted).Message; !strings.Contains(message, "(502 more)") {
		t.Errorf("the message is %q", message)
	}
}
