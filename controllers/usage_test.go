package controllers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// saying is a ledger that says what a test wants, also what a real one says only after a disaster.
type saying struct {
	usage []*ledgerpb.RouteUsage
	err   error
	// changes is true if that is only what is different since the last answer, whose state was known.
	changes bool
	known   string
	// upstreams is what every route spent by upstream; if it is nil, a ledger that cannot tell.
	upstreams spendByUpstream
}

func (s *saying) PutRoute(context.Context, *ledgerpb.PutRouteRequest) error { return s.err }

func (s *saying) PutShared(context.Context, *ledgerpb.PutSharedRequest) error { return s.err }

func (s *saying) ListUsage(_ context.Context, known string) (*ledgerpb.ListUsageResponse, error) {
	s.known = known
	return &ledgerpb.ListUsageResponse{Routes: s.usage, Changes: s.changes, State: "said"}, s.err
}

func (s *saying) ListUpstreamSpend(context.Context, types.NamespacedName) (spendByUpstream, error) {
	if s.upstreams == nil {
		return nil, errors.New("the ledger is of a version that cannot tell")
	}
	return s.upstreams, s.err
}

// routesReader reads the given routes.
func routesReader(t *testing.T, routes ...client.Object) client.Reader {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(routes...).Build()
}

func TestARouteIsWokenWhen(t *testing.T) {
	acknowledging := func(hash string) *ledgerpb.RouteUsage {
		usage := usageOf(1, 0, 0)
		usage.Proxies = []*ledgerpb.ProxyStatus{{Instance: "a", ConfigHash: hash, LastHeartbeat: timestamppb.New(noon)}}
		return usage
	}
	failure := errors.New("connection refused")
	cases := map[string]struct {
		// first and second are what the ledger says, after the time given.
		first, second *saying
		after         time.Duration
		want          []string
	}{
		"AProxyServesSomethingElse":     {&saying{usage: list(acknowledging("x"))}, &saying{usage: list(acknowledging("y"))}, 0, []string{"mixtral"}},
		"AProxyIsGone":                  {&saying{usage: list(acknowledging("x"))}, &saying{usage: list(usageOf(1, 0, 0))}, 0, []string{"mixtral"}},
		"ABudgetIsUsedUp":               {&saying{usage: list(usageOf(1, 0, 0))}, &saying{usage: list(usageOf(10*usd, 0, 0))}, 0, []string{"mixtral"}},
		"TheLedgerHasLostIt":            {&saying{usage: list(usageOf(1, 0, 0))}, &saying{}, 0, []string{"mixtral"}},
		"TheLedgerIsLost":               {&saying{usage: list(usageOf(1, 0, 0))}, &saying{err: failure}, usageGrace + time.Second, []string{"idle", "mixtral"}},
		"TheLedgerIsBack":               {&saying{err: failure}, &saying{usage: list(usageOf(1, 0, 0))}, 0, []string{"idle", "mixtral"}},
		"NotWhenNothingHappens":         {&saying{usage: list(usageOf(1, 0, 0))}, &saying{usage: list(usageOf(1, 0, 0))}, time.Hour, nil},
		"NotWhenItSpendsALittle":        {&saying{usage: list(usageOf(1, 0, 0))}, &saying{usage: list(usageOf(2, 0, 0))}, time.Second, nil},
		"NotWhenOneAnswerFailsToCome":   {&saying{usage: list(usageOf(1, 0, 0))}, &saying{err: failure}, time.Second, nil},
		"NotAgainWhileTheLedgerIsLost":  {&saying{err: failure}, &saying{err: failure}, time.Hour, nil},
		"NotByProxiesThatServeTheSame":  {&saying{usage: list(acknowledging("x"))}, &saying{usage: list(acknowledging("x"))}, 0, nil},
		"NotByARouteThatDoesNotExistIn": {&saying{usage: list(usageOf(1, 0, 0), gone(1))}, &saying{usage: list(usageOf(1, 0, 0), gone(usd))}, time.Hour, nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			clock := testclock.NewFakeClock(noon)
			idle := &v1alpha1.ModelRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "idle"}}
			usage := &Usage{Ledger: test.first, Routes: routesReader(t, showing(limitedRoute(), usageOf(1, 0, 0), noon), idle), Clock: clock}
			usage.poll(t.Context())
			usage.Ledger = test.second
			clock.Step(test.after)
			var got []string
			for _, name := range usage.poll(t.Context()) {
				got = append(got, name.Name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatAnAnswerWithChangesDoesNotNameIsAsBefore(t *testing.T) {
	clock := testclock.NewFakeClock(noon)
	other := usageOf(2, 0, 0)
	other.Route.Name = "other"
	usage := &Usage{Ledger: &saying{usage: list(usageOf(1, 0, 0), other)}, Routes: routesReader(t), Clock: clock}
	usage.poll(t.Context())
	news := &saying{usage: list(usageOf(3, 0, 0)), changes: true}
	usage.Ledger = news
	usage.poll(t.Context())
	usage.Ledger = &saying{changes: true}
	usage.poll(t.Context())
	if news.known != "said" {
		t.Errorf("the ledger was asked for what is different since %q", news.known)
	}
	for name, want := range map[string]int64{"mixtral": 3, "other": 2} {
		got := usage.of(types.NamespacedName{Namespace: "ai", Name: name}).usage.GetSpend().GetSettledNanoUsd()
		if got != want {
			t.Errorf("%s has spent %d, want %d", name, got, want)
		}
	}
}

func TestOfManyRoutesThatSpendOnlySomeAreWrittenInOneSecondTheUrgentOnesFirst(t *testing.T) {
	clock := testclock.NewFakeClock(noon)
	const many = turnsPerLook + 2
	of := func(name string, settled int64) *ledgerpb.RouteUsage {
		usage := usageOf(settled, 0, 0)
		usage.Route.Name = name
		return usage
	}
	var before, after []*ledgerpb.RouteUsage
	var routes []client.Object
	for i := range many {
		name := fmt.Sprintf("route-%02d", i)
		before, after = append(before, of(name, 1)), append(after, of(name, 2))
		route := limitedRoute()
		route.Name = name
		routes = append(routes, showing(route, before[i], noon.Add(-time.Duration(i)*time.Second)))
	}
	after[0] = of("route-00", 10*usd) // used up
	usage := &Usage{Ledger: &saying{usage: before}, Routes: routesReader(t, routes...), Clock: clock}
	usage.poll(t.Context())

	usage.Ledger = &saying{usage: after}
	clock.Step(spendInterval)
	got := usage.poll(t.Context())
	if len(got) != turnsPerLook || got[0].Name != "route-00" || got[1].Name != "route-21" {
		t.Errorf("woken are %d, beginning with %v: want first the one that is used up, then the one shown longest ago",
			len(got), got[:min(2, len(got))])
	}
	for i := range many {
		name := types.NamespacedName{Namespace: "ai", Name: fmt.Sprintf("route-%02d", i)}
		if waits := usage.of(name).waits; waits == slices.Contains(got, call{NamespacedName: name}) {
			t.Errorf("it is %t that %s waits", waits, name.Name)
		}
	}
}

func TestARouteThatWaitsForItsTurnKeepsItsFigures(t *testing.T) {
	s := healthy()
	s.route = showing(s.route, usageOf(1, 0, 0), noon.Add(-time.Hour))
	s.usage.usage.Consumers[0].Budgets[0].Spend = &ledgerpb.Spend{SettledNanoUsd: 10 * usd}
	s.usage.waits = true
	if got := computeStatus(s); got.Consumers[0].Budgets[0].State != "WithinBudget" {
		t.Errorf("the budget is shown as %s", got.Consumers[0].Budgets[0].State)
	}
	s.usage.waits = false
	if got := computeStatus(s); got.Consumers[0].Budgets[0].State != "Exhausted" {
		t.Errorf("when it is its turn, the budget is shown as %s", got.Consumers[0].Budgets[0].State)
	}
}

func TestTheFirstAnswerWakesEveryRouteAlsoThoseThatAreGone(t *testing.T) {
	usage := &Usage{
		Ledger: &saying{usage: list(gone(1))}, Routes: routesReader(t, limitedRoute()), Clock: testclock.NewFakeClock(noon),
	}
	got := usage.poll(t.Context())
	for _, name := range []string{"mixtral", "gone"} {
		if !slices.Contains(got, call{NamespacedName: types.NamespacedName{Namespace: "ai", Name: name}}) {
			t.Errorf("%s is not among %v", name, got)
		}
	}
}

func TestALostAnswerIsNoAnswer(t *testing.T) {
	clock := testclock.NewFakeClock(noon)
	name := client.ObjectKeyFromObject(limitedRoute())
	usage := &Usage{Ledger: &saying{err: errors.New("refused")}, Routes: routesReader(t), Clock: clock}
	if said := usage.of(name); said.synced || said.fresh {
		t.Errorf("before the first answer: %+v", said)
	}
	usage.poll(t.Context())
	if said := usage.of(name); said.synced || said.fresh {
		t.Errorf("when the first answer fails to come: %+v", said)
	}
	usage.Ledger = &saying{usage: list(usageOf(1, 0, 0))}
	usage.poll(t.Context())
	if said := usage.of(name); !said.synced || !said.fresh || said.usage == nil {
		t.Errorf("after the first answer: %+v", said)
	}
	usage.Ledger = &saying{err: errors.New("refused")}
	clock.Step(usageGrace)
	usage.poll(t.Context())
	if said := usage.of(name); !said.fresh {
		t.Errorf("within the grace: %+v", said)
	}
	clock.Step(time.Second)
	usage.poll(t.Context())
	if said := usage.of(name); said.fresh || said.usage == nil {
		t.Errorf("after the grace what was said is known, and not fresh: %+v", said)
	}
}

func TestTheLedgersRefusalIsToldFromItsAbsence(t *testing.T) {
	ledger := ledgertest.Start(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	caller := NewLedger(LedgerOptions{URL: ledger.URL, TokenFile: tokenFile})
	request := &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}}
	if err := caller.PutRoute(t.Context(), request); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a token: %v", err)
	}
	if err := os.WriteFile(tokenFile, []byte(ledgertest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := caller.PutRoute(t.Context(), request); err != nil {
		t.Errorf("a good request: %v", err)
	}
	bad := &ledgerpb.PutRouteRequest{Route: request.GetRoute(), Budgets: []*ledgerpb.Budget{{Ref: &ledgerpb.BudgetRef{Name: "x"}}}}
	if _, refused := errors.AsType[*InvalidBudgetsError](caller.PutRoute(t.Context(), bad)); !refused {
		t.Error("a budget without a period is not refused as invalid")
	}
	ledger.Stop()
	err := caller.PutRoute(t.Context(), request)
	if _, refused := errors.AsType[*InvalidBudgetsError](err); err == nil || refused {
		t.Errorf("without a ledger: %v", err)
	}
}

func list(usage ...*ledgerpb.RouteUsage) []*ledgerpb.RouteUsage { return usage }

// gone is the usage of a route that no longer exists.
func gone(settled int64) *ledgerpb.RouteUsage {
	return &ledgerpb.RouteUsage{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "gone"}, Spend: &ledgerpb.Spend{SettledNanoUsd: settled},
	}
}
