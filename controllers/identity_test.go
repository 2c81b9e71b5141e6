package controllers

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestAPodsOwnTokenIsTakenInThePlaceOfAKey(t *testing.T) {
	w := newWorld(t)
	crawler, indexer := w.account(w.namespace, "crawler"), w.account(w.namespace, "indexer")
	p := w.serveForReal(w.identified(crawler))
	route := w.untilReady("chat")
	p.until(http.StatusOK, w.tokenOf(crawler, v1alpha1.TokenAudience))
	p.until(http.StatusOK, w.tokenOf(crawler, "elsewhere", v1alpha1.TokenAudience))

	want := []v1alpha1.ConsumerStatus{{Name: "search", ServiceAccounts: []string{w.namespace + "/crawler"}}}
	got := []v1alpha1.ConsumerStatus{{Name: route.Status.Consumers[0].Name, ServiceAccounts: route.Status.Consumers[0].ServiceAccounts,
		SecretName: route.Status.Consumers[0].SecretName, KeyID: route.Status.Consumers[0].KeyID}}
	if diff := cmp.Diff(want, got); diff != "" || w.exists("chat-search", &corev1.Secret{}) {
		t.Errorf("the status, beside the spend (-want +got):\n%s", diff)
	}
	for reason, refused := range map[string]struct{ token, message string }{
		"a token for the API server":            {w.tokenOf(crawler), `needs the audience "modelroute"`},
		"one for another audience":              {w.tokenOf(crawler, ledgerAudience), `needs the audience "modelroute"`},
		"one of a ServiceAccount without a say": {w.tokenOf(indexer, v1alpha1.TokenAudience), "ServiceAccount " + w.namespace + "/indexer may use no model here"},
		"one whose last letter is another":      {spoilt(w.tokenOf(crawler, v1alpha1.TokenAudience)), "signature of the token is wrong"},
	} {
		if status, message := p.models(refused.token); status != http.StatusUnauthorized || !strings.Contains(message, refused.message) {
			t.Errorf("%s is answered with %d %q", reason, status, message)
		}
	}
}

// spoilt is a token with another signature.
func spoilt(token string) string {
	at, other := len(token)-10, "A"
	if token[at] == 'A' {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

func TestTokensOfADeletedServiceAccountAreRefusedThoughThereIsANewOneOfItsName(t *testing.T) {
	w := newWorld(t)
	first := w.account(w.namespace, "crawler")
	p := w.serveForReal(w.identified(first))
	w.untilReady("chat")
	old := w.tokenOf(first, v1alpha1.TokenAudience)
	p.until(http.StatusOK, old)

	w.delete(first)
	w.reconcile() // as it is each minute
	p.until(http.StatusUnauthorized, old)
	route := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonServiceAccountNotFound)
	want := "Of consumer search: ServiceAccount " + w.namespace + "/crawler does not exist"
	if message := conditionOf(route, v1alpha1.ConditionResolvedRefs).Message; !strings.HasPrefix(message, want) {
		t.Errorf("the message is %q", message)
	}

	second := w.account(w.namespace, "crawler")
	w.reconcile()
	p.until(http.StatusOK, w.tokenOf(second, v1alpha1.TokenAudience))
	p.until(http.StatusUnauthorized, old)
	w.untilReady("chat")
}

func TestAConsumerMovesFromAKeyToAServiceAccountAndBack(t *testing.T) {
	w := newWorld(t)
	crawler := w.account(w.namespace, "crawler")
	p := w.serveForReal(w.openRoute())
	key := keyOf(w.consumerSecret("chat", "search"))
	token := w.tokenOf(crawler, v1alpha1.TokenAudience)
	p.until(http.StatusOK, key)
	p.until(http.StatusUnauthorized, token)

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = w.identified(crawler).Spec.Consumers })
	p.until(http.StatusOK, token)
	p.until(http.StatusUnauthorized, key)
	w.untilReady("chat")
	w.eventually("the Secret is gone", func() error {
		if w.exists("chat-search", &corev1.Secret{}) {
			return errIsThere
		}
		return nil
	})

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = w.route().Spec.Consumers })
	p.until(http.StatusUnauthorized, token)
	next := keyOf(w.consumerSecret("chat", "search"))
	p.until(http.StatusOK, next)
	if next == key {
		t.Error("the old key is back")
	}
}

func TestAServiceAccountThatIsMissingHarmsNobodyElse(t *testing.T) {
	w := newWorld(t)
	crawler := w.account(w.namespace, "crawler")
	route := w.identified(crawler)
	route.Spec.Consumers = append(route.Spec.Consumers,
		v1alpha1.Consumer{Name: "batch"},
		v1alpha1.Consumer{Name: "ads", ServiceAccounts: []v1alpha1.ServiceAccountReference{{Namespace: "nowhere", Name: "ads"}}})
	p := w.serveForReal(route)
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonServiceAccountNotFound)
	p.until(http.StatusOK, w.tokenOf(crawler, v1alpha1.TokenAudience))
	p.until(http.StatusOK, keyOf(w.consumerSecret("chat", "batch")))
}

