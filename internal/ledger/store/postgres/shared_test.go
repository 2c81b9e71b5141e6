package postgres

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
	"github.com/modelroute/modelroute/internal/money"
)

// shared is a budget of the team search for ever.
func shared(nano int64) store.Shared {
	owner := budget.TeamOwner("search")
	return store.Shared{Owner: owner, Budgets: []store.Budget{{
		Owner: owner, Name: "total", Limit: money.FromNano(nano), Period: budget.Total, Enforcement: budget.Deny,
	}}}
}

// joining is a route whose alice spends in the name of the team search, beside some other consumers.
func joining(key store.RouteKey, others int) store.Route {
	owner := budget.TeamOwner("search")
	route := store.Route{Namespace: key.Namespace, Name: key.Name, Server: "server", Consumers: []string{"alice"}}
	route.Members = append(route.Members, store.Member{Consumer: "alice", Owner: owner})
	for n := range others {
		name := fmt.Sprintf("other-%d", n)
		route.Consumers = append(route.Consumers, name)
		route.Members = append(route.Members, store.Member{Consumer: name, Owner: owner})
	}
	return route
}

// TestReplicasRaceForATeamsLastDollar has proxies of three routes draw and spend through several replicas, while others edit the team's
// budget and give its routes further members.
func TestReplicasRaceForATeamsLastDollar(t *testing.T) {
	const limit, racers = 1000, 9
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"deadlock_timeout=10ms"}})
	dsn := server.Database(t)
	replicas := []*Store{opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})}
	if err := replicas[0].PutShared(t.Context(), shared(limit)); err != nil {
		t.Fatal(err)
	}
	routes := []store.RouteKey{chat, {Namespace: "ai", Name: "image"}, {Namespace: "web", Name: "chat"}}
	for _, key := range routes {
		if err := replicas[0].PutRoute(t.Context(), joining(key, 0)); err != nil {
			t.Fatal(err)
		}
	}
	clients := make([]*client, racers)
	for i := range clients {
		clients[i] = began(t, replicas[i%len(replicas)], fmt.Sprintf("proxy-%d", i), routes[i%len(routes)])
		clients[i].team = "search"
	}
	var racing sync.WaitGroup
	for i, c := range clients {
		racing.Go(func() {
			for n := range 30 {
				granted, err := c.draw(t.Context(), replicas[(i+n)%len(replicas)], 1+int64(i*7+n*3)%13)
				if err != nil {
					t.Error(err)
					return
				}
				if granted && n%2 == 0 {
					c.spend(1)
					if err := c.ship(t.Context(), replicas[(i+n+1)%len(replicas)]); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i, key := range routes {
		racing.Go(func() {
			for n := range 10 {
				if err := replicas[(i+n)%len(replicas)].PutRoute(t.Context(), joining(key, n)); err != nil {
					t.Error(err)
				}
				if err := replicas[(i+n+1)%len(replicas)].PutShared(t.Context(), shared(limit-int64(n+i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	racing.Wait()
	var granted, spent int64
	for _, c := range clients {
		granted, spent = granted+c.granted, spent+c.spent
	}
	if granted > limit {
		t.Errorf("%d nano-USD were granted under a limit of %d", granted, limit)
	}
	usage, err := replicas[1].Usage(t.Context(), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Spend{Settled: money.FromNano(spent), Leased: money.FromNano(granted - spent)}
	got := usage.Shared[0]
	if got.Budgets[0].Spend != want || got.Spend.Settled != want.Settled || len(got.Routes) != len(routes) {
		t.Errorf("the books have %+v, the proxies %+v", got, want)
	}
	if verdict, err := replicas[2].Verify(t.Context(), time.Now()); err != nil || len(verdict.Discrepancies) > 0 {
		t.Errorf("verifying: %+v, %v", verdict.Discrepancies, err)
	}
}
