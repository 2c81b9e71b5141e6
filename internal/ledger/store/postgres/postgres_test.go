package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
	"github.com/modelroute/modelroute/internal/ledger/store/storetest"
	"github.com/modelroute/modelroute/internal/money"
)

func TestStore(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	emptyBooks := func(t *testing.T, now func() time.Time) storetest.Books {
		dsn := server.Database(t)
		return storetest.Books{
			Open: func() store.Store {
				s, err := Open(t.Context(), Options{DSN: dsn, Now: now, MaxConnections: 4})
				if err != nil {
					t.Fatalf("Open: %v", err)
				}
				return s
			},
			Forget: func(store.Store) { server.Exec(t, dsn, `DELETE FROM windows`) },
			Edit: func(_ store.Store, statements ...string) {
				for _, statement := range append([]string{dropConstraints}, statements...) {
					server.Exec(t, dsn, statement)
				}
			},
			Remembers: true,
		}
	}
	storetest.Run(t, emptyBooks)
	storetest.RunOperable(t, emptyBooks)
}

// dropConstraints lets a test put what it wants into the tables.
const dropConstraints = `DO $$ DECLARE one record; BEGIN
	FOR one IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint WHERE contype IN ('c', 'f') AND conrelid <> 0 LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.owner, one.conname);
	END LOOP; END $$`

