//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

func TestARouteMovesToAGatewayWhereOneKeyReachesAnotherRouteWithAKeyThatIsMadeForIt(t *testing.T) {
	s := newScene(t, nil)
	if got := s.ask(s.proxy(), s.key("search"), pageBody); got.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", got.status, got.body)
	}
	spent := s.billed()

	s.create(&v1alpha1.ModelGateway{
		ObjectMeta: metav1.ObjectMeta{Name: "models", Namespace: s.namespace}, Spec: &v1alpha1.ModelGatewaySpec{},
	})
	s.join("models")
	code := s.fenced("code", "models")
	s.create(code)
	s.create(&v1alpha1.ModelKey{
		ObjectMeta: metav1.ObjectMeta{Name: "both", Namespace: s.namespace},
		Spec:       v1alpha1.ModelKeySpec{RouteRefs: []v1alpha1.RouteReference{{Name: s.route.Name}, {Name: code.Name}}},
	})
	s.waitReady()
	s.waitKeyReady("both")
	s.statusShows(spent) // It moves with the route.
	eventually(t, "the route's own proxies being gone", func() (bool, string) {
		pods := s.pods(t, s.namespace, s.proxyLabels())
		return len(pods) == 0, fmt.Sprintf("%d pods", len(pods))
	})

	gateway := client.MatchingLabels{v1alpha1.LabelGateway: "models", "app.kubernetes.io/name": "modelroute-proxy"}
	url := s.forward(t, s.readyPods(t, s.namespace, gateway, 2)[0], 8080)
	secret := &corev1.Secret{}
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "both"}, secret); err != nil {
		t.Fatal(err)
	}
	if want := "http://models-gateway." + s.namespace + ".svc/v1"; string(secret.Data["OPENAI_BASE_URL"]) != want ||
		string(secret.Data["OPENAI_BASE_URL_2"]) != want {
		t.Errorf("the Secret has other URLs than %s: %q, %q", want, secret.Data["OPENAI_BASE_URL"], secret.Data["OPENAI_BASE_URL_2"])
	}
	both := string(secret.Data["OPENAI_API_KEY"])
	for _, model := range [...]string{"MODEL", "MODEL_2"} {
		body := strings.Replace(pageBody, s.route.Name, string(secret.Data[model]), 1)
		if got := s.ask(url, both, body); got.status != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", secret.Data[model], got.status, got.body)
		}
	}
	if got := s.ask(url, s.key("search"), pageBody); got.status != http.StatusOK { // The key that it had before.
		t.Errorf("HTTP %d: %s", got.status, got.body)
	}
	s.spentTogether(s.billed(), s.route.Name, code.Name)
}

// join has the route served by a gateway.
func (s *scene) join(gateway string) {
	s.t.Helper()
	route := s.live()
	before := route.DeepCopy()
	route.Spec.GatewayRef.Name = gateway
	if err := s.Patch(s.t.Context(), route, client.MergeFrom(before)); err != nil {
		s.t.Fatalf("changing the route: %v", err)
	}
}

// fenced is a route of a gateway whose key at the upstream is made by the operator.
func (s *scene) fenced(name, gateway string) *v1alpha1.ModelRoute {
	s.t.Helper()
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "management", Namespace: s.namespace},
		StringData: map[string]string{"key": managementKey},
	})
	route := pageRoute(s.namespace)
	route.Name, route.Spec.GatewayRef.Name, route.Spec.Consumers = name, gateway, nil
	upstream := &route.Spec.Upstreams[0]
	upstream.APIKeySecretRef = v1alpha1.SecretKeyReference{}
	upstream.ProvisionedKey.ManagementKeySecretRef = v1alpha1.SecretKeyReference{Name: "management", Key: "key"}
	return route
}

func (s *scene) waitKeyReady(name string) {
	s.t.Helper()
	eventually(s.t, "the ModelKey being ready", func() (bool, string) {
		key := &v1alpha1.ModelKey{}
		if err := s.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, key); err != nil {
			s.t.Fatalf("reading the ModelKey: %v", err)
		}
		return meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReady), fmt.Sprintf("%+v", key.Status.Conditions)
	})
}

// spentTogether waits until the statuses of routes show an amount as their spend together.
func (s *scene) spentTogether(amount money.Amount, routes ...string) {
	s.t.Helper()
	eventually(s.t, "the routes having spent "+amount.String()+" USD", func() (bool, string) {
		var sum money.Amount
		for _, name := range routes {
			route := &v1alpha1.ModelRoute{}
			if err := s.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, route); err != nil {
				s.t.Fatalf("reading the route: %v", err)
			}
			if route.Status.Spend == nil {
				return false, name + " shows none"
			}
			spent, err := money.ParseUSD(route.Status.Spend.Total)
			if err != nil {
				s.t.Fatal(err)
			}
			sum = sum.Add(spent)
		}
		return sum.Cmp(amount) == 0, "they show " + sum.String()
	})
}
