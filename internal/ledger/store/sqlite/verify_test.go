package sqlite

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// seeded makes books of a ledger that is stopped: alice spent 40 nano-USD of the 100 that one proxy drew, the other 60 are out; another
// proxy is silent with 7, and a third one was released.
func seeded(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, credential := opened(t, dir)
	lease := mustDraw(t, s, credential, 1, 100)
	if _, err := s.Append(t.Context(), time.Now(), credential, 1, []store.Record{settlement(lease, 40)}); err != nil {
		t.Fatal(err)
	}
	for _, proxyID := range []string{"silent", "released"} {
		other, _, err := beginAs(t.Context(), s, proxyID)
		if err != nil {
			t.Fatal(err)
		}
		mustDraw(t, s, other, 1, 7)
	}
	later := time.Now().Add(time.Minute)
	if _, err := s.ReleaseProxy(t.Context(), later, later, store.Release{ProxyID: "released", By: "admin", Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.expire(t.Context(), "silent", later); err != nil {
		t.Fatal(err)
	}
	wantTotal(t, s, 40, 7, 60)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit changes books behind the ledger's back, whatever their constraints say.
func edit(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, fileName)+"?_pragma=ignore_check_constraints(1)&_pragma=foreign_keys(0)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBooksThatAgreeAreProven(t *testing.T) {
	dir := seeded(t)
	before := filesOf(t, dir)
	verdict, err := VerifyDir(t.Context(), dir, time.Now())
	want := fmt.Sprint(store.Verdict{Scopes: 2, Windows: 1, Leases: 2, Proxies: 3})
	if err != nil || fmt.Sprint(verdict) != want {
		t.Errorf("VerifyDir = %+v, %v, want %s", verdict, err, want)
	}
	if after := filesOf(t, dir); after != before {
		t.Errorf("the books were changed: from %q to %q", before, after)
	}
}

// filesOf is what is in the books' file.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestEveryDiscrepancyIsFound(t *testing.T) {
	const window = "budget total of route ai/chat in the window from 1970-01-01T00:00:00Z: "
	cases := map[string]struct {
		planted []string
		want    []string
	}{
		"a total that is not its history": {
			[]string{`UPDATE scopes SET settled = settled + 5 WHERE consumer = 'alice'`},
			[]string{
				"consumer alice of route ai/chat: settled is 0.000000045 USD, the sum of its history 0.00000004 USD",
				"route ai/chat: 0.00000004 USD are settled, less than the 0.000000045 USD of its consumers",
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
				"route ai/chat: settled is 0.00000004 USD, the sum of its history 0.00 USD",
				window + "settled is 0.00000004 USD, the sum of the history 0.00 USD",
			},
		},
		"history between two quarters of an hour": {
			[]string{`UPDATE history SET bucket = 1000 WHERE scope_id = (SELECT id FROM scopes WHERE consumer = '')`},
			[]string{"route ai/chat: 0.00000004 USD settled and 0.00 USD uncertain are in the history at 1970-01-01T00:00:01Z"},
		},
		"history of less than nothing": {
			[]string{`UPDATE history SET settled = -1`, `UPDATE windows SET settled = -1`, `UPDATE scopes SET settled = -1`},
			[]string{"consumer alice of route ai/chat: -0.000000001 USD settled and 0.00 USD uncertain are in the history at "},
		},
		"a window that has more than was settled": {
			[]string{`UPDATE windows SET settled = settled + 1`},
			[]string{window + "settled is 0.000000041 USD, the sum of the history 0.00000004 USD"},
		},
		"a window that forgot what is out": {
			[]string{`UPDATE windows SET leased = 0`},
			[]string{window + "leased is 0.00 USD, the sum of what is out with proxies that are not silent 0.00000006 USD"},
		},
		"a window that forgot what is out with a silent proxy": {
			[]string{`UPDATE windows SET uncertain = 0`},
			[]string{window + "uncertain is 0.00 USD, the sum of the history and of what is out with silent proxies 0.000000007 USD"},
		},
		"a proxy that fell silent without a word": {
			[]string{`UPDATE proxies SET silent = 1`},
			[]string{
				window + "uncertain is 0.000000007 USD, the sum of the history and of what is out with silent proxies 0.000000067 USD",
				window + "leased is 0.00000006 USD, the sum of what is out with proxies that are not silent 0.00 USD",
			},
		},
		"a window of a budget that was taken away": {
			[]string{`UPDATE accounts SET active = 0`},
			[]string{window + "the window is there though the budget was taken away"},
		},
		"a window that begins when none does": {
			[]string{`UPDATE windows SET start = 5`},
			[]string{"in the window from 1970-01-01T00:00:00.005Z: no Total begins then"},
		},
		"a lease of which too much was taken": {
			[]string{`UPDATE leases SET taken = 130 WHERE granted = 100`},
			[]string{
				"of proxy proxy (pod), budget total of route ai/chat: 0.00000013 USD are taken of 0.0000001 USD that were granted",
			},
		},
		"a lease of less than nothing": {
			[]string{`UPDATE leases SET granted = -1, taken = -1 WHERE granted = 7`},
			[]string{"of proxy silent (pod), budget total of route ai/chat: -0.000000001 USD are taken of -0.000000001 USD that were granted"},
		},
		"a lease of a proxy that was released": {
			[]string{`UPDATE leases SET proxy_id = (SELECT id FROM proxies WHERE proxy_id = 'released') WHERE granted = 100`},
			[]string{"of proxy released (pod), budget total of route ai/chat: 0.00000006 USD are out though the proxy was released"},
		},
		"a lease of nobody": {
			[]string{`UPDATE leases SET proxy_id = 99 WHERE granted = 7`},
			[]string{"the table leases: row ", "is of something that is not in the table proxies"},
		},
		"a release that nobody answers for": {
			[]string{`DELETE FROM releases`},
			[]string{"proxy released (pod): it is released, and nobody is on record for it"},
		},
		"a proxy that gave back what it has not reported": {
			[]string{`UPDATE proxies SET gave_back = 9 WHERE proxy_id = 'proxy'`},
			[]string{"proxy proxy (pod): record 9 gave everything back, 1 are applied"},
		},
		"a session that cannot be": {
			[]string{`UPDATE proxies SET epoch = 0, token_hash = x'00' WHERE proxy_id = 'proxy'`},
			[]string{"proxy proxy (pod): its session is damaged: epoch 0, a token of 1 bytes"},
		},
		"a route without books": {
			[]string{`DELETE FROM history`, `DELETE FROM windows`, `DELETE FROM accounts`, `DELETE FROM scopes WHERE consumer = ''`},
			[]string{"route ai/chat: it has no books of its own"},
		},
		"an index that lacks rows": {
			[]string{
				`PRAGMA writable_schema = 1`,
				`UPDATE sqlite_schema SET sql = 'CREATE INDEX leases_of_account ON leases (start)' WHERE name = 'leases_of_account'`,
			},
			[]string{"the database file: row 1 missing from index leases_of_account"},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			dir := seeded(t)
			edit(t, dir, test.planted...)
			verdict, err := VerifyDir(t.Context(), dir, time.Now())
			if err != nil {
				t.Fatalf("VerifyDir: %v", err)
			}
			found := make([]string, 0, len(verdict.Discrepancies))
			for _, one := range verdict.Discrepancies {
				found = append(found, one.About+": "+one.Problem)
			}
			for _, want := range test.want {
				if !strings.Contains(strings.Join(found, "\n"), want) {
					t.Errorf("found\n  %s\nwant\n  %s", strings.Join(found, "\n  "), want)
				}
			}
		})
	}
}

