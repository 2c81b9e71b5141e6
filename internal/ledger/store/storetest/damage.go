package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// windowOfTotal is what the only window of newDamaged is called.
const windowOfTotal = "budget total of route ai/chat in the window from 1970-01-01T00:00:00Z: "

// damages are what can be wrong with the books of newDamaged, each with what has to be found. The statements run on every database.
var damages = map[string]struct{ planted, want []string }{
	"a total that is not its history": {
		[]string{`UPDATE scopes SET settled = settled + 5 WHERE consumer = 'alice'`},
		[]string{
			"consumer alice of route ai/chat: settled is 0.040000005 USD, the sum of its history 0.04 USD",
			"route ai/chat: 0.04 USD are settled, less than the 0.040000005 USD of its consumers",
		},
	},
	"an uncertain total that is not its history": {
		[]string{`UPDATE scopes SET uncertain = 3 WHERE consumer = ''`},
		[]string{"route ai/chat: uncertain is 0.000000003 USD, the sum of its history 0.00 USD"},
	},
	"consumers that were uncertain where the route was not": {
		[]string{`UPDATE scopes SET uncertain = 3 WHERE consumer = 'alice'`},
		[]string{"route ai/chat: 0.00 USD are uncertain, less than the 0.000000003 USD of its consumers"},
	},
	"history that was lost": {
		[]string{`DELETE FROM history WHERE scope_id = (SELECT id FROM scopes WHERE consumer = '')`},
		[]string{
			"route ai/chat: settled is 0.04 USD, the sum of its history 0.00 USD",
			windowOfTotal + "settled is 0.04 USD, the sum of the history 0.00 USD",
		},
	},
	"history between two quarters of an hour": {
		[]string{`UPDATE history SET bucket = 1000 WHERE scope_id = (SELECT id FROM scopes WHERE consumer = '')`},
		[]string{"route ai/chat: 0.04 USD settled and 0.00 USD uncertain are in the history at 1970-01-01T00:00:01Z"},
	},
	"history of less than nothing": {
		[]string{`UPDATE history SET settled = -1`, `UPDATE windows SET settled = -1`, `UPDATE scopes SET settled = -1`},
		[]string{"consumer alice of route ai/chat: -0.000000001 USD settled and 0.00 USD uncertain are in the history at 2026-11-17T12"},
	},
	"history of which more is priced than was settled": {
		[]string{`UPDATE history SET priced = settled + 1 WHERE scope_id = (SELECT id FROM scopes WHERE consumer = 'alice')`},
		[]string{"consumer alice of route ai/chat: 0.04 USD settled and 0.00 USD uncertain are in the history at 2026-11-17T12:00:00Z"},
	},
	"history of nobody": {
		[]string{`UPDATE history SET scope_id = 99 WHERE scope_id = (SELECT id FROM scopes WHERE consumer = 'alice')`},
		[]string{"the table history: ", "is not in the table scopes"},
	},
	"a window that has more than was settled": {
		[]string{`UPDATE windows SET settled = settled + 1`},
		[]string{windowOfTotal + "settled is 0.040000001 USD, the sum of the history 0.04 USD"},
	},
	"a window that forgot what is out": {
		[]string{`UPDATE windows SET leased = 0`},
		[]string{windowOfTotal + "leased is 0.00 USD, the sum of what is out with proxies that are not silent 0.06 USD"},
	},
	"a window that forgot what is out with a silent proxy": {
		[]string{`UPDATE windows SET uncertain = 0`},
		[]string{windowOfTotal + "uncertain is 0.00 USD, the sum of the history and of what is out with silent proxies 0.007 USD"},
	},
	"a window of nobody": {
		[]string{`UPDATE windows SET account_id = 99`},
		[]string{"the table windows: ", "is not in the table accounts"},
	},
	"a proxy that fell silent without a word": {
		[]string{`UPDATE proxies SET silent = TRUE`},
		[]string{
			windowOfTotal + "uncertain is 0.007 USD, the sum of the history and of what is out with silent proxies 0.067 USD",
			windowOfTotal + "leased is 0.06 USD, the sum of what is out with proxies that are not silent 0.00 USD",
		},
	},
	"a window of a budget that was taken away": {
		[]string{`UPDATE accounts SET active = FALSE`},
		[]string{windowOfTotal + "the window is there though the budget was taken away"},
	},
	"a window that begins when none does": {
		[]string{`UPDATE windows SET start = 5`},
		[]string{"in the window from 1970-01-01T00:00:00.005Z: no Total begins then"},
	},
	"a window of a period that is none": {
		[]string{`UPDATE accounts SET period = 'Fortnight'`},
		[]string{windowOfTotal + "the budget's calendar is none: "},
	},
	"a lease of which too much was taken": {
		[]string{`UPDATE leases SET taken = 130000000 WHERE granted = 100000000`},
		[]string{"of proxy proxy-1 (pod-1), budget total of route ai/chat: 0.13 USD are taken of 0.10 USD that were granted"},
	},
	"a lease of less than nothing": {
		[]string{`UPDATE leases SET granted = -1, taken = -1 WHERE proxy_id = (SELECT id FROM proxies WHERE proxy_id = 'silent')`},
		[]string{"of proxy silent (pod-2), budget total of route ai/chat: -0.000000001 USD are taken of -0.000000001 USD that were"},
	},
	"a lease of a proxy that was released": {
		[]string{
			`DELETE FROM leases WHERE proxy_id = (SELECT id FROM proxies WHERE proxy_id = 'released')`,
			`UPDATE leases SET proxy_id = (SELECT id FROM proxies WHERE proxy_id = 'released') WHERE granted = 100000000`,
		},
		[]string{"of proxy released (pod-3), budget total of route ai/chat: 0.06 USD are out though the proxy was released"},
	},
	"a lease of nobody": {
		[]string{`UPDATE leases SET proxy_id = 99 WHERE granted = 100000000`},
		[]string{"the table leases: ", "is not in the table proxies"},
	},
	"a release that nobody answers for": {
		[]string{`DELETE FROM releases`},
		[]string{"proxy released (pod-3): it is released, and nobody is on record for it"},
	},
	"a proxy that gave back what it has not reported": {
		[]string{`UPDATE proxies SET gave_back = 9 WHERE proxy_id = 'proxy-1'`},
		[]string{"proxy proxy-1 (pod-1): record 9 gave everything back, 1 are applied"},
	},
	"a session that cannot be": {
		[]string{`UPDATE proxies SET epoch = 0, token_hash = substr(token_hash, 1, 1) WHERE proxy_id = 'proxy-1'`},
		[]string{"proxy proxy-1 (pod-1): its session is damaged: epoch 0, a token of 1 bytes"},
	},
	"a route whose own books are gone": {
		[]string{`DELETE FROM history`, `DELETE FROM windows`, `DELETE FROM accounts`, `DELETE FROM scopes WHERE consumer = ''`},
		[]string{"route ai/chat: it has no books of its own"},
	},
	"a route without any books": {
		[]string{`DELETE FROM history`, `DELETE FROM windows`, `DELETE FROM accounts`, `DELETE FROM scopes`},
		[]string{"route ai/chat: it has no books of its own"},
	},
}

