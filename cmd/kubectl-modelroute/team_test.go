package main

import (
	"net/http"
	"testing"

	"github.com/modelroute/modelroute/internal/cli"
)

func TestATeamsBudgetHoldsOverTheRoutesOfTheFiles(t *testing.T) {
	w := newWorld(t)
	consumers := "    team: search\n"
	w.write("routes.yaml", w.route("chat", consumers)+"---\n"+w.route("code", consumers))
	w.write("team.yaml", teamManifest("0.003"))
	s := w.start("-f", "routes.yaml", "-f", "team.yaml", keyFlag)
	spend := func() bool {
		answer := w.ask("chat-search", "Say as much as you can.", false)
		_ = w.rest(answer)
		return answer.StatusCode == http.StatusPaymentRequired
	}
	if !w.eventually(spend) {
		t.Fatal("it is never denied")
	}
	// What was spent at one route is not there at the other.
	wantContains(t, w.answered("code-search", "Say as much as you can.", http.StatusPaymentRequired), "Team search", "total")
	_, table, _ := w.call("usage")
	wantContains(t, table, "(all routes)", "team search", "Exhausted")

	w.write("team.yaml", teamManifest("5.00"))
	if !w.eventually(func() bool { return !spend() }) {
		t.Error("a budget that was raised denies still")
	}
	s.end()
	w.wantBooksEqual()
}

func TestATeamHasOneBudgetManifest(t *testing.T) {
	w := newWorld(t)
	w.write("route.yaml", w.route("chat", "    team: search\n"))
	w.write("team.yaml", teamManifest("1.00")+"---\n"+`apiVersion: modelroute.dev/v1alpha1
kind: TeamBudget
metadata: {name: other}
spec:
  team: search
  namespaceSelector: {}
  budgets: [{name: total, amount: "1.00", window: {period: Total}, enforcement: Deny}]
`)
	status, _, diagnostics := w.call("run", "-f", "route.yaml", "-f", "team.yaml", keyFlag)
	if status != cli.ExitUsage {
		t.Errorf("it ends with %d", status)
	}
	wantContains(t, diagnostics, "team.yaml", "document 2", "spec.team", "put all budgets of the team into one of them")
}

func teamManifest(amount string) string {
	return `apiVersion: modelroute.dev/v1alpha1
kind: TeamBudget
metadata: {name: search}
spec:
  namespaceSelector: {}
  budgets: [{name: total, amount: "` + amount + `", window: {period: Total}, enforcement: Deny}]
`
}
