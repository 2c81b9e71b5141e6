//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestAPodsOwnTokenIsAKeyUntilItsServiceAccountIsAnother(t *testing.T) {
	s := newScene(t, nil)
	s.identify("search", "default")
	pod := s.readyPods(t, s.namespace, client.MatchingLabels{"app": "openrouter"}, 1)[0]
	url := s.proxy()
	token := s.tokenOf(pod, v1alpha1.TokenAudience)
	eventually(t, "the pod's token being taken", func() (bool, string) {
		got := s.ask(url, token, pageBody)
		return got.status == http.StatusOK, got.body
	})
	got := s.ask(url, s.tokenOf(pod, "elsewhere"), pageBody)
	if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "needs the audience") {
		t.Errorf("a token for another audience gets HTTP %d: %s", got.status, got.body)
	}
	s.statusShows(s.billed())

	// The controller of ServiceAccounts makes another one of this name at once.
	s.deleteAccount("default")
	eventually(t, "the token being refused", func() (bool, string) {
		got := s.ask(url, token, pageBody)
		return got.status == http.StatusUnauthorized, got.body
	})
}

// identify has a consumer present the tokens of a ServiceAccount in the place of its key.
func (s *scene) identify(consumer, account string) {
	s.t.Helper()
	route := s.live()
	before := route.DeepCopy()
	for i := range route.Spec.Consumers {
		if route.Spec.Consumers[i].Name == consumer {
			route.Spec.Consumers[i].ServiceAccounts = []v1alpha1.ServiceAccountReference{{Name: account}}
		}
	}
	if err := s.Patch(s.t.Context(), route, client.MergeFrom(before)); err != nil {
		s.t.Fatalf("changing the route: %v", err)
	}
}

// tokenOf asks for a token as the kubelet does for a pod's projected volume: it is bound to the pod.
func (s *scene) tokenOf(pod corev1.Pod, audience string) string {
	s.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:      []string{audience},
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if err := s.SubResource("token").Create(s.t.Context(), account, request); err != nil {
		s.t.Fatalf("asking for a token of pod %s: %v", pod.Name, err)
	}
	return request.Status.Token
}

func (s *scene) deleteAccount(name string) {
	s.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	if err := s.Delete(s.t.Context(), account); err != nil {
		s.t.Fatalf("deleting ServiceAccount %s: %v", name, err)
	}
}
