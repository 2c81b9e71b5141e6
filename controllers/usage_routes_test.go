package controllers

import (
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestWhatARouteSpendsAfterALongRestIsShownAndWhatWaitsForItsTimeToo(t *testing.T) {
	clock := testclock.NewFakeClock(noon)
	route := showing(limitedRoute(), usageOf(1, 0, 0), noon.Add(-time.Hour))
	usage := &Usage{Ledger: &saying{usage: list(usageOf(1, 0, 0))}, Routes: routesReader(t, route), Clock: clock}
	for range 3 {
		if woken := usage.poll(t.Context()); len(woken) > 1 { // The first look wakes every route.
			t.Fatalf("woken are %v", woken)
		}
	}
	if found, is := usage.found[client.ObjectKeyFromObject(route)]; !is || found.turn != nil {
		t.Errorf("of a route of which nothing changes is kept %t, %+v", is, found)
	}
	usage.Ledger = &saying{usage: list(usageOf(2, 0, 0))}
	if woken := usage.poll(t.Context()); len(woken) != 1 {
		t.Errorf("woken after it has spent are %v", woken)
	}

	recent := showing(limitedRoute(), usageOf(1, 0, 0), noon)
	usage = &Usage{Ledger: &saying{usage: list(usageOf(2, 0, 0))}, Routes: routesReader(t, recent), Clock: clock}
	usage.poll(t.Context())
	clock.Step(spendInterval - time.Second)
	if woken := usage.poll(t.Context()); len(woken) != 0 {
		t.Errorf("woken before their time are %v", woken)
	}
	clock.Step(time.Second)
	if woken := usage.poll(t.Context()); len(woken) != 1 {
		t.Errorf("woken when it is time are %v", woken)
	}
}

func TestTheFirstFiguresOfARouteCanWait(t *testing.T) {
	usage := &Usage{
		Ledger: &saying{usage: list(usageOf(0, 0, 0))}, Routes: routesReader(t, limitedRoute()), Clock: testclock.NewFakeClock(noon),
	}
	usage.poll(t.Context())
	if woken := usage.poll(t.Context()); len(woken) != 1 || !woken[0].canWait {
		t.Errorf("woken are %+v", woken)
	}
	usage.Routes = routesReader(t, showing(limitedRoute(), usageOf(0, 0, 0), noon))
	usage.Ledger = &saying{usage: list(usageOf(10*usd, 0, 0))}
	if woken := usage.poll(t.Context()); len(woken) != 1 || woken[0].canWait {
		t.Errorf("woken when a budget is used up are %+v", woken)
	}
}