// newDamaged makes books to be damaged: alice spent 4 cents of the 10 that one proxy drew, the other 6 are out; another proxy is silent
// with 0.7 cents, and a third one was released.
func newDamaged(t *testing.T, open Open) *books {
	t.Helper()
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
	b.report(b.settled("0.04", b.draw("alice", "0.10"), "0.04"))
	b.open("silent", "pod-2").draw("alice", "0.007")
	b.open("released", "pod-3").draw("alice", "0.007")
	b.advance(time.Minute)
	b.beat(store.Beat{})
	b.expire(2, "0.014")
	if _, err := b.release("released"); err != nil {
		t.Fatal(err)
	}
	b.wantSpend("", "total", spend(t, "0.04", "0.007", "0.06"))
	return b
}

// aliceInName is the member of newSharedDamaged.
const aliceInName = "consumer alice of route ai/chat in the name of team search: "

// sharedDamages are what can be wrong with the books of newSharedDamaged.
var sharedDamages = map[string]struct{ planted, want []string }{
	"a member of which too much is booked": {
		[]string{`UPDATE members SET settled = settled + 5`},
		[]string{
			aliceInName + "settled is 0.250000005 USD, what its history has in that name 0.25 USD",
			"team search: settled is 0.25 USD, the sum of those who draw on it 0.250000005 USD",
		},
	},
	"a member of which too much is uncertain": {
		[]string{`UPDATE members SET uncertain = 5`},
		[]string{
			aliceInName + "uncertain is 0.000000005 USD, what its history has in that name 0.00 USD",
			"team search: uncertain is 0.00 USD, the sum of those who draw on it 0.000000005 USD",
		},
	},
	"an owner that spent what nobody did": {
		[]string{`UPDATE scopes SET settled = settled + 5 WHERE id IN (SELECT owner_id FROM members)`},
		[]string{
			"team search: settled is 0.250000005 USD, the sum of its history 0.25 USD",
			"team search: settled is 0.250000005 USD, the sum of those who draw on it 0.25 USD",
		},
	},
	"a window of an owner that has more than was settled": {
		[]string{`UPDATE windows SET settled = settled + 1`},
		[]string{
			"budget month of team search in the window from 2026-11-01T00:00:00Z: " +
				"settled is 0.250000001 USD, the sum of the history 0.25 USD",
		},
	},
	"history that went over to another team": {
		[]string{`UPDATE history SET team = 'ads'`},
		[]string{aliceInName + "settled is 0.25 USD, what its history has in that name 0.00 USD"},
	},
	"a member of nobody": {
		[]string{`UPDATE members SET owner_id = 99`},
		[]string{"the table members: ", "is not in the table scopes"},
	},
}