func TestOtherRoutesAreNotToldOfTheIssuer(t *testing.T) {
	w := newWorld(t)
	w.serve(w.openRoute())
	if issuer := w.proxyConfig("chat").Issuer; issuer != nil {
		t.Errorf("a route without ServiceAccounts has %+v", issuer)
	}
}

func TestAModelKeyOfServiceAccountsHasNoSecret(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	crawler, indexer := w.account(tenant, "crawler"), w.account(tenant, "indexer")
	p := w.serveForReal(w.openRoute())
	w.create(w.modelKey(tenant, "chat"))
	w.untilKeyReady(tenant)
	key := keyOf(w.keySecret(tenant))

	changeIn(w, tenant, "crawler", &v1alpha1.ModelKey{}, func(k *v1alpha1.ModelKey) {
		k.Spec.ServiceAccounts = []v1alpha1.LocalServiceAccountReference{{Name: "crawler"}, {Name: "indexer"}}
	})
	p.until(http.StatusOK, w.tokenOf(crawler, v1alpha1.TokenAudience))
	p.until(http.StatusOK, w.tokenOf(indexer, v1alpha1.TokenAudience))
	p.until(http.StatusUnauthorized, key)
	got := w.untilKey(tenant, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.eventually("the status has no key, and says whose tokens are accepted", func() error {
		w.getIn(tenant, "crawler", got)
		isSaid := slices.ContainsFunc(got.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionReady && strings.HasSuffix(c.Message, "of ServiceAccount crawler, indexer.")
		})
		if !isSaid || got.Status.KeyID != "" || got.Status.SecretName != "" || w.hasKeySecret(tenant) {
			return errors.New("it does not")
		}
		return nil
	})

	w.delete(got)
	p.until(http.StatusUnauthorized, w.tokenOf(crawler, v1alpha1.TokenAudience))
}

func TestAModelKeySaysWhichOfItsServiceAccountsIsMissing(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	crawler := w.account(tenant, "crawler")
	p := w.serveForReal(w.openRoute())
	key := w.modelKey(tenant, "chat")
	key.Spec.ServiceAccounts = []v1alpha1.LocalServiceAccountReference{{Name: "crawler"}, {Name: "indexer"}}
	w.create(key)
	w.untilKey(tenant, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonServiceAccountNotFound)
	p.until(http.StatusOK, w.tokenOf(crawler, v1alpha1.TokenAudience))
	w.account(tenant, "indexer")
	w.untilKeyReady(tenant)
}

func TestAServiceAccountStandsForTheRoutesConsumerBeforeAnyModelKey(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	crawler, indexer := w.account(tenant, "crawler"), w.account(tenant, "indexer")
	p := w.serveForReal(w.identified(crawler))
	key := w.modelKey(tenant, "chat")
	key.Spec.ServiceAccounts = []v1alpha1.LocalServiceAccountReference{{Name: "crawler"}, {Name: "indexer"}}
	w.create(key)
	got := w.untilKey(tenant, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonServiceAccountTaken)
	if got.Status.Routes[0].State != v1alpha1.KeyAccountTaken {
		t.Errorf("the route is %+v", got.Status.Routes[0])
	}
	w.untilServed("chat", "search", 1)
	if served := w.untilServed("chat", tenant+"/crawler", 1); served[0].Name != "indexer" {
		t.Errorf("the ModelKey has %v", served)
	}
	w.untilReady("chat")
	p.until(http.StatusOK, w.tokenOf(indexer, v1alpha1.TokenAudience))

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = nil })
	w.untilServed("chat", tenant+"/crawler", 2)
	w.untilKeyReady(tenant)
}

func TestAnAPIServerThatKeepsItsKeysToItselfSaysWhatToBind(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.manager = rest.ImpersonationConfig{UserName: managerUser} // in none of the groups of a ServiceAccount
	w.startManager()
	route := w.identified(w.account(w.namespace, "crawler"))
	route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: "batch"})
	w.create(route)
	w.runPod("chat", "chat-pod")
	w.runProxy("chat", "chat-pod")
	got := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonIssuerUnavailable)
	message := conditionOf(got, v1alpha1.ConditionResolvedRefs).Message
	if !strings.Contains(message, "bind the ClusterRole system:service-account-issuer-discovery") {
		t.Errorf("the message is %q", message)
	}
	w.consumerSecret("chat", "batch")
	w.untilServed("chat", "search", 0)
}

func TestOneTokenReachesTheRoutesOfAGatewayThatNameItsServiceAccount(t *testing.T) {
	w := newWorld(t)
	p := serveFront(t, w, "chat", "code", "other")
	crawler := w.account(w.namespace, "crawler")
	for _, route := range []string{"chat", "code"} {
		change(w, route, &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = w.identified(crawler).Spec.Consumers })
	}
	token := w.tokenOf(crawler, v1alpha1.TokenAudience)
	p.untilModels(token, "chat", "code")
	w.untilReady("chat")

	// Of two models of one name a token reaches that of the older route, and nobody else is harmed.
	key := keyOf(w.consumerSecret("other", "search"))
	change(w, "code", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Name = "chat" })
	p.untilModels(token, "chat")
	p.untilModels(key, "other")

	for _, route := range []string{"chat", "code"} {
		change(w, route, &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Consumers = nil })
	}
	p.untilModels(token)
	p.untilModels(key, "other")
}
