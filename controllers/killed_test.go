package controllers

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/keys"
)

// writesOfARoute is how many writes a manager makes, at the most, until a route of one proxy and one consumer is ready and quiet: what is
// tried, the children, the consumer's Secret, and the status some times.
const writesOfARoute = 14

// TestAManagerThatIsKilledAnywhereLeavesNothingThatTheNextOneDoesNotFinish kills a manager after each of its writes, of which it never
// learns that it was made.
func TestAManagerThatIsKilledAnywhereLeavesNothingThatTheNextOneDoesNotFinish(t *testing.T) {
	want := []string{
		"Deployment chat-proxy", "Role chat-proxy", "RoleBinding chat-proxy", "Secret chat-search", "Secret chat.config", "Service chat",
		"ServiceAccount chat-proxy",
	}
	for writes := range int64(writesOfARoute) {
		t.Run(fmt.Sprintf("AfterWrite%d", writes), func(t *testing.T) {
			w := newWorldAt(t, testRealClock)
			w.killAfter(writes)
			w.startManager()
			w.create(w.route())
			w.serveUntilKilled()
			w.stopManager()
			w.revive()
			w.startManager()
			w.serveWhatIsThere()
			route := w.untilReady("chat")

			owned := w.ownedBy(route)
			slices.Sort(owned)
			if diff := cmp.Diff(want, owned); diff != "" {
				t.Errorf("the children (-want +got):\n%s", diff)
			}
			delivered := keys.Hash(keyOf(w.consumerSecret("chat", "search")))
			if accepted := w.acceptedHashes("chat", "search"); !slices.Equal(accepted, []string{delivered}) {
				t.Errorf("%v are accepted, but %s is delivered", accepted, delivered)
			}
		})
	}
}

// serveWhatIsThere runs a proxy as soon as there is a Deployment, if none runs yet.
func (w *world) serveWhatIsThere() {
	w.t.Helper()
	if !w.exists("chat-pod", &corev1.Pod{}) {
		w.runPod("chat", "chat-pod")
		w.runProxy("chat", "chat-pod")
	}
}

// serveUntilKilled runs a proxy as soon as there is a Deployment, until the manager can write no more, or has nothing more to write.
func (w *world) serveUntilKilled() {
	w.t.Helper()
	w.eventually("the manager is killed, or done", func() error {
		if w.writesLeft.Load() <= 0 {
			return nil
		}
		route := &v1alpha1.ModelRoute{}
		if w.exists("chat", route); conditionOf(route, v1alpha1.ConditionReady).Reason == v1alpha1.ReasonReady {
			return nil
		}
		if w.exists("chat-proxy", &appsv1.Deployment{}) {
			w.serveWhatIsThere()
		}
		return errors.New("neither")
	})
}
