package controllers

import (
	"context"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/modelroute/modelroute/internal/openrouter"
)

// listedKeys counts how often keys are listed.
type listedKeys struct {
	UpstreamKeyMaker
	lists int
}

func (l *listedKeys) Named(context.Context, openrouter.Account, func(string) bool) ([]openrouter.Key, error) {
	l.lists++
	return []openrouter.Key{{Hash: "a"}}, nil
}

func TestRoutesThatGoTogetherShareAListOfKeysAndOthersDoNot(t *testing.T) {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	fake := testclock.NewFakePassiveClock(began.Add(2 * time.Second))
	maker, listings := &listedKeys{}, &keyListings{}
	one, other := openrouter.Account{BaseURL: "https://a"}, openrouter.Account{BaseURL: "https://b"}
	for _, step := range []struct {
		why     string
		account openrouter.Account
		deleted time.Time
		want    int
	}{
		{"the first route", one, began, 1},
		{"another route of the same account", one, began, 1},
		{"a route that was deleted before the list was made, within its second", one, began.Add(time.Second), 2},
		{"a route that was deleted after", one, began.Add(3 * time.Second), 3},
		{"a route of another account", other, began, 4},
	} {
		keys, err := listings.since(t.Context(), fake, maker, step.account, step.deleted)
		if err != nil || len(keys) != 1 || maker.lists != step.want {
			t.Errorf("%s: %v, %v, and %d lists instead of %d", step.why, keys, err, maker.lists, step.want)
		}
	}
}
