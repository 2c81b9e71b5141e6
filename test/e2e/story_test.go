//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

func TestARouteAnswersTheModelPagesRequestAndShowsItsSpend(t *testing.T) {
	s := newScene(t, nil)
	url, key := s.proxy(), s.key("search")

	plain := s.ask(url, key, pageBody)
	if plain.status != http.StatusOK || !strings.Contains(plain.body, `"choices"`) {
		t.Fatalf("plain: HTTP %d: %s", plain.status, plain.body)
	}
	streamed := s.ask(url, key, strings.Replace(pageBody, "{", `{"stream": true,`, 1))
	lines := dataLines(streamed.body)
	if streamed.status != http.StatusOK || len(lines) < 3 || lines[len(lines)-1] != "[DONE]" {
		t.Fatalf("streamed: HTTP %d: %s", streamed.status, streamed.body)
	}

	billed := s.billed()
	if billed.IsZero() {
		t.Fatal("the upstream billed nothing")
	}
	s.eventsTellOfKeys()
	s.statusShows(billed)
}

// eventsTellOfKeys waits until there is an event for each consumer's key.
func (s *scene) eventsTellOfKeys() {
	s.t.Helper()
	eventually(s.t, "an event for each consumer's key", func() (bool, string) {
		var events eventsv1.EventList
		if err := s.List(s.t.Context(), &events, client.InNamespace(s.namespace)); err != nil {
			s.t.Fatalf("listing events: %v", err)
		}
		told := map[string]bool{}
		for _, event := range events.Items {
			for _, consumer := range s.route.Spec.Consumers {
				if event.Reason == "KeyIssued" && strings.Contains(event.Note, "for consumer "+consumer.Name+".") {
					told[consumer.Name] = true
				}
			}
		}
		return len(told) == len(s.route.Spec.Consumers), fmt.Sprintf("%v", told)
	})
}

func TestABudgetIsDeniedBeforeItIsOverspentAndOthersGoOn(t *testing.T) {
	s := newScene(t, nil)
	url, key := s.proxy(), s.key("trial")
	body := strings.Replace(pageBody, "{", `{"max_completion_tokens": 256,`, 1)

	var denied answer
	for range 200 {
		if denied = s.ask(url, key, body); denied.status != http.StatusOK {
			break
		}
	}
	if denied.status != http.StatusPaymentRequired || denied.header.Get("X-Should-Retry") != "false" ||
		!strings.Contains(denied.body, `"budget_exhausted"`) {
		t.Fatalf("denied with HTTP %d, %v: %s", denied.status, denied.header, denied.body)
	}
	spent := s.billed()
	if limit := money.FromNano(money.NanoPerUSD / 100); spent.Cmp(limit) > 0 {
		t.Errorf("the upstream billed %s USD on a budget of %s USD", spent, limit)
	}
	if other := s.ask(url, s.key("search"), pageBody); other.status != http.StatusOK {
		t.Errorf("another consumer got HTTP %d: %s", other.status, other.body)
	}
	s.statusShows(s.billed())
	eventually(t, "the status saying that the budget is used up", func() (bool, string) {
		state := s.live().Status.Consumers[1].Budgets[0].State
		return state == "Exhausted", string(state)
	})
}

func TestSpendIsKeptWhenAnyPodIsKilled(t *testing.T) {
	s := newScene(t, nil)
	key := s.key("search")
	ask := func() {
		t.Helper()
		if got := s.ask(s.proxy(), key, pageBody); got.status != http.StatusOK {
			t.Fatalf("HTTP %d: %s", got.status, got.body)
		}
	}
	ask()
	for _, victim := range []struct {
		what, namespace string
		labels          client.MatchingLabels
		count           int
	}{
		{"a proxy", s.namespace, s.proxyLabels(), 2},
		{"the ledger", operatorNamespace, client.MatchingLabels{"app.kubernetes.io/name": "modelroute-ledger"}, 1},
		{"the manager", operatorNamespace, client.MatchingLabels{"app.kubernetes.io/name": "modelroute-manager"}, 1},
	} {
		t.Log("killing " + victim.what)
		pod := s.readyPods(t, victim.namespace, victim.labels, victim.count)[0]
		s.kill(t, pod)
		s.readyPods(t, victim.namespace, victim.labels, victim.count, pod)
		ask()
		s.statusShows(s.billed())
	}
}

func TestADeletedRouteLeavesNothingBehindButItsSpend(t *testing.T) {
	s := newScene(t, nil)
	if got := s.ask(s.proxy(), s.key("search"), pageBody); got.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", got.status, got.body)
	}
	spent := s.billed()
	s.deleteRoute()
	s.waitGone()
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "openrouter"}, &corev1.Secret{}); err != nil {
		t.Errorf("the upstream's Secret, which is not the route's, is gone as well: %v", err)
	}

	s.create(s.route.DeepCopy())
	s.waitReady()
	s.statusShows(spent)
}

func TestAStreamInFlightWhenItsRouteIsDeletedIsFinishedAndBooked(t *testing.T) {
	s := newScene(t, nil)
	// It takes eight seconds: far longer than the deletion, and well within the route's timeout.
	body := `{"model":"mixtral-8x22b-instruct","stream":true,` +
		`"messages":[{"role":"user","content":"Say something. [[fault: answer=40,chunk-delay=200ms]]"}]}`
	response := s.begin(s.proxy(), s.key("search"), body)
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, 1)); err != nil {
		t.Fatalf("the stream did not begin: %v", err)
	}
	s.deleteRoute()
	rest, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(rest)), "data: [DONE]") {
		t.Fatalf("the stream was not finished (%v): %s", err, rest)
	}
	s.waitGone()

	s.create(s.route.DeepCopy())
	s.waitReady()
	s.statusShows(s.billed())
}

func TestADeletedSecretIsMadeAnewWithAnotherKey(t *testing.T) {
	s := newScene(t, nil)
	old := s.key("search")
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = s.namespace, s.route.Name+"-search"
	if err := s.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new Secret", func() (bool, string) {
		err := s.Get(t.Context(), client.ObjectKeyFromObject(secret), secret)
		return err == nil, "it is not there"
	})
	url := s.proxy()
	if got := s.ask(url, s.key("search"), pageBody); got.status != http.StatusOK {
		t.Errorf("the new key gets HTTP %d: %s", got.status, got.body)
	}
	if got := s.ask(url, old, pageBody); got.status != http.StatusUnauthorized {
		t.Errorf("the old key gets HTTP %d, want 401", got.status)
	}
}

func (s *scene) deleteRoute() {
	s.t.Helper()
	if err := s.Delete(s.t.Context(), s.route.DeepCopy()); err != nil {
		s.t.Fatalf("deleting the route: %v", err)
	}
}

// waitGone waits until nothing is left of what was made for the route.
func (s *scene) waitGone() {
	s.t.Helper()
	mine := client.MatchingLabels{v1alpha1.LabelRoute: s.route.Name}
	lists := []client.ObjectList{
		&appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&corev1.SecretList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	}
	eventually(s.t, "nothing being left of the route", func() (bool, string) {
		for _, list := range lists {
			if err := s.List(s.t.Context(), list, client.InNamespace(s.namespace), mine); err != nil {
				s.t.Fatalf("listing: %v", err)
			}
			if left := items(list); left > 0 {
				return false, strings.TrimPrefix(strings.TrimSuffix(typeName(list), "List"), "*")
			}
		}
		err := s.Get(s.t.Context(), client.ObjectKeyFromObject(s.route), &v1alpha1.ModelRoute{})
		return apierrors.IsNotFound(err), "the route itself"
	})
}
