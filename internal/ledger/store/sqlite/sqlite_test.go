package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/storetest"
	"github.com/modelroute/modelroute/internal/money"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

func TestStore(t *testing.T) {
	storetest.Run(t, emptyBooks)
	storetest.RunOperable(t, emptyBooks)
}

func emptyBooks(t *testing.T, now func() time.Time) storetest.Books {
	dir := t.TempDir()
	return storetest.Books{
		Open: func() store.Store {
			opened, err := Open(t.Context(), Options{Dir: dir, Now: now})
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			return opened
		},
		Forget: func(s store.Store) { forgetWindows(t, s.(*Store)) },
		Edit:   func(_ store.Store, statements ...string) { edit(t, dir, statements...) },
	}
}

// forgetWindows drops what can be summed from the history and the leases.
func forgetWindows(t *testing.T, s *Store) {
	t.Helper()
	err := s.submit(&call{ctx: t.Context(), alone: true, do: func(tx *tx) (error, error) {
		tx.forgetAll()
		_, err := tx.exec(`DELETE FROM windows`)
		return nil, err
	}})
	if err != nil {
		t.Fatal(err)
	}
}

var chat = store.Route{
	Namespace: "ai", Name: "chat", Server: "server", Consumers: []string{"alice"},
	Budgets: []store.Budget{{Name: "total", Limit: money.FromNano(store.MaxLimit), Period: budget.Total, Enforcement: budget.Deny}},
}

// opened opens the directory and a session for the route.
func opened(t *testing.T, dir string) (*Store, store.Credential) {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Now: time.Now})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	credential, err := begin(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return s, credential
}

func begin(ctx context.Context, s *Store) (store.Credential, error) {
	credential, _, err := beginAs(ctx, s, "proxy")
	return credential, err
}

// beginAs puts the route and opens a session of the proxy; it returns how much of its log is applied.
func beginAs(ctx context.Context, s *Store, proxyID string) (credential store.Credential, applied int64, err error) {
	if err := s.PutRoute(ctx, chat); err != nil {
		return store.Credential{}, 0, err
	}
	token := sha256.Sum256([]byte("token"))
	opened, err := s.OpenSession(ctx, time.Now(), store.NewSession{
		ProxyID: proxyID, Instance: "pod", Routes: []store.RouteKey{routeKey(chat)}, Identity: "server", Token: token,
	})
	return store.Credential{ProxyID: proxyID, Epoch: opened.Epoch, Token: token}, opened.Applied, err
}

// drawn draws an amount and returns its lease; 0 if that was denied.
func drawn(ctx context.Context, s *Store, credential store.Credential, sequence, nano int64) (int64, error) {
	answers, err := s.Draw(ctx, time.Now(), credential, store.Draw{Sequence: sequence, Identity: "server", Demands: []store.Demand{
		{Route: routeKey(chat), Consumer: "alice", Amount: money.FromNano(nano)},
	}})
	if err != nil || answers[0].Denial != nil {
		return 0, err
	}
	return answers[0].Leases[0].ID, answers[0].Err
}

// mustDraw draws an amount and expects to get it.
func mustDraw(t *testing.T, s *Store, credential store.Credential, sequence, nano int64) int64 {
	t.Helper()
	lease, err := drawn(t.Context(), s, credential, sequence, nano)
	if err != nil || lease == 0 {
		t.Fatalf("drawing %d: lease %d, error %v", nano, lease, err)
	}
	return lease
}

// settlement is one of alice that takes all that it cost off a lease.
func settlement(lease, nano int64) store.Record {
	return store.Record{Settlement: &store.Settlement{
		Route: routeKey(chat), Consumer: "alice", OpenedAt: time.Now(), Amount: money.FromNano(nano),
		Charges: []store.Charge{{Lease: lease, Amount: money.FromNano(nano)}},
	}}
}

// wantTotal compares what the first budget of the route has, and what is settled on the route.
func wantTotal(t *testing.T, s *Store, settled, uncertain, leased int64) {
	t.Helper()
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain), Leased: money.FromNano(leased)}
	if got := usage.Routes[0].Budgets[0].Spend; got != want || usage.Routes[0].Spend.Settled != want.Settled {
		t.Errorf("the budget has %+v, the route %+v, want %+v", got, usage.Routes[0].Spend, want)
	}
}

func TestOneProcessHasTheBooks(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir, Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "in use by another ledger") {
		t.Errorf("opening the books twice: %v, want a refusal", err)
	}
}