func TestWhatCannotBeVerified(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"books that a ledger has open": {func(t *testing.T, dir string) { opened(t, dir) }, "in use by another ledger"},
		"no books": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
				t.Fatal(err)
			}
		}, "looking for the ledger's books"},
		"books of a later version": {func(t *testing.T, dir string) {
			edit(t, dir, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		}, "written by a later version"},
		"books of an earlier version": {func(t *testing.T, dir string) {
			edit(t, dir, `DELETE FROM goose_db_version WHERE version_id > 1`)
		}, "start this one on it once"},
		"another program's database": {func(t *testing.T, dir string) {
			edit(t, dir, `DROP TABLE goose_db_version`)
		}, "cannot be read as a ledger's"},
		"a file that is no database": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, fileName), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "file is not a database"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			dir := seeded(t)
			test.change(t, dir)
			if _, err := VerifyDir(t.Context(), dir, time.Now()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("VerifyDir: %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestAPageThatIsDamagedIsFound(t *testing.T) {
	dir := seeded(t)
	path := filepath.Join(dir, fileName)
	content := []byte(filesOf(t, dir))
	const page = 4096
	clear(content[len(content)-page:])
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	verdict, err := VerifyDir(t.Context(), dir, time.Now())
	if err != nil || len(verdict.Discrepancies) == 0 {
		t.Errorf("VerifyDir = %+v, %v, want the damage", verdict, err)
	}
}
