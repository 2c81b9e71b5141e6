package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

func TestAKeyIsMadeForTheUpstreamAndOnlyThatGoesToTheProxies(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	route := p.untilWell()
	key := p.untilWorks("")
	keys := p.untilKeys(1)
	if want := compile.UpstreamKeyName(route, "openrouter"); keys[0].Name != want || keys[0].limit() != "220 monthly" {
		t.Errorf("the key at the upstream is %+v with the limit %s, and is to be %s with 220 monthly", keys[0], keys[0].limit(), want)
	}
	p.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	p.eventually("the status shows the key", func() error {
		p.get("chat", route)
		if len(route.Status.Upstreams) == 0 || route.Status.Upstreams[0].ProvisionedKey == nil {
			return errors.New("it does not")
		}
		return nil
	})
	shown := route.Status.Upstreams[0].ProvisionedKey
	if shown.Hash != keys[0].Hash || shown.Limit != "220.00 USD monthly" || shown.CreateTime.IsZero() || len(shown.PreviousHashes) > 0 {
		t.Errorf("the status shows %+v", shown)
	}
	if events := p.eventsOf(eventUpstreamKeyMade); len(events) != 1 {
		t.Errorf("the events are %q", events)
	}

	deployment := &appsv1.Deployment{}
	p.eventually("the proxies are there", func() error {
		if !p.exists("chat-proxy", deployment) {
			return errors.New("they are not")
		}
		return nil
	})
	encoded, err := json.Marshal([]any{deployment, route})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{key, testManagement, `"secretName":"management"`} {
		if strings.Contains(string(encoded), secret) {
			t.Errorf("%s is in %s", secret, encoded)
		}
	}
	mounted := slices.ContainsFunc(deployment.Spec.Template.Spec.Volumes, func(volume corev1.Volume) bool {
		return volume.Secret != nil && volume.Secret.SecretName == "chat.upstream.openrouter"
	})
	if !mounted {
		t.Error("the proxies do not mount the key")
	}
}

func TestNothingIsWrittenWhereNothingChanged(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	p.reconcile()
	p.look()
	p.later(time.Hour)
	p.rests()
	p.stopManager() // Two passes at a time over one route would be in each other's way.
	before := p.writes.Load()
	for range 3 {
		p.look()
		p.reconcile()
	}
	if writes := p.writes.Load() - before; writes != 0 {
		t.Errorf("%d writes", writes)
	}
	p.untilKeys(1)
}

func TestTheLimitIsRaisedBeforeTheLedgerAllowsMore(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	p.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	p.eventually("the ledger is told", func() error {
		if p.puts.Load() == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	told, answers := p.puts.Load(), make(chan struct{})
	p.holds.Store(&answers)
	change(p.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) { route.Spec.Budgets[0].Amount = "200.00" })
	<-p.patches
	p.reconcile() // of the new budget, which both reconcilers know by now
	if now := p.puts.Load(); now != told {
		t.Errorf("the ledger was told of more while the limit was still to be raised")
	}
	close(answers)
	p.eventually("the ledger is told of more", func() error {
		if p.puts.Load() == told {
			return errors.New("it is not")
		}
		return nil
	})
	if limit := p.untilKeys(1)[0].limit(); limit != "440 monthly" {
		t.Errorf("the limit is %s", limit)
	}
}

func TestALimitIsLoweredOnceTheLowerBudgetIsInForce(t *testing.T) {
	p := newProvisioning(t)
	route := p.fenced()
	route.Spec.Budgets[0].Window.TimeZone = ""
	p.create(route)
	p.untilWell()
	p.runPod("chat", "one")
	p.runProxy("chat", "one")
	p.untilReady("chat")
	told := p.puts.Load()
	change(p.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) { route.Spec.Budgets[0].Amount = "50.00" })
	if atChange := <-p.patches; atChange == told {
		t.Error("the limit was lowered before the ledger was told")
	}
	p.eventually("the limit is lower", func() error {
		if limit := p.keysAtUpstream()[0].limit(); limit != "55 monthly" {
			return fmt.Errorf("it is %s", limit)
		}
		return nil
	})
}