func TestDamagedBooksAreRefused(t *testing.T) {
	cases := map[string]struct {
		damage func(content []byte)
		want   string
	}{
		"a header that is none": {func(content []byte) { copy(content, "this is no database") }, "cannot be read, restore it from a backup"},
		"pages of zeros":        {func(content []byte) { clear(content[len(content)/2:]) }, "restore it from a backup"},
	}
	for damage, test := range cases {
		t.Run(damage, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(t.Context(), Options{Dir: dir, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := begin(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, fileName)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			test.damage(content)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), Options{Dir: dir, Now: time.Now}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestBooksOfALaterVersionAreRefused(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	s.onWriter(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("Open: %v, want a refusal", err)
	}
}

// onWriter runs a statement on the writer's connection.
func (s *Store) onWriter(t *testing.T, query string) {
	t.Helper()
	err := s.submit(&call{ctx: t.Context(), do: func(tx *tx) (error, error) {
		_, err := tx.conn.ExecContext(tx.ctx, query)
		return nil, err
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskChangesNothingAndPasses(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	lease := mustDraw(t, s, credential, 1, 1_000_000)
	s.onWriter(t, "PRAGMA max_page_count = 1") // SQLite takes this as: no page more than there are.
	// Each settlement is in another quarter of an hour, so that the history grows.
	record, applied := settlement(lease, 1), int64(0)
	record.Settlement.Charges = nil
	var full error
	for full == nil {
		if applied > 100_000 {
			t.Fatal("the disk does not get full")
		}
		record.Settlement.OpenedAt = time.Unix(applied*int64(store.Bucket.Seconds()), 0)
		if _, full = s.Append(t.Context(), time.Now(), credential, applied+1, []store.Record{record}); full == nil {
			applied++
		}
	}
	if !errors.Is(full, store.ErrFull) {
		t.Fatalf("error %v, want ErrFull", full)
	}
	wantTotal(t, s, applied, 0, 1_000_000)
	s.onWriter(t, "PRAGMA max_page_count = 100000")
	appended, err := s.Append(t.Context(), time.Now(), credential, applied+1, []store.Record{record})
	if err != nil || appended.Applied != applied+1 {
		t.Errorf("with room on the disk: %+v, error %v", appended, err)
	}
	wantTotal(t, s, applied+1, 0, 1_000_000)
}

func TestCallsAfterCloseFail(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := drawn(t.Context(), s, credential, 1, 1); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Draw: %v, want ErrFailed", err)
	}
	if _, err := s.Append(t.Context(), time.Now(), credential, 1, nil); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Append: %v, want ErrFailed", err)
	}
}

func TestEveryCommitIsSyncedToDisk(t *testing.T) {
	s, _ := opened(t, t.TempDir())
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		err := s.submit(&call{ctx: t.Context(), do: func(tx *tx) (error, error) {
			return nil, tx.conn.QueryRowContext(tx.ctx, "PRAGMA "+pragma).Scan(&got)
		}})
		if err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
}

func TestADenialWritesNothing(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	mustDraw(t, s, credential, 1, store.MaxLimit)
	if lease, err := drawn(t.Context(), s, credential, 2, 1); lease != 0 || err != nil {
		t.Fatalf("lease %d, error %v, want a denial", lease, err)
	}
	before := s.changes(t)
	for sequence := range int64(10) {
		if lease, err := drawn(t.Context(), s, credential, 3+sequence, 1); lease != 0 || err != nil {
			t.Fatalf("lease %d, error %v, want a denial", lease, err)
		}
	}
	if after := s.changes(t); after != before {
		t.Errorf("%d rows were changed by denials", after-before)
	}
}

// changes is how many rows the writer has changed since it connected.
func (s *Store) changes(t *testing.T) (total int) {
	t.Helper()
	err := s.submit(&call{ctx: t.Context(), do: func(tx *tx) (error, error) {
		return nil, tx.conn.QueryRowContext(tx.ctx, "SELECT total_changes()").Scan(&total)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestAReleaseIsKept(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	mustDraw(t, s, credential, 1, 90)
	at := time.Now().Add(time.Minute)
	freed, err := s.ReleaseProxy(t.Context(), at, at, store.Release{ProxyID: "proxy", By: "admin", Reason: "its node burnt"})
	if err != nil || freed.Nano() != 90 {
		t.Fatalf("%s freed, error %v, want 90", freed, err)
	}
	var proxy, by, reason string
	var amount, when int64
	row := s.read.QueryRowContext(t.Context(), `SELECT proxy_id, by, reason, amount, at FROM releases`)
	if err := row.Scan(&proxy, &by, &reason, &amount, &when); err != nil {
		t.Fatal(err)
	}
	if proxy != "proxy" || by != "admin" || reason != "its node burnt" || amount != 90 || when != at.UnixMilli() {
		t.Errorf("the release is kept as %s by %s because %q, %d at %d", proxy, by, reason, amount, when)
	}
	wantTotal(t, s, 0, 0, 0)
}

func TestEveryBudgetThatIsSpentFromHasARow(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	warns := chat
	warns.Budgets = []store.Budget{{Name: "year", Limit: money.FromNano(1), Period: budget.Year, Enforcement: budget.Warn}}
	if err := s.PutRoute(t.Context(), warns); err != nil {
		t.Fatal(err)
	}
	for number := range int64(2) {
		if _, err := s.Append(t.Context(), time.Now(), credential, number+1, []store.Record{settlement(0, 5)}); err != nil {
			t.Fatal(err)
		}
	}
	var rows, settled int64
	if err := s.read.QueryRowContext(t.Context(), `SELECT count(*), sum(settled) FROM windows`).Scan(&rows, &settled); err != nil {
		t.Fatal(err)
	}
	if rows != 1 || settled != 10 {
		t.Errorf("%d rows with %d settled, want one with 10: to sum a year whenever the usage is read takes too long", rows, settled)
	}
}
