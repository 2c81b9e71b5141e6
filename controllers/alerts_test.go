package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// watched is a route whose status follows the ledger, with the alerts that were announced.
type watched struct {
	t     *testing.T
	route *v1alpha1.ModelRoute
	r     *ModelRouteReconciler
	notes chan string
}

func watch(t *testing.T) *watched {
	t.Helper()
	notes := make(chan string, 100)
	return &watched{
		t: t, route: limitedRoute(), notes: notes, r: &ModelRouteReconciler{Events: &events.FakeRecorder{Events: notes}},
	}
}

// step writes the figures of usage to the status, and returns which alerts that announced.
func (w *watched) step(usage *ledgerpb.RouteUsage) []string {
	w.t.Helper()
	shown, _ := projectSpend(w.route, usage, noon)
	next := w.route.DeepCopy()
	next.Status.Spend, next.Status.Budgets = shown.Spend, shown.Budgets
	next.Status.Consumers = consumerStatuses(newScope(w.route, noon), shown)
	w.r.tell(w.route, next.Status)
	w.route = next
	var alerts []string
	for {
		select {
		case note := <-w.notes:
			if alert, found := strings.CutPrefix(note, "Warning BudgetAlert "); found {
				alerts = append(alerts, alert)
			}
		default:
			return alerts
		}
	}
}

const dollars = 1_000_000_000

func TestEachAlertIsAnnouncedOnceInAWindow(t *testing.T) {
	w := watch(t)
	w.route.Spec.Consumers = nil
	raised := func(usage *ledgerpb.RouteUsage) *ledgerpb.RouteUsage {
		usage.Budgets[0].Budget.Limit = 200 * dollars
		return usage
	}
	december := func(usage *ledgerpb.RouteUsage) *ledgerpb.RouteUsage {
		usage.Budgets[0].WindowStart = usage.Budgets[0].GetWindowEnd()
		return usage
	}
	fifty, eighty := "The budget monthly of 100.00 USD is used to 50 percent.", "The budget monthly of 100.00 USD is used to 80 percent."
	for _, step := range []struct {
		reason string
		usage  *ledgerpb.RouteUsage
		want   []string
	}{
		{"nothing is reached at 49 percent", usageOf(49*dollars, 0, 0), nil},
		{"half is reached", usageOf(50*dollars, 0, 0), []string{fifty}},
		{"half was announced", usageOf(60*dollars, 0, 0), nil},
		{"what is uncertain counts", usageOf(60*dollars, 20*dollars, 0), []string{eighty}},
		{"it falls when it turns out to be less", usageOf(60*dollars, 0, 0), nil},
		{"and is not announced again when it rises again", usageOf(85*dollars, 0, 0), nil},
		{"nor after the amount was raised", raised(usageOf(85*dollars, 0, 0)), nil},
		{"nor once that is used", raised(usageOf(170*dollars, 0, 0)), nil},
		{"a new window begins anew, and both can be reached at a stroke", december(usageOf(90*dollars, 0, 0)), []string{fifty, eighty}},
	} {
		if diff := cmp.Diff(step.want, w.step(step.usage)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.reason, diff)
		}
	}
}

func TestAnAlertSurvivesTheManager(t *testing.T) {
	w := watch(t)
	if got := w.step(usageOf(9*dollars, 0, 0)); len(got) != 1 {
		t.Fatalf("alerts %q, want that of the consumer's budget", got)
	}
	// The next manager knows nothing but the status.
	next := watch(t)
	next.route = w.route.DeepCopy()
	next.route.Status.Spend.UpdateTime = metav1.NewTime(noon.Add(-time.Hour))
	if got := next.step(usageOf(9*dollars+1, 0, 0)); len(got) != 0 {
		t.Errorf("announced again: %q", got)
	}
}
