package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
)

// TestDeadlocksAreTriedAgain has another program lock the rows in the wrong order, again and again.
func TestDeadlocksAreTriedAgain(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"deadlock_timeout=5ms"}})
	dsn := server.Database(t)
	var deadlocks atomic.Int64
	s := opened(t, Options{DSN: dsn, OnRetry: func(cause error) {
		if stateOf(cause) == "40P01" {
			deadlocks.Add(1)
		}
	}})
	put(t, s, 1<<40)
	c := began(t, s, "proxy")
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = s.lockBackwards(t.Context()) // One of the two has to give way.
				}
			}
		})
	}
	for n := 0; deadlocks.Load() < 5; n++ {
		if granted, err := c.draw(t.Context(), s, 1); err != nil || !granted {
			t.Errorf("draw %d: granted = %t, %v", n, granted, err)
			break
		}
		c.spend(1)
		if err := c.ship(t.Context(), s); err != nil {
			t.Errorf("append %d: %v", n, err)
			break
		}
	}
	close(stop)
	running.Wait()
	if got := spendOf(t, s); got.Settled.Nano() != c.spent || !got.Leased.IsZero() {
		t.Errorf("the books have %+v, the proxy has spent %d", got, c.spent)
	}
}

// lockBackwards locks a scope first and then the proxy.
func (s *Store) lockBackwards(ctx context.Context) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	for _, statement := range []string{`SELECT id FROM scopes ORDER BY id DESC FOR UPDATE`, `SELECT id FROM proxies FOR UPDATE`} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
	}
	return tx.Rollback(ctx)
}

func TestWhatIsTriedAgain(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	for reason, test := range map[string]struct {
		state string
		tries int
		want  error
	}{
		"a serialisation failure passes":              {"40001", 3, nil},
		"a deadlock passes":                           {"40P01", 3, nil},
		"one that does not pass is given up":          {"40001", 1000, store.ErrFailed},
		"a server that is starting is given a chance": {"57P03", 1, nil},
		"one that does not start is given up":         {"57P03", 1000, store.ErrFailed},
		"a mistake is not tried again":                {"42601", 1, store.ErrFailed},
		"a full disk is not tried again":              {"53100", 1, store.ErrFull},
	} {
		t.Run(reason, func(t *testing.T) {
			s := opened(t, Options{DSN: server.Database(t)})
			tries := 0
			err := s.transact(t.Context(), "trying", func(x *tx) error {
				if tries++; tries <= test.tries {
					return fmt.Errorf("a statement: %w", &pgconn.PgError{Code: test.state})
				}
				return x.commit(x.batch())
			})
			if !errors.Is(err, test.want) {
				t.Errorf("after %d tries: %v, want %v", tries, err, test.want)
			}
			if tries > 20 {
				t.Errorf("it was tried %d times", tries)
			}
		})
	}
}

func TestAFullDiskChangesNothingAndPasses(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	s := opened(t, Options{DSN: dsn})
	put(t, s, 100)
	c := began(t, s, "proxy")
	if granted, err := c.draw(t.Context(), s, 10); err != nil || !granted {
		t.Fatalf("granted = %t, %v", granted, err)
	}
	c.spend(3)
	before := spendOf(t, s)
	server.Exec(t, dsn, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$`)
	for _, table := range []string{"windows", "leases"} {
		server.Exec(t, dsn, `CREATE TRIGGER full_disk BEFORE UPDATE ON `+table+` EXECUTE FUNCTION full_disk()`)
		if err := c.ship(t.Context(), s); !errors.Is(err, store.ErrFull) {
			t.Errorf("Append: %v, want ErrFull", err)
		}
		if _, err := c.draw(t.Context(), s, 1); !errors.Is(err, store.ErrFull) {
			t.Errorf("Draw: %v, want ErrFull", err)
		}
		if got := spendOf(t, s); got != before {
			t.Errorf("the books have %+v, before %+v", got, before)
		}
		server.Exec(t, dsn, `DROP TRIGGER full_disk ON `+table)
	}
	if err := c.ship(t.Context(), s); err != nil {
		t.Errorf("Append when there is room again: %v", err)
	}
	audit(t, s)
}
