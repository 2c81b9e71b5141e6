package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
)

const usd = 1_000_000_000

// untilSpent waits until the status shows what was spent in all, in USD.
func (w *world) untilSpent(name, total string) *v1alpha1.ModelRoute {
	w.t.Helper()
	route := &v1alpha1.ModelRoute{}
	w.eventually("the status shows "+total+" USD", func() error {
		if w.get(name, route); route.Status.Spend == nil || route.Status.Spend.Total != total {
			return fmt.Errorf("it shows %v", route.Status.Spend)
		}
		return nil
	})
	checkStatus(w.t, route)
	return route
}

func TestSpendIsShownAtOnceWhenABudgetIsUsedUpAndElseNowAndThen(t *testing.T) {
	clock := testclock.NewFakeClock(time.Now())
	w := newWorldAt(t, clock)
	w.startManager()
	w.create(w.route())
	w.runPod("chat", "one")
	p := w.runProxy("chat", "one")
	// look lets a second pass, after which the manager looks at the ledger again, and waits until it has.
	look := func() {
		clock.Step(usageInterval)
		w.eventually("the ledger is asked again", func() error {
			if !w.reconciler.Usage.of(keyOfRoute(w, "chat")).asked.Equal(clock.Now()) {
				return errors.New("it was not")
			}
			return nil
		})
	}
	w.eventually("the first figures are shown", func() error {
		look()
		route := &v1alpha1.ModelRoute{}
		if w.get("chat", route); route.Status.Spend == nil || conditionOf(route, v1alpha1.ConditionReady).Status != metav1.ConditionTrue {
			return errors.New("they are not")
		}
		return nil
	})
	lookUntil := func(total string) (written time.Time) {
		w.eventually("the status shows "+total+" after a while", func() error {
			look()
			route := &v1alpha1.ModelRoute{}
			w.get("chat", route)
			written = route.Status.Spend.UpdateTime.Time
			if route.Status.Spend.Total != total {
				return errors.New(route.Status.Spend.Total)
			}
			return nil
		})
		return written
	}
	p.spend(usd / 10)
	written := lookUntil("0.10")

	p.spend(usd / 10)
	looks := 0
	for clock.Now().Sub(written) < spendInterval-usageInterval {
		look()
		looks++
		route := &v1alpha1.ModelRoute{}
		w.get("chat", route)
		if route.Status.Spend.Total != "0.10" {
			t.Fatalf("a little spend is shown %s after the last figures", route.Status.Spend.UpdateTime.Sub(written))
		}
	}
	if looks < 10 {
		t.Fatalf("the manager looked only %d times", looks)
	}
	lookUntil("0.20")

	p.spend(usd * 8 / 10)
	look() // The clock stands still from here on, so that nothing but the budget that is used up can be the reason to write.
	route := &v1alpha1.ModelRoute{}
	w.eventually("the used up budget is shown", func() error {
		if w.get("chat", route); len(route.Status.Consumers[0].Budgets) == 0 || route.Status.Consumers[0].Budgets[0].State != "Exhausted" {
			return fmt.Errorf("the consumers are %v", route.Status.Consumers)
		}
		return nil
	})
	if got := conditionOf(route, v1alpha1.ConditionWithinBudget); got.Status != metav1.ConditionFalse || got.Reason != v1alpha1.ReasonBudgetExhausted {
		t.Errorf("WithinBudget is %s with reason %s", got.Status, got.Reason)
	}
	if got := conditionOf(route, v1alpha1.ConditionReady); got.Status != metav1.ConditionTrue {
		t.Errorf("Ready is %s: a budget that holds is a healthy system", got.Status)
	}
	w.untilEvent(eventBudgetExhausted)
	checkStatus(t, route)
}

func TestANewLeaderNeverShowsLessSpend(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.route())
	p.spend(usd)
	w.untilSpent("chat", "1.00")
	w.stopManager()
	w.ledger.Stop()

	w.startManager()
	route := w.until("chat", v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonLedgerUnavailable)
	if route.Status.Spend.Total != "1.00" || route.Status.Summary.Spend != "1.00" || route.Status.Consumers[0].Spent != "1.00" {
		t.Errorf("without the ledger the status shows %v, summary %v", route.Status.Spend, route.Status.Summary)
	}
	if got := conditionOf(route, v1alpha1.ConditionWithinBudget).Status; got != metav1.ConditionUnknown {
		t.Errorf("WithinBudget is %s without the ledger", got)
	}
	if route.Status.Consumers[0].SecretName == "" {
		t.Error("the consumer's Secret is no longer shown")
	}

	w.ledger.Start()
	if route = w.untilReady("chat"); route.Status.Spend.Total != "1.00" {
		t.Errorf("with the ledger the status shows %v", route.Status.Spend)
	}
}

