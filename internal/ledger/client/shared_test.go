package client_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

var image = client.Route{Namespace: "ai", Name: "image"}

// putTeam puts a team with a budget of so many nano-USD that denies, and the routes ai/chat and ai/image, whose alice spends in its name.
func putTeam(l *ledgertest.Ledger, limit int64) {
	editTeam(l, limit)
	for _, one := range []client.Route{route, image} {
		joinTeam(l, one, "search")
	}
}

func editTeam(l *ledgertest.Ledger, limit int64) { editTeamOf(l, "search", limit) }

func editTeamOf(l *ledgertest.Ledger, team string, limit int64) {
	month := deny("month", limit)
	month.Ref.Consumer = ""
	l.PutShared(&ledgerpb.PutSharedRequest{Owner: "team/" + team, Budgets: []*ledgerpb.Budget{month}})
}

func joinTeam(l *ledgertest.Ledger, of client.Route, team string) {
	l.PutRoute(&ledgerpb.PutRouteRequest{
		Route: &ledgerpb.RouteRef{Namespace: of.Namespace, Name: of.Name}, Consumers: []string{"alice"},
		Members: []*ledgerpb.Member{{Consumer: "alice", Owner: "team/" + team}},
	})
}

// serving makes a proxy serve these routes.
func serving(routes ...client.Route) func(*client.Options) {
	return func(o *client.Options) { o.Routes = func() []client.Route { return routes } }
}

// on is alice's demand on a route, in her team's name.
func on(of client.Route, nano int64) client.Demand {
	wanted := demand(nano)
	wanted.Route, wanted.Team = of.Name, "search"
	return wanted
}

func spendOn(t *testing.T, c *client.Client, of client.Route, nano int64) {
	t.Helper()
	hold, err := c.Reserve(t.Context(), on(of, nano))
	if err != nil {
		t.Fatalf("Reserve on %s: %v", of.Name, err)
	}
	settle(t, hold, nano, client.Exact)
}

// team is what the ledger says of a team's budget.
func team(l *ledgertest.Ledger, name string) books {
	spend := l.Shared("team/" + name).GetBudgets()[0].GetSpend()
	return books{
		Settled: spend.GetSettledNanoUsd(), Uncertain: spend.GetUncertainNanoUsd(), Held: spend.GetHeldNanoUsd(),
		Leased: spend.GetLeasedNanoUsd(),
	}
}

func TestAProxyOfTwoRoutesHasOneSliceOfATeamsBudget(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putTeam(l, 1_000_000)
	var w wire
	c := start(t, l, journal.Options{}, serving(route, image), w.through)
	spendOn(t, c.Client, route, 100)
	spendOn(t, c.Client, image, 100) // It learns of the route's accounts, and draws for more.
	w.breaks(func(method string) (call, answer bool) { return method == "Draw", false })
	// What was drawn for both is good for either.
	spendOn(t, c.Client, route, 400)
	spendOn(t, c.Client, image, 200)
	w.heal()
	closeClient(t, c.Client)
	if diff := cmp.Diff(books{Settled: 800}, team(l, "search")); diff != "" {
		t.Errorf("the team (-want +got):\n%s", diff)
	}
}

func TestATeamsBudgetSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putTeam(l, 100)
	c := start(t, l, journal.Options{})
	spendOn(t, c.Client, route, 100)
	denied := denial(t, c.Client, 1)
	if denied.Owner != budget.TeamOwner("search") || denied.Account() != "team/month" {
		t.Errorf("denied by %+v", denied)
	}
	if want := "budget month of team search: Exhausted, limit 0.0000001 USD, remaining 0.00 USD"; denied.Error() != want {
		t.Errorf("the error is %q, want %q", denied, want)
	}
}

func TestWhatLiesIdleAtAnotherRoutesProxyIsRecalled(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putTeam(l, 1000)
	first := start(t, l, journal.Options{}, serving(route), patiently)
	second := start(t, l, journal.Options{}, serving(image), patiently)
	spendOn(t, first.Client, route, 100) // It draws for more.
	spendOn(t, second.Client, image, 900)
	if diff := cmp.Diff(client.Exhausted, denial(t, first.Client, 1).Reason); diff != "" {
		t.Error(diff)
	}
}

func TestAnEditOfATeamsBudgetReachesTheProxiesOfAllRoutes(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putTeam(l, 1000)
	c := start(t, l, journal.Options{}, serving(route, image))
	spendOn(t, c.Client, route, 100)
	spendOn(t, c.Client, image, 100)
	editTeam(l, 300)
	for _, of := range []client.Route{route, image} {
		eventually(t, func() string {
			hold, err := c.Reserve(t.Context(), on(of, 101))
			if err == nil {
				settle(t, hold, 0, client.Exact)
				return "it is not in force on " + of.Name
			}
			return ""
		})
	}
	editTeam(l, 1000)
	eventually(t, func() string {
		hold, err := c.Reserve(t.Context(), on(image, 800))
		if err != nil {
			return err.Error()
		}
		settle(t, hold, 800, client.Exact)
		return ""
	})
	closeClient(t, c.Client)
	if diff := cmp.Diff(books{Settled: 1000}, team(l, "search")); diff != "" {
		t.Errorf("the team (-want +got):\n%s", diff)
	}
}