func TestReplicasThatBeginTogetherMigrateOnce(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	for range 3 {
		dsn := server.Database(t)
		var opening sync.WaitGroup
		for range 8 {
			opening.Go(func() {
				s, err := Open(t.Context(), Options{DSN: dsn, Now: time.Now})
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		opening.Wait()
	}
}

func TestBooksOfALaterVersionAreRefused(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	opened(t, Options{DSN: dsn})
	server.Exec(t, dsn, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`)
	if _, err := Open(t.Context(), Options{DSN: dsn, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("Open: %v, want a refusal", err)
	}
}

func TestReplicasRaceForTheLastDollar(t *testing.T) {
	const limit, racers = 1000, 12
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	replicas := []*Store{opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})}
	put(t, replicas[0], limit)
	clients := make([]*client, racers)
	for i := range clients {
		clients[i] = began(t, replicas[i%len(replicas)], fmt.Sprintf("proxy-%d", i))
	}
	var racing sync.WaitGroup
	for i, c := range clients {
		racing.Go(func() {
			for n := range 40 {
				// Each of its calls goes to another replica.
				s := replicas[(i+n)%len(replicas)]
				granted, err := c.draw(t.Context(), s, 1+int64(i*7+n*3)%13)
				if err != nil {
					t.Error(err)
					return
				}
				if granted && n%2 == 0 {
					c.spend(1)
					if err := c.ship(t.Context(), replicas[(i+n+1)%len(replicas)]); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	racing.Wait()
	var granted, spent int64
	for _, c := range clients {
		granted, spent = granted+c.granted, spent+c.spent
	}
	if granted > limit {
		t.Errorf("%d nano-USD were granted under a limit of %d", granted, limit)
	}
	if want := (store.Spend{Settled: money.FromNano(spent), Leased: money.FromNano(granted - spent)}); spendOf(t, replicas[1]) != want {
		t.Errorf("the books have %+v, the proxies %+v", spendOf(t, replicas[1]), want)
	}
	last := clients[0]
	if got, err := last.draw(t.Context(), replicas[0], limit-granted+1); err != nil || got {
		t.Errorf("one nano-dollar more than what is left: granted = %t, %v", got, err)
	}
	if got, err := last.draw(t.Context(), replicas[1], limit-granted); err != nil || !got {
		t.Errorf("what is left: granted = %t, %v", got, err)
	}
}

func TestACallThatIsMadeAtSeveralReplicasCountsOnce(t *testing.T) {
	const rounds = 20
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	replicas := []*Store{opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})}
	put(t, replicas[0], 1<<40)
	c := began(t, replicas[0], "proxy")
	// everywhere makes the same call several times at once, of which one is remembered.
	everywhere := func(call func(c *client, s *Store) error) {
		var calling sync.WaitGroup
		for n := range 6 {
			same := *c
			calling.Go(func() {
				if err := call(&same, replicas[n%len(replicas)]); err != nil {
					t.Error(err)
				}
			})
		}
		calling.Wait()
		if err := call(c, replicas[0]); err != nil {
			t.Error(err)
		}
	}
	for range rounds {
		everywhere(func(c *client, s *Store) error {
			_, err := c.draw(t.Context(), s, 5)
			return err
		})
		c.spend(2)
		c.spend(1)
		everywhere(func(c *client, s *Store) error { return c.ship(t.Context(), s) })
	}
	if want := (store.Spend{Settled: money.FromNano(rounds * 3), Leased: money.FromNano(rounds * 2)}); spendOf(t, replicas[1]) != want {
		t.Errorf("the books have %+v, want %+v", spendOf(t, replicas[1]), want)
	}
	audit(t, replicas[0])
}

func TestAnEditIsKnownToEveryReplica(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	one, other := opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})
	put(t, one, 100)
	c := began(t, one, "proxy")
	for n, s := range []*Store{one, other, one, other} {
		if granted, err := c.draw(t.Context(), s, 1); err != nil || !granted {
			t.Fatalf("draw %d: %t, %v", n, granted, err)
		}
	}
	put(t, one, 4)
	if granted, err := c.draw(t.Context(), other, 1); err != nil || granted {
		t.Errorf("above the limit as another replica has lowered it: granted = %t, %v", granted, err)
	}
	put(t, other, 5)
	if granted, err := c.draw(t.Context(), one, 1); err != nil || !granted {
		t.Errorf("below the limit as another replica has raised it: granted = %t, %v", granted, err)
	}
}

func TestASessionHasOneEpochInAllReplicas(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	one, other := opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})
	put(t, one, 100)
	old := began(t, one, "proxy")
	young := began(t, other, "proxy")
	for _, s := range []*Store{one, other} {
		if _, err := old.draw(t.Context(), s, 1); !errors.Is(err, store.ErrUnknownSession) {
			t.Errorf("a draw of an ended session: %v", err)
		}
		if _, err := young.draw(t.Context(), s, 1); err != nil {
			t.Errorf("a draw of the session: %v", err)
		}
	}
}

func TestAReplicaThatBeganJustNowTakesNobodyForSilent(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	now := time.Now()
	clock := func() time.Time { return now }
	old := opened(t, Options{DSN: dsn, Now: clock})
	put(t, old, 100)
	if _, err := old.OpenSession(t.Context(), now, store.NewSession{ProxyID: "proxy", Identity: "server"}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	young := opened(t, Options{DSN: dsn, Now: clock})
	for _, step := range []struct {
		replica *Store
		want    int
	}{{young, 0}, {old, 1}, {old, 0}, {young, 0}} {
		if got, err := step.replica.ExpireSilent(t.Context(), now.Add(-30*time.Second)); err != nil || got.Proxies != step.want {
			t.Errorf("%+v are silent, %v, want %d", got, err, step.want)
		}
	}
}

func TestNoErrorHasThePassword(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	good := server.Database(t)
	secret := server.Password()
	for reason, dsn := range map[string]string{
		"a database that is not there": strings.Replace(good, "/test1", "/test99", 1),
		"a user that is not there":     strings.Replace(good, "ledger:", "nobody:", 1),
		"a port where nobody is":       "postgres://ledger:" + secret + "@127.0.0.1:1/test1",
		"a host that is none":          "postgres://ledger:" + secret + "@no.such.host.invalid/test1",
		"a port that is none":          "postgres://ledger:" + secret + "@127.0.0.1:port/test1",
		"a URL with a bad escape":      "postgres://ledger:" + secret + "%zz@127.0.0.1/test1",
		"words":                        "the password is " + secret,
		"a bad setting":                "host=127.0.0.1 password=" + secret + " sslmode=nonsense",
	} {
		t.Run(reason, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := Open(ctx, Options{DSN: dsn, Now: time.Now})
			if err == nil {
				t.Fatal("it was opened")
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %q", err, err, err)} {
				if strings.Contains(text, secret) {
					t.Errorf("the error has the password: %s", strings.ReplaceAll(text, secret, "(the password)"))
				}
			}
		})
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	s := opened(t, Options{DSN: dsn})
	put(t, s, 100)
	c := began(t, s, "proxy")
	locked := s.holdLock(t, `SELECT id FROM proxies FOR UPDATE`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.draw(ctx, s, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a draw that waits for a lock when its context ends: %v", err)
	}
	locked()
	if granted, err := c.draw(t.Context(), s, 1); err != nil || !granted {
		t.Errorf("after that: granted = %t, %v", granted, err)
	}
}

func TestAStatementThatTakesTooLongFails(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	s := opened(t, Options{DSN: dsn, StatementTimeout: 50 * time.Millisecond})
	put(t, s, 100)
	c := began(t, s, "proxy")
	locked := s.holdLock(t, `SELECT id FROM proxies FOR UPDATE`)
	if _, err := c.draw(t.Context(), s, 1); !errors.Is(err, store.ErrFailed) {
		t.Errorf("a draw that waits for a lock: %v, want ErrFailed", err)
	}
	locked()
	if granted, err := c.draw(t.Context(), s, 1); err != nil || !granted {
		t.Errorf("after that: granted = %t, %v", granted, err)
	}
}

// holdLock runs a statement in a transaction that is open until unlock is called.
func (s *Store) holdLock(t *testing.T, statement string) (unlock func()) {
	t.Helper()
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
