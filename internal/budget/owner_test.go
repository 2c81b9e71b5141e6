package budget_test

import (
	"testing"

	"github.com/modelroute/modelroute/internal/budget"
)

func TestAnOwnerIsATeamOrAKey(t *testing.T) {
	for owner, want := range map[budget.Owner]bool{
		budget.TeamOwner("search"):     true,
		budget.TeamOwner("r&d/search"): true,
		budget.KeyOwner("ai", "bot"):   true,
		budget.TeamOwner(""):           false,
		budget.KeyOwner("", "bot"):     false,
		budget.KeyOwner("ai", ""):      false,
		budget.KeyOwner("ai", "bot/2"): false,
		"key/ai":                       false,
		"route/ai/chat":                false,
		"search":                       false,
		"":                             false,
	} {
		if got := owner.IsValid(); got != want {
			t.Errorf("%q is valid: %t, want %t", owner, got, want)
		}
	}
}

func TestATeamPaysOnlyForWhatIsSpentInItsName(t *testing.T) {
	for _, test := range []struct {
		owner budget.Owner
		team  string
		want  bool
	}{
		{budget.TeamOwner("search"), "search", true},
		{budget.TeamOwner("search"), "ads", false},
		{budget.TeamOwner("search"), "", false},
		{budget.KeyOwner("ai", "bot"), "search", true},
		{budget.KeyOwner("ai", "bot"), "", true},
	} {
		if got := test.owner.Pays(test.team); got != test.want {
			t.Errorf("%s pays for team %q: %t, want %t", test.owner, test.team, got, test.want)
		}
	}
}

func TestAnOwnerIsNamedForPeople(t *testing.T) {
	for owner, want := range map[budget.Owner]string{
		budget.TeamOwner("search"):   "team search",
		budget.KeyOwner("ai", "bot"): "key ai/bot",
	} {
		if got := owner.Words(); got != want {
			t.Errorf("%q is named %q, want %q", owner, got, want)
		}
	}
}