func TestABudgetIsRaisedAlsoWhileTheUpstreamIsDown(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	key := p.untilWorks("")
	p.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	p.isDown.Store(true)
	p.eventually("the ledger is told", func() error {
		if p.puts.Load() == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	told := p.puts.Load()
	change(p.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) { route.Spec.Budgets[0].Amount = "200.00" })
	p.untilProvisioned(metav1.ConditionFalse, v1alpha1.ReasonProvisioningFailed)
	p.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	p.clock.ahead.Add(int64(awaitLimit))
	p.eventually("the ledger is told of more", func() error {
		if p.puts.Load() == told {
			return errors.New("it is not")
		}
		return nil
	})
	if p.keyInSecret() != key {
		t.Error("the key is another")
	}
	p.isDown.Store(false)
	p.untilWell()
	if limit := p.untilKeys(1)[0].limit(); limit != "440 monthly" {
		t.Errorf("the limit is %s", limit)
	}
}

func TestARouteWaitsForItsManagementKey(t *testing.T) {
	p := newProvisioning(t)
	management := &corev1.Secret{}
	p.get(managementSecret, management)
	p.delete(management)
	p.create(p.fenced())
	p.untilProvisioned(metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	p.eventually("the route says what it waits for", func() error {
		route := p.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonUpstreamKeyPending)
		for _, condition := range route.Status.Conditions {
			if condition.Type == v1alpha1.ConditionReady && strings.Contains(condition.Message, `Secret "management" does not exist`) {
				return nil
			}
		}
		return fmt.Errorf("the conditions are %v", route.Status.Conditions)
	})
	management.ResourceVersion = ""
	p.create(management)
	p.look()
	p.untilWell()
	p.untilWorks("")
}

func TestAKeyWhoseAnswerWasLostIsNotLeftBehind(t *testing.T) {
	p := newProvisioning(t)
	p.losesAnswers.Store(true)
	p.create(p.fenced())
	p.untilProvisioned(metav1.ConditionFalse, v1alpha1.ReasonProvisioningFailed)
	p.eventually("a key was made that nobody has", func() error {
		if len(p.keysAtUpstream()) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	p.losesAnswers.Store(false)
	p.untilWell()
	key := p.untilWorks("")
	p.later(25 * time.Hour)
	p.untilKeys(1)
	if !p.works(key) {
		t.Error("the key in the Secret was deleted, and not the others")
	}
}

func TestAKeyIsRotatedWithAnOverlap(t *testing.T) {
	p := newProvisioning(t)
	route := p.fenced()
	route.Spec.Upstreams[0].ProvisionedKey.Rotation = v1alpha1.UpstreamKeyRotation{IntervalDays: 30, OverlapHours: 2}
	p.create(route)
	p.untilWell()
	first := p.untilWorks("")
	p.later(29 * 24 * time.Hour)
	p.untilWell()
	if p.keyInSecret() != first {
		t.Fatal("the key was replaced too early")
	}
	p.losesAnswers.Store(true) // as if the manager had ended between the making of the key and the writing of it
	p.later(25 * time.Hour)
	p.eventually("a key was made that nobody has", func() error {
		if len(p.keysAtUpstream()) < 2 {
			return errors.New("there is none")
		}
		return nil
	})
	p.losesAnswers.Store(false)
	second := p.untilWorks(first)
	p.untilKeys(2)
	if !p.works(first) {
		t.Error("the first key cannot be used any more while proxies still have it")
	}
	p.later(3 * time.Hour)
	p.untilKeys(1)
	if p.works(first) || !p.works(second) {
		t.Error("the wrong key was deleted")
	}
}

func TestWhatIsDoneToAKeyAtTheUpstreamIsNoticed(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	first := p.untilWorks("")
	hash := p.untilKeys(1)[0].Hash

	p.changeAtUpstream(http.MethodPatch, hash, `{"limit":100000}`)
	p.look()
	p.eventually("the limit is put back", func() error {
		if limit := p.keysAtUpstream()[0].limit(); limit != "220 monthly" {
			return fmt.Errorf("it is %s", limit)
		}
		return nil
	})
	p.changeAtUpstream(http.MethodPatch, hash, `{"disabled":true}`)
	p.look()
	p.untilProvisioned(metav1.ConditionFalse, v1alpha1.ReasonUpstreamKeyDisabled)
	p.eventually("an event tells of it", func() error {
		if len(p.eventsOf(v1alpha1.ReasonUpstreamKeyDisabled)) == 0 {
			return errors.New("none does")
		}
		return nil
	})
	if p.keyInSecret() != first {
		t.Error("a disabled key was replaced")
	}
	p.changeAtUpstream(http.MethodDelete, hash, "")
	p.look()
	p.untilWorks(first)
	p.untilWell()
	p.untilKeys(1)
}

func TestASecretThatIsLostOrEditedGetsAnotherKey(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	first := p.untilWorks("")
	secret := &corev1.Secret{}
	change(p.world, "chat.upstream.openrouter", secret, func(secret *corev1.Secret) {
		secret.Data[compile.UpstreamKeyFile] = []byte("sk-or-of-somebody-else")
	})
	second := p.untilWorks(first)
	p.untilKeys(2)
	p.delete(secret)
	third := p.untilWorks(second)
	p.untilKeys(3)
	p.later(25 * time.Hour)
	p.untilKeys(1)
	if p.works(first) || p.works(second) || !p.works(third) {
		t.Error("the wrong keys were deleted")
	}
}

func TestASecretOfSomebodyElseIsLeftAloneAndItsKeyIsNotUsed(t *testing.T) {
	p := newProvisioning(t)
	foreign := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "chat.upstream.openrouter"},
		Data:       map[string][]byte{compile.UpstreamKeyFile: []byte("sk-or-of-somebody-else")},
	}
	p.create(foreign)
	p.create(p.fenced())
	p.untilProvisioned(metav1.ConditionFalse, v1alpha1.ReasonChildNotOwned)
	p.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonUpstreamKeyPending)
	if p.keyInSecret() != "sk-or-of-somebody-else" {
		t.Error("the Secret was changed")
	}
	p.delete(foreign)
	p.look()
	p.untilWell()
	p.later(25 * time.Hour)
	p.untilKeys(1) // whatever was made in vain is gone
}

func TestAnUpstreamThatNamesAKeyOfItsOwnAgainLosesTheOneThatWasMade(t *testing.T) {
	p := newProvisioning(t)
	p.create(p.fenced())
	p.untilWell()
	key := p.untilWorks("")
	change(p.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		route.Spec.Upstreams[0].APIKeySecretRef = v1alpha1.SecretKeyReference{Name: upstreamSecret, Key: upstreamKey}
		route.Spec.Upstreams[0].ProvisionedKey = v1alpha1.ProvisionedKey{}
	})
	p.untilWell()
	if !p.works(key) {
		t.Error("the key was deleted while requests were sent with it")
	}
	p.later(2 * time.Hour)
	p.untilKeys(0)
	p.eventually("nothing is left of it", func() error {
		route := &v1alpha1.ModelRoute{}
		p.get("chat", route)
		if p.keyInSecret() != "" || len(route.Finalizers) > 0 {
			return fmt.Errorf("the finalizers are %v", route.Finalizers)
		}
		for _, condition := range route.Status.Conditions {
			if condition.Type == v1alpha1.ConditionUpstreamKeysProvisioned {
				return fmt.Errorf("a condition says %s", condition.Message)
			}
		}
		return nil
	})
}
