package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	storetest.Run(t, func(t *testing.T, now func() time.Time) func() store.Store {
		dir := t.TempDir()
		return func() store.Store {
			opened, err := Open(t.Context(), Options{Dir: dir, Now: now})
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			return opened
		}
	})
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
	if err := s.PutRoute(ctx, chat); err != nil {
		return store.Credential{}, err
	}
	token := sha256.Sum256([]byte("token"))
	epoch, err := s.OpenSession(ctx, time.Now(), store.NewSession{
		ProxyID: "proxy", Instance: "pod", Routes: []store.RouteKey{routeKey(chat)}, Identity: "server", Token: token,
	})
	return store.Credential{ProxyID: "proxy", Epoch: epoch, Token: token}, err
}

func demand(sequence, nano int64) store.Demand {
	return store.Demand{Sequence: sequence, Route: routeKey(chat), Consumer: "alice", Amount: money.FromNano(nano), Identity: "server"}
}

func TestOneProcessHasTheBooks(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir)
	if _, err := Open(t.Context(), Options{Dir: dir, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "in use by another ledger") {
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
	s.onWriter(t, "PRAGMA max_page_count = 1") // SQLite takes this as: no page more than there are.
	granted := int64(0)
	var full error
	for full == nil {
		if granted > 10_000 {
			t.Fatal("the disk does not get full")
		}
		if _, full = s.Reserve(t.Context(), time.Now(), credential, demand(granted+1, 1)); full == nil {
			granted++
		}
	}
	if !errors.Is(full, store.ErrFull) {
		t.Fatalf("error %v, want ErrFull", full)
	}
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if held := usage[0].Spend.Held.Nano(); held != granted {
		t.Errorf("%d are held, want the %d that were granted", held, granted)
	}
	s.onWriter(t, "PRAGMA max_page_count = 100000")
	if denial, err := s.Reserve(t.Context(), time.Now(), credential, demand(granted+1, 1)); err != nil || denial != nil {
		t.Errorf("with room on the disk: denial %+v, error %v", denial, err)
	}
}

// blocked keeps the writer busy until it is released, so that the calls that are made meanwhile become one group.
func (s *Store) blocked(t *testing.T, waiting *sync.WaitGroup) (release func()) {
	t.Helper()
	entered, released := make(chan struct{}), make(chan struct{})
	waiting.Go(func() {
		err := s.submit(&call{ctx: t.Context(), do: func(*tx) (error, error) {
			close(entered)
			<-released
			return nil, nil
		}})
		if err != nil {
			t.Error(err)
		}
	})
	<-entered
	return func() { close(released) }
}

// queued waits until so many calls wait for the writer.
func (s *Store) queued(calls int) {
	for len(s.queue) < calls {
		time.Sleep(time.Millisecond)
	}
}

func TestWhatIsGivenBackCanBeHeldInTheSameGroup(t *testing.T) {
	for window, name := range map[string]string{"in a window that is there": "total", "in a window that is opened": "new"} {
		t.Run(window, func(t *testing.T) { giveBackAndHold(t, name) })
	}
}

// giveBackAndHold settles and reserves in one group, under a budget of the name that was put after the first hold.
func giveBackAndHold(t *testing.T, name string) {
	s, credential := opened(t, t.TempDir())
	if denial, err := s.Reserve(t.Context(), time.Now(), credential, demand(1, 90)); denial != nil || err != nil {
		t.Fatalf("denial %+v, error %v", denial, err)
	}
	small := chat
	small.Budgets = []store.Budget{{Name: name, Limit: money.FromNano(100), Period: budget.Total, Enforcement: budget.Deny}}
	if err := s.PutRoute(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	waiting.Go(func() {
		if denial, err := s.Reserve(t.Context(), time.Now(), credential, demand(2, 60)); denial != nil || err != nil {
			t.Errorf("denial %+v, error %v", denial, err)
		}
	})
	s.queued(1)
	waiting.Go(func() {
		one := store.Settlement{Epoch: credential.Epoch, Sequence: 1, Amount: money.FromNano(40), Route: routeKey(chat), Consumer: "alice"}
		if _, err := s.Settle(t.Context(), time.Now(), credential, []store.Settlement{one}); err != nil {
			t.Error(err)
		}
	})
	s.queued(2)
	release()
	waiting.Wait()
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Spend{Settled: money.FromNano(40), Held: money.FromNano(60)}
	if got := usage[0].Budgets[0].Spend; got != want || usage[0].Spend != want {
		t.Errorf("the budget has %+v, the route %+v, want %+v", got, usage[0].Spend, want)
	}
}

func TestACallThatCannotBeWrittenDoesNotTakeOthersWithIt(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	for sequence := range int64(10) {
		waiting.Go(func() {
			if _, err := s.Reserve(t.Context(), time.Now(), credential, demand(sequence+1, 1)); err != nil {
				t.Errorf("Reserve: %v", err)
			}
		})
	}
	waiting.Go(func() {
		err := s.submit(&call{ctx: t.Context(), do: func(tx *tx) (error, error) {
			_, err := tx.exec(`INSERT INTO routes (namespace, name, server) VALUES (NULL, NULL, NULL)`)
			return nil, err
		}})
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("error %v, want ErrFailed", err)
		}
	})
	s.queued(11)
	release()
	waiting.Wait()
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil || usage[0].Spend.Held.Nano() != 10 || usage[0].Budgets[0].Spend.Held.Nano() != 10 {
		t.Errorf("usage = %+v, %v, want 10 held", usage, err)
	}
}

func TestCallsAfterCloseFail(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve(t.Context(), time.Now(), credential, demand(1, 1)); !errors.Is(err, store.ErrFailed) {
		t.Errorf("error %v, want ErrFailed", err)
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

func TestAProxyThatIsHeardJustInTimeKeepsItsHolds(t *testing.T) {
	s, credential := opened(t, t.TempDir())
	began := time.Now()
	if denial, err := s.Reserve(t.Context(), began, credential, demand(1, 90)); denial != nil || err != nil {
		t.Fatalf("denial %+v, error %v", denial, err)
	}
	var waiting sync.WaitGroup
	release := s.blocked(t, &waiting)
	waiting.Go(func() {
		if lapsed, err := s.ExpireSilent(t.Context(), began); lapsed != 0 || err != nil {
			t.Errorf("%d holds lapsed, error %v", lapsed, err)
		}
	})
	s.queued(1) // The proxy was found silent.
	waiting.Go(func() {
		if err := s.Heartbeat(t.Context(), began.Add(time.Second), credential, store.Beat{}); err != nil {
			t.Error(err)
		}
	})
	s.queued(2)
	release()
	waiting.Wait()
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil || usage[0].Spend.Held.Nano() != 90 {
		t.Errorf("usage = %+v, %v, want 90 held", usage, err)
	}
}