func TestAnEditOfOneRouteLeavesTheOtherOneItsMoney(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putTeam(l, 1_000_000)
	var w wire
	c := start(t, l, journal.Options{}, serving(route, image), w.through)
	spendOn(t, c.Client, route, 100)
	spendOn(t, c.Client, image, 100)
	w.breaks(func(method string) (call, answer bool) { return method == "Draw", false })
	before := w.count("Heartbeat")
	putBudgets(l) // Alice is of no team on ai/chat any more.
	eventually(t, func() string {
		if w.count("Heartbeat") >= before+2 {
			return ""
		}
		return "it has not heard of the edit"
	})
	spendOn(t, c.Client, image, 300)
	w.heal()
	closeClient(t, c.Client)
	if diff := cmp.Diff(books{Settled: 500}, team(l, "search")); diff != "" {
		t.Errorf("the team (-want +got):\n%s", diff)
	}
}

func TestWhatIsHeldForATeamIsSpentInItsNameWhateverTheConfigurationSays(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putTeam(l, 1000)
	editTeamOf(l, "ads", 1000)
	c := start(t, l, journal.Options{})
	spendOn(t, c.Client, route, 100)
	old, err := c.Reserve(t.Context(), on(route, 100))
	if err != nil {
		t.Fatal(err)
	}
	joinTeam(l, route, "ads")
	// The proxy's configuration still says that alice is of the team search, and her money is the other one's.
	eventually(t, func() string {
		spendOn(t, c.Client, route, 10)
		if team(l, "ads").Leased > 0 {
			return ""
		}
		return "it has not heard of the edit"
	})
	before := team(l, "search").Settled
	spendOn(t, c.Client, route, 50)
	settle(t, old, 70, client.Uncertain)
	if err := old.Correct(demand(60).Amount); err != nil {
		t.Fatal(err)
	}
	putBudgets(l) // Of no team.
	eventually(t, func() string {
		spendOn(t, c.Client, route, 10)
		if l.Usage("ai", "chat").GetSpend().GetLeasedNanoUsd() == 0 && team(l, "ads").Leased == 0 {
			return ""
		}
		return "it has not heard of the second edit"
	})
	closeClient(t, c.Client)
	all := l.Usage("ai", "chat").GetSpend()
	search, ads := team(l, "search"), team(l, "ads")
	if search.Settled < before+60 || search.Uncertain != 0 || ads.Settled < 50 || search.Settled+ads.Settled > all.GetSettledNanoUsd() {
		t.Errorf("the teams have %+v and %+v, the route %+v", search, ads, all)
	}
	if search.Settled > 1000 || ads.Settled > 1000 {
		t.Errorf("the teams have %+v and %+v, more than their budgets", search, ads)
	}
}

// TestATeamsBudgetIsNeverOverspent has several proxies spend a team's budget to its end through two routes, each of them serving one or
// both, while some of them are killed and come back.
func TestATeamsBudgetIsNeverOverspent(t *testing.T) {
	t.Parallel()
	const limit, spenders, rounds = 20_000, 4, 3
	l := ledgertest.Start(t)
	putTeam(l, limit)
	routes := [][]client.Route{{route}, {image}, {route, image}, {image, route}}
	directories := make([]string, spenders)
	for i := range directories {
		directories[i] = t.TempDir()
	}
	for round := range rounds {
		var running sync.WaitGroup
		for i := range spenders {
			c := start(t, l, journal.Options{Directory: directories[i]}, serving(routes[i]...))
			running.Go(func() {
				for n := range 60 {
					hold, err := c.Reserve(t.Context(), on(routes[i][n%len(routes[i])], 1+rand.Int64N(100)))
					if err != nil {
						continue
					}
					if n%7 == 6 && round < rounds-1 {
						continue // It dies with the process.
					}
					if err := hold.Settle(client.Cost{Amount: hold.Worst().Amount, Certainty: client.Exact}); err != nil {
						t.Error(err)
					}
				}
				if round < rounds-1 {
					c.stop() // Without Close, this leaves what a kill leaves.
				}
			})
		}
		running.Wait()
		got := team(l, "search")
		if got.Settled+got.Uncertain+got.Leased > limit {
			t.Fatalf("round %d: the team has %+v of %d", round, got, limit)
		}
	}
	last := start(t, l, journal.Options{}, serving(route, image))
	eventually(t, func() string {
		for nano := int64(100); nano > 0; nano /= 2 { // To the end, by ever smaller requests.
			if hold, err := last.Reserve(t.Context(), on(route, nano)); err == nil {
				settle(t, hold, nano, client.Exact)
			}
		}
		got := team(l, "search")
		if got.Settled+got.Uncertain == limit {
			return ""
		}
		return fmt.Sprintf("the team has %+v of %d", got, limit)
	})
	var byRoute int64
	for _, one := range l.Shared("team/search").GetRoutes() {
		byRoute += one.GetSpend().GetSettledNanoUsd() + one.GetSpend().GetUncertainNanoUsd()
	}
	if byRoute != limit {
		t.Errorf("the routes have %d together, want %d", byRoute, limit)
	}
}
