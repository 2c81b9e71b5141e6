package main

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/cli"
	"github.com/modelroute/modelroute/internal/money"
)

// spentByDay is the sum of a column of what usage says of days.
func (w *world) spentByDay(format, column string) money.Amount {
	w.t.Helper()
	status, output, diagnostics := w.call("usage", "--by", "day", "-o", format)
	if status != cli.ExitOK {
		w.t.Fatalf("usage: %d %s", status, diagnostics)
	}
	records, err := csv.NewReader(strings.NewReader(output)).ReadAll()
	w.must(err)
	var sum money.Amount
	for i, name := range records[0] {
		for _, record := range records[1:] {
			if name == column {
				amount, err := money.ParseUSD(record[i])
				w.must(err)
				sum = sum.Add(amount)
			}
		}
	}
	return sum
}

func TestTheDaysOfARunComeToWhatTheUpstreamBilled(t *testing.T) {
	w := newWorld(t)
	w.write("route.yaml", w.route("chat", "  - name: trial\n")+"---\n"+w.route("code", ""))
	s := w.start("-f", "route.yaml", keyFlag)
	for _, secret := range []string{"chat-search", "chat-trial", "code-search"} {
		w.answered(secret, "What is a ledger?", http.StatusOK)
	}
	agree := func() bool { return w.spentByDay("csv", "spent_usd") == w.billed() && w.billed() != (money.Amount{}) }
	if !w.eventually(agree) {
		t.Errorf("beside the run, the days come to %s, the upstream billed %s", w.spentByDay("csv", "spent_usd"), w.billed())
	}
	_, table, _ := w.call("usage", "--by", "day", "--data-dir", ".modelroute")
	wantContains(t, table, "DAY", "ai/chat", "ai/code", "trial", "openrouter")
	_, table, _ = w.call("usage", "--by", "consumer")
	wantContains(t, table, "ai/chat", "trial", "TOTAL")
	_, records, _ := w.call("usage", "-o", "csv")
	wantContains(t, records, "namespace,name,", "ai,chat,")
	s.end()
	if got := w.spentByDay("focus", "BilledCost"); got != w.billed() {
		t.Errorf("after the run, FOCUS comes to %s, the upstream billed %s", got, w.billed())
	}
}
