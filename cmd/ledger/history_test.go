package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/history"
)

func TestTheHistoryIsTold(t *testing.T) {
	l := startLedger(t, seed(t))
	table := l.command("history")
	for _, part := range []string{"START", "2026-11-17 00:00", "ai/chat", "mixtral", "openrouter", "0.25"} {
		if table.status != exitOK || !strings.Contains(table.out, part) {
			t.Errorf("status %d, the table lacks %q:\n%s%s", table.status, part, table.out, table.diagnostics)
		}
	}
	for _, words := range [][]string{
		{"--by", "consumer", "-o", "csv"},
		{"--route", "ai/chat", "--by", "consumer", "--step", "hour", "--time-zone", "Asia/Tokyo", "--from", "2026-11-17", "--to", "2026-11-18", "-o", "csv"},
	} {
		start := "2026-11-17T00:00:00Z"
		if len(words) > 4 {
			start = "2026-11-17T21:00:00+09:00"
		}
		want := strings.Join(history.Header, ",") + "\n" +
			start + ",ai,chat,alice,research,mixtral,openrouter,1,100,60,30,50,0,0.25,0.25,0.00,0.00,0.00\n"
		got := l.command(append([]string{"history"}, words...)...)
		if diff := cmp.Diff(want, got.out); got.status != exitOK || diff != "" {
			t.Errorf("history %v: status %d, %s (-want +got):\n%s", words, got.status, got.diagnostics, diff)
		}
	}
	team := l.command("history", "--by", "team", "-o", "csv")
	if !strings.Contains(team.out, "T00:00:00Z,ai,chat,,research,mixtral,openrouter,1,100,") {
		t.Errorf("by team, the history is %s%s", team.out, team.diagnostics)
	}
	none := l.command("history", "--from", "2026-11-18", "-o", "json")
	if none.out != "{\n  \"entries\": []\n}\n" {
		t.Errorf("after its end, the history is %s%s", none.out, none.diagnostics)
	}
}

func TestAQuestionThatMakesNoSenseIsRefused(t *testing.T) {
	l := startLedger(t, seed(t))
	for problem, words := range map[string][]string{
		`--step is "fortnight"`:          {"--step", "fortnight"},
		`--by is "model"`:                {"--by", "model"},
		`--route is "chat"`:              {"--route", "chat"},
		`--from is "yesterday"`:          {"--from", "yesterday"},
		`--time-zone is "Europe/Gotham"`: {"--time-zone", "Europe/Gotham"},
		`-o is "xml"`:                    {"-o", "xml"},
	} {
		got := l.command(append([]string{"history"}, words...)...)
		if got.status != exitUsage || !strings.Contains(got.diagnostics, problem) {
			t.Errorf("history %v: status %d, %s", words, got.status, got.diagnostics)
		}
	}
	for problem, words := range map[string][]string{
		"from: must be a whole quarter of an hour": {"--from", "2026-11-17T12:01:00Z"},
		"the route is not known: ai/other":         {"--route", "ai/other"},
	} {
		got := l.command(append([]string{"history"}, words...)...)
		if got.status != exitFailed || !strings.Contains(got.diagnostics, problem) {
			t.Errorf("history %v: status %d, %s", words, got.status, got.diagnostics)
		}
	}
}
