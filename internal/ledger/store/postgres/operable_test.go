package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
)

func TestBooksAreProvenWhileTheyAreInUse(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	l := &load{limit: 1 << 40, replicas: []*Store{opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})}}
	l.under(t, func() {
		for range 30 {
			l.moves(t, l.replicas[0], 5)
			audit(t, l.replicas[1])
		}
	})
}

// TestProvingTheBooksKeepsNobodyWaiting draws and reports while a reading of the books is open, and sees nothing of it in the reading.
func TestProvingTheBooksKeepsNobodyWaiting(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	s := opened(t, Options{DSN: server.Database(t)})
	put(t, s, 1<<40)
	c := began(t, s, "proxy")
	if granted, err := c.draw(t.Context(), s, 10); err != nil || !granted {
		t.Fatalf("a draw: %t, %v", granted, err)
	}
	err := s.inspect(t.Context(), "looking", func(r reading) error {
		var before, after store.Verdict
		if err := inspect.Prove(r, time.Now(), &before); err != nil {
			return err
		}
		c.spend(10)
		granted, err := c.draw(t.Context(), s, 100)
		if err != nil || !granted {
			t.Errorf("a draw meanwhile: %t, %v", granted, err)
		}
		put(t, s, 1<<41)
		began(t, s, "another")
		if err := errors.Join(c.ship(t.Context(), s), inspect.Prove(r, time.Now(), &after)); err != nil {
			return err
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("one reading saw %+v and then %+v", before, after)
		}
		_, err = r.conn.Exec(r.ctx, `UPDATE windows SET leased = 0`)
		if stateOf(err) != "25006" {
			t.Errorf("writing while reading: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	audit(t, s)
}

func TestProvingTheBooksEndsWithItsContext(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	s := opened(t, Options{DSN: server.Database(t), StatementTimeout: 100 * time.Millisecond, MaxConnections: 2})
	locked := s.holdLock(t, `LOCK TABLE history IN ACCESS EXCLUSIVE MODE`)
	defer locked()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// It outlives the time for a statement, which is for calls.
	if _, err := s.Verify(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Verify: %v, want that its time is over", err)
	}
}

func TestAConnectionThatIsLostBeginsTheProofAnew(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	var lost sync.Once
	retried := 0
	s := opened(t, Options{DSN: dsn, OnRetry: func(error) { retried++ }})
	put(t, s, 100)
	found := 0
	err := s.inspect(t.Context(), "looking", func(r reading) error {
		found = 0
		lost.Do(func() {
			server.Exec(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'modelroute-ledger'`)
		})
		return r.Rows(`SELECT id FROM scopes`, func(inspect.Scan) error {
			found++
			return nil
		})
	})
	if err != nil || retried != 1 || found != 2 {
		t.Errorf("read %d scopes after %d retries, %v, want both after one", found, retried, err)
	}
}

func TestFilesThatAreDamagedAreADiscrepancy(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	s := opened(t, Options{DSN: dsn})
	put(t, s, 100)
	c := began(t, s, "proxy")
	if granted, err := c.draw(t.Context(), s, 10); err != nil || !granted {
		t.Fatalf("a draw: %t, %v", granted, err)
	}
	server.Exec(t, dsn, `CHECKPOINT`)
	var dir, table string
	err := s.inspect(t.Context(), "looking for the file", func(r reading) error {
		return r.Rows(`SELECT current_setting('data_directory'), pg_relation_filepath('leases')`, func(scan inspect.Scan) error {
			return scan(&dir, &table)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	file, err := os.OpenFile(filepath.Join(dir, table), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte(strings.Repeat("x", 512)), 0)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	verdict, err := s.Verify(t.Context(), time.Now())
	if err != nil || len(verdict.Discrepancies) != 1 || verdict.Discrepancies[0].About != "the database" {
		t.Errorf("Verify = %+v, %v, want the damage", verdict, err)
	}
}
