package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
)

func TestAllRoutesTogetherAreLookedAtOnlySoOftenWhileNothingHappens(t *testing.T) {
	for routes, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 600: time.Minute, 1200: 2 * time.Minute, 5000: 500 * time.Second} {
		if got := idleAmong(routes); got != want {
			t.Errorf("each of %d routes is looked at every %s, want %s", routes, got, want)
		}
	}
}

func TestRoutesThatAreGoneDoNotMakeTheOthersBeLookedAtLess(t *testing.T) {
	usage := &Usage{
		Ledger: &saying{usage: list(usageOf(1, 0, 0), gone(1))}, Routes: routesReader(t, limitedRoute()), Clock: testclock.NewFakeClock(noon),
	}
	usage.poll(t.Context())
	if got := usage.of(types.NamespacedName{Namespace: "ai", Name: "mixtral"}).routes; got != 1 {
		t.Errorf("there are %d routes, want the one that exists", got)
	}
}

func TestARouteWithServiceAccountsIsLookedAtEveryMinuteHoweverManyRoutesThereAre(t *testing.T) {
	s := &scope{usage: snapshot{routes: 5000}}
	s.identities.uids = map[types.NamespacedName]types.UID{{Namespace: "ai", Name: "bot"}: "1"}
	if got := s.untilIdleLook(); got != time.Minute {
		t.Errorf("it is looked at in %s", got)
	}
}
