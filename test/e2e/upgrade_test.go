//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// previous is the folder with the tree that hack/previous.sh has taken from an earlier commit, and what it calls that tree's image.
const previous = "previous"

// longQuestion is answered by a stream of some twenty seconds: longer than anything that is replaced needs to go and to come.
const longQuestion = `{"model":"mixtral-8x22b-instruct","stream":true,"max_completion_tokens":256,` +
	`"messages":[{"role":"user","content":"Say something. [[fault: answer=100,chunk-delay=200ms]]"}]}`

// TestAnUpgradeCutsNoStreamRefusesNoRequestAndLosesNoSpend installs an earlier commit by its own manifests, and then this tree by its own,
// while a consumer asks without a pause. Make runs it before all others, on a cluster that nothing newer was installed in: a ledger refuses
// the books of a newer one.
func TestAnUpgradeCutsNoStreamRefusesNoRequestAndLosesNoSpend(t *testing.T) {
	install(t.Context(), t, "bin/"+previous+"/config/default", previous)
	s := newScene(t, func(route *v1alpha1.ModelRoute) { route.Spec.Upstreams[0].TimeoutSeconds = 120 })
	before := s.programs()
	search, trial := s.key("search"), s.key("trial")
	l := s.newLoad(s.service())
	l.begin(4, "search", shortQuestion)
	l.begin(6, "search", longQuestion)
	l.awaitMore("search", http.StatusOK, 100)

	install(t.Context(), t, "config/default")
	after := s.replaced(before)
	replaced := time.Now()
	for _, pods := range before {
		s.awaitEnd(t, pods)
	}
	l.awaitMore("search", http.StatusOK, 100)
	l.end()
	l.wantOnly("everything was upgraded", outcome{"search", http.StatusOK})

	if l.streamsAcross(replaced) == 0 {
		t.Error("no stream ran while the proxies were replaced")
	}
	if s.key("search") != search || s.key("trial") != trial {
		t.Error("the upgrade has made new keys")
	}
	s.waitReady()
	s.statusShows(s.billed())
	ledger := after["ledger"][0]
	if verdict, err := s.exec(t, ledger, "/ledger", "verify"); err != nil || !strings.Contains(verdict, "The books agree with themselves.") {
		t.Errorf("ledger verify: %v\n%s", err, verdict)
	}
}

// programs are the pods of each program.
func (s *scene) programs(not ...corev1.Pod) map[string][]corev1.Pod {
	s.t.Helper()
	return map[string][]corev1.Pod{
		"ledger":  s.readyPods(s.t, operatorNamespace, ledgerLabels, 1, not...),
		"manager": s.readyPods(s.t, operatorNamespace, client.MatchingLabels{"app.kubernetes.io/name": "modelroute-manager"}, 1, not...),
		"proxy":   s.readyPods(s.t, s.namespace, s.proxyLabels(), 2, not...),
	}
}

// replaced waits until other pods have taken the place of all of these, and expects that each runs another image.
func (s *scene) replaced(before map[string][]corev1.Pod) map[string][]corev1.Pod {
	s.t.Helper()
	var old []corev1.Pod
	for _, pods := range before {
		old = append(old, pods...)
	}
	after := s.programs(old...)
	image := after["manager"][0].Spec.Containers[0].Image
	for program, pods := range after {
		was, is := before[program][0].Spec.Containers[0].Image, pods[0].Spec.Containers[0].Image
		if was == is || is != image {
			s.t.Errorf("the image of the %s was %s and is %s, and that of the manager is %s", program, was, is, image)
		}
	}
	return after
}

// service is the base URL of the route's Service, which balances over its proxies, as clients in the cluster see it.
func (s *scene) service() string {
	s.t.Helper()
	s.addressOfThisMachine(s.t)
	service := &corev1.Service{}
	if err := s.Get(s.t.Context(), client.ObjectKeyFromObject(s.route), service); err != nil {
		s.t.Fatalf("reading the route's Service: %v", err)
	}
	return "http://" + service.Spec.ClusterIP
}