func TestWithoutTheLedgerNothingIsMadeOrChanged(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.ledger.Stop()
	w.startManager()
	w.create(w.route())
	route := w.until("chat", v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonLedgerUnavailable)
	if owned := w.ownedBy(route); len(owned) > 0 {
		t.Errorf("there are children whose budgets the ledger does not know: %v", owned)
	}
	w.ledger.Start()
	w.until("chat", v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending)
	w.deployment("chat")
}

func TestTheLedgerKnowsTheBudgetsBeforeTheProxiesDo(t *testing.T) {
	w := newWorld(t)
	w.create(w.route())
	w.deployment("chat")
	usage := w.ledger.Usage(w.namespace, "chat")
	// Money comes before requests and tokens.
	if budgets := usage.GetBudgets(); len(budgets) != 3 || budgets[0].GetBudget().GetLimit() != 100*usd ||
		budgets[1].GetBudget().GetLimit() != 600 || budgets[2].GetBudget().GetLimit() != 400_000 {
		t.Errorf("the route's budgets and rate limits are %v", budgets)
	}
	if consumers := usage.GetConsumers(); len(consumers) != 1 || consumers[0].GetBudgets()[0].GetBudget().GetLimit() != usd {
		t.Errorf("the consumers are %v", consumers)
	}
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Budgets[0].Amount = "200.00" })
	w.eventually("the ledger knows the new amount", func() error {
		if limit := w.ledger.Usage(w.namespace, "chat").GetBudgets()[0].GetBudget().GetLimit(); limit != 200*usd {
			return fmt.Errorf("the limit is %d", limit)
		}
		return nil
	})
}

func TestNobodySpendsInTheNameOfARouteThatIsGone(t *testing.T) {
	cases := map[string]func(w *world, remove func()){
		"WhileTheManagerRuns": func(_ *world, remove func()) { remove() },
		"WhileNoManagerRuns": func(w *world, remove func()) {
			w.stopManager()
			remove()
			w.startManager()
		},
	}
	for name, during := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.serve(w.route())
			p.spend(usd / 2)
			during(w, func() { w.delete(w.route()) })

			token, err := p.token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.eventually("the ledger refuses the route's proxies", func() error {
				if err := w.openSession(token, "chat"); connect.CodeOf(err) != connect.CodePermissionDenied {
					return fmt.Errorf("the answer is %w", err)
				}
				return nil
			})
			if spent := w.ledger.Usage(w.namespace, "chat").GetSpend().GetSettledNanoUsd(); spent != usd/2 {
				t.Errorf("what was spent is now %d", spent)
			}
		})
	}
}

// openSession asks the ledger for a session for a route.
func (w *world) openSession(token, route string) error {
	ctx, info := connect.NewClientContext(context.WithoutCancel(w.t.Context()))
	info.RequestHeader().Set("Authorization", "Bearer "+token)
	service := ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(w.ledger.HTTPClient(), w.ledger.URL)))
	_, err := service.OpenSession(ctx, &ledgerpb.OpenSessionRequest{
		ProxyId: "0123456789abcdef0123456789abcdef", Instance: "late",
		Routes: []*ledgerpb.RouteRef{{Namespace: w.namespace, Name: route}},
	})
	if err == nil {
		return errors.New("a session")
	}
	return err
}

func TestACreditRaisesABudgetUntilItExpires(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Budgets[0].Credits = []v1alpha1.Credit{{
		Name: "launch", Amount: "20", Reason: "The launch", ExpireTime: new(metav1.NewTime(time.Now().Add(4 * time.Second))),
	}}
	w.serve(route)
	limitIs := func(want string) {
		t.Helper()
		w.eventually("the budget's limit is "+want, func() error {
			seen := &v1alpha1.ModelRoute{}
			if w.get("chat", seen); len(seen.Status.Budgets) == 0 || seen.Status.Budgets[0].Limit != want {
				return fmt.Errorf("the budgets are %v", seen.Status.Budgets)
			}
			return nil
		})
	}
	limitIs("120.00")
	limitIs("100.00")
	w.untilReady("chat")
}