// newSharedDamaged makes books to be damaged in which alice spent 25 cents in the name of her team.
func newSharedDamaged(t *testing.T, open Open) *books {
	t.Helper()
	b := newBooks(t, open)
	b.putShared(search, of(search, denies(t, "", "month", "1", budget.Month)))
	b.join(chat, asSearch)
	b.spentOn(chat, "search", "0.25")
	return b
}

func runDamage(t *testing.T, open Open) {
	runDamages(t, open, newDamaged, damages)
	runDamages(t, open, newSharedDamaged, sharedDamages)
}

func runDamages(
	t *testing.T, open Open, newBooks func(*testing.T, Open) *books, damages map[string]struct{ planted, want []string },
) {
	t.Helper()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := newBooks(t, open)
			if found, err := faults(t.Context(), b.Store, b.now()); err != nil || len(found) > 0 {
				t.Fatalf("before it was planted: %+v, error %v", found, err)
			}
			b.damaged = true
			b.made.Edit(b.Store, damage.planted...)
			discrepancies, err := faults(t.Context(), b.Store, b.now())
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			found := make([]string, 0, len(discrepancies))
			for _, one := range discrepancies {
				found = append(found, one.About+": "+one.Problem)
			}
			for _, want := range damage.want {
				if !strings.Contains(strings.Join(found, "\n"), want) {
					t.Errorf("found\n  %s\nwant\n  %s", strings.Join(found, "\n  "), want)
				}
			}
		})
	}
}

// runPages has more windows than are looked at at a time, and finds the one of them that is wrong.
func runPages(t *testing.T, open Open) {
	b := newBooks(t, open)
	const budgets = 1203
	many := make([]store.Budget, budgets)
	for i := range many {
		many[i] = denies(t, []string{"", "alice", "bob"}[i%3], "total-"+strings.Repeat("x", i), "1", budget.Total)
	}
	b.put(many...)
	b.draw("alice", "0.25")
	b.draw("bob", "0.25")
	verdict, err := b.Store.(store.Operable).Verify(t.Context(), b.now())
	if err != nil || verdict.Windows != budgets || len(verdict.Discrepancies) > 0 {
		t.Fatalf("Verify looked at %d windows, found %+v, error %v", verdict.Windows, verdict.Discrepancies, err)
	}
	b.damaged = true
	b.made.Edit(b.Store, `UPDATE windows SET leased = leased + 1 WHERE account_id = (SELECT max(id) FROM accounts)`)
	if found, err := faults(t.Context(), b.Store, b.now()); err != nil || len(found) != 1 {
		t.Errorf("found %+v, error %v, want the one that is wrong", found, err)
	}
}
