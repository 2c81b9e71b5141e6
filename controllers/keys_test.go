package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/keys"
)

// keyOf is the key that a consumer's Secret has.
func keyOf(secret *corev1.Secret) string { return string(secret.Data["OPENAI_API_KEY"]) }

// untilNewKey waits until a consumer's Secret has another key than the old one, which is accepted, and it alone.
func (w *world) untilNewKey(route, consumer, old string) *corev1.Secret {
	w.t.Helper()
	var secret *corev1.Secret
	w.eventually("consumer "+consumer+" has a new key", func() error {
		if secret = w.consumerSecret(route, consumer); keyOf(secret) == old {
			return errors.New("it has the old one")
		}
		if !slices.Equal(w.acceptedHashes(route, consumer), []string{keys.Hash(keyOf(secret))}) {
			return errors.New("the proxies do not accept the new key, and it alone")
		}
		return nil
	})
	return secret
}

func TestAKeyIsDeliveredOnlyOnceEveryReadyProxyAcceptsIt(t *testing.T) {
	w := newWorld(t)
	w.create(w.route())
	w.until("chat", v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending)
	if w.exists("chat-search", &corev1.Secret{}) {
		t.Fatal("the key is delivered though no proxy is ready")
	}

	w.runPod("chat", "one")
	w.runPod("chat", "two")
	w.runProxy("chat", "one")
	w.eventually("one of two proxies serves", func() error {
		route := w.until("chat", v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending)
		if message := conditionOf(route, v1alpha1.ConditionProgrammed).Message; message != "1 of 2 ready proxies serve this generation." {
			return errors.New(message)
		}
		return nil
	})
	if w.exists("chat-search", &corev1.Secret{}) {
		t.Fatal("the key is delivered though a ready proxy does not accept it yet")
	}

	w.runProxy("chat", "two")
	secret := w.consumerSecret("chat", "search")
	if !slices.Equal(w.acceptedHashes("chat", "search"), []string{keys.Hash(keyOf(secret))}) {
		t.Error("the key that is delivered is not the one that is accepted")
	}
	w.untilReady("chat")
	w.untilEvent(eventKeyIssued)
}

func TestAKeyThatAManagerHadNotDeliveredIsMadeAnewByTheNext(t *testing.T) {
	w := newWorld(t)
	w.create(w.route())
	w.deployment("chat")
	w.stopManager()
	lost := w.acceptedHashes("chat", "search")
	w.startManager()
	w.runPod("chat", "one")
	w.runProxy("chat", "one")
	secret := w.consumerSecret("chat", "search")
	if accepted := w.acceptedHashes("chat", "search"); slices.Equal(accepted, lost) || !slices.Equal(accepted, []string{keys.Hash(keyOf(secret))}) {
		t.Error("the key whose value nobody has is still accepted")
	}
}

func TestAConsumersSecretIsNeverTrusted(t *testing.T) {
	cases := map[string]struct {
		meddle func(w *world)
	}{
		"Deleted: the key is revoked": {func(w *world) {
			w.delete(w.consumerSecret("chat", "search"))
		}},
		"Edited: a key that somebody chose is not accepted": {func(w *world) {
			change(w, "chat-search", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["OPENAI_API_KEY"] = []byte("mine") })
		}},
		"Emptied: nor is none": {func(w *world) {
			change(w, "chat-search", &corev1.Secret{}, func(s *corev1.Secret) { delete(s.Data, "OPENAI_API_KEY") })
		}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(w.route())
			old := keyOf(w.consumerSecret("chat", "search"))
			test.meddle(w)
			secret := w.untilNewKey("chat", "search", old)
			if keyOf(secret) == "mine" || keyOf(secret) == "" {
				t.Error("the Secret has what somebody else put there")
			}
			w.untilReady("chat")
		})
	}
}

func TestTheRestOfAConsumersSecretHealsAndTheKeyStays(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	old := keyOf(w.consumerSecret("chat", "search"))
	change(w, "chat-search", &corev1.Secret{}, func(s *corev1.Secret) {
		s.Data["OPENAI_BASE_URL"] = []byte("http://elsewhere/v1")
		s.Data["MORE"] = []byte("kept")
	})
	w.eventually("the URL is right again", func() error {
		secret := &corev1.Secret{}
		w.get("chat-search", secret)
		if url := string(secret.Data["OPENAI_BASE_URL"]); url != "http://chat."+w.namespace+".svc/v1" {
			return errors.New(url)
		}
		if keyOf(secret) != old || string(secret.Data["MORE"]) != "kept" {
			t.Error("the key, or what somebody else added, is gone")
		}
		return nil
	})
}

func TestAConsumerThatIsRemovedLosesItsKeyAndSecret(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: "batch", SecretName: "for-batch"})
	w.serve(route)
	kept := keyOf(w.consumerSecret("chat", "search"))

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = r.Spec.Consumers[:1] })
	w.untilReady("chat")
	w.eventually("its Secret is gone", func() error {
		if w.exists("for-batch", &corev1.Secret{}) {
			return errors.New("it is there")
		}
		return nil
	})
	if accepted := w.acceptedHashes("chat", "batch"); len(accepted) > 0 {
		t.Errorf("its key is still accepted: %v", accepted)
	}
	if keyOf(w.consumerSecret("chat", "search")) != kept {
		t.Error("the other consumer's key has changed")
	}
}

func TestAConsumersSecretThatIsRenamedComesWithANewKey(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	old := keyOf(w.consumerSecret("chat", "search"))
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers[0].SecretName = "for-search" })
	w.untilNewKey("chat", "search", old)
	if w.exists("chat-search", &corev1.Secret{}) {
		t.Error("the old Secret is still there")
	}
}

func TestTwoConsumersThatSwapTheirSecretsGetNewKeys(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: "batch"})
	w.serve(route)
	first, second := keyOf(w.consumerSecret("chat", "search")), keyOf(w.consumerSecret("chat", "batch"))
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Spec.Consumers[0].SecretName, r.Spec.Consumers[1].SecretName = "chat-batch", "chat-search"
	})
	for consumer, old := range map[string]string{"search": first, "batch": second} {
		if secret := w.untilNewKey("chat", consumer, old); keyOf(secret) == first || keyOf(secret) == second {
			t.Errorf("consumer %s has the other one's key", consumer)
		}
	}
}

func TestARouteWithoutReplicasIsReadyAndDeliversNoKey(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	*route.Spec.Proxy.Replicas = 0
	w.create(route)
	w.rollOut("chat")
	ready := w.untilReady("chat")
	if message := conditionOf(ready, v1alpha1.ConditionReady).Message; !strings.Contains(message, "spec.proxy.replicas is 0") {
		t.Errorf("the message is %q", message)
	}
	if w.exists("chat-search", &corev1.Secret{}) {
		t.Error("a key is delivered that no proxy accepts")
	}
}

func TestTheKeyIsNotOnTheDeployment(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	deployment := &appsv1.Deployment{}
	w.get("chat-proxy", deployment)
	if encoded := fmt.Sprint(deployment); strings.Contains(encoded, keyOf(w.consumerSecret("chat", "search"))) || strings.Contains(encoded, "the upstream's key") {
		t.Error("a key is on the Deployment")
	}
}

// untilEvent waits for an event with the given reason.
func (w *world) untilEvent(reason string) {
	w.t.Helper()
	w.eventually("there is an event "+reason, func() error {
		for {
			select {
			case event := <-w.events:
				if strings.Contains(event, " "+reason+" ") {
					return nil
				}
			default:
				return errors.New("there is none yet")
			}
		}
	})
}
