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

func TestAnIndexThatLacksRowsIsFound(t *testing.T) {
	dir := seeded(t)
	edit(t, dir, `PRAGMA writable_schema = 1`,
		`UPDATE sqlite_schema SET sql = 'CREATE INDEX leases_of_account ON leases (start)' WHERE name = 'leases_of_account'`)
	verdict, err := VerifyDir(t.Context(), dir, time.Now())
	if err != nil || !strings.Contains(fmt.Sprint(verdict.Discrepancies), "the database file row 1 missing from index leases_of_account") {
		t.Errorf("VerifyDir = %+v, %v, want the index", verdict, err)
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
