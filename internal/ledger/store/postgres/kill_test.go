package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
	"github.com/modelroute/modelroute/internal/money"
)

// audit proves the books.
func audit(t testing.TB, s *Store) {
	t.Helper()
	verdict, err := s.Verify(t.Context(), time.Now())
	if err != nil || verdict.Windows == 0 || len(verdict.Discrepancies) > 0 {
		t.Errorf("the books: %+v, error %v", verdict, err)
	}
}

// spendThrough draws, spends and reports through replicas in turn until stop is closed; what fails it does again, as a proxy would.
func (c *client) spendThrough(ctx context.Context, replicas []*Store, stop <-chan struct{}, failed *atomic.Int64) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return c.insist(ctx, replicas, failed, c.ship)
		default:
		}
		err := c.insist(ctx, replicas[n%len(replicas):], failed, func(ctx context.Context, s *Store) error {
			_, err := c.draw(ctx, s, 1+int64(n%7))
			return err
		})
		if err != nil {
			return err
		}
		for range 3 {
			if c.granted-c.spent > 2 {
				c.spend(2)
			}
		}
		if err := c.insist(ctx, replicas[n%len(replicas):], failed, c.ship); err != nil {
			return err
		}
	}
}

// insist makes a call until it is answered.
func (c *client) insist(ctx context.Context, replicas []*Store, failed *atomic.Int64, call func(context.Context, *Store) error) error {
	for {
		err := call(ctx, replicas[0])
		if err == nil || !errors.Is(err, store.ErrFailed) {
			return err
		}
		failed.Add(1)
	}
}

// load is clients that spend while something is done to the database.
type load struct {
	replicas []*Store
	clients  []*client
	limit    int64
	failed   atomic.Int64
}

// under runs the load while disturb runs, and then compares the books with what the clients know.
func (l *load) under(t *testing.T, disturb func()) {
	t.Helper()
	put(t, l.replicas[0], l.limit)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i := range 6 {
		c := began(t, l.replicas[0], fmt.Sprintf("proxy-%d", i))
		l.clients = append(l.clients, c)
		running.Go(func() {
			if err := c.spendThrough(t.Context(), l.replicas, stop, &l.failed); err != nil {
				t.Errorf("proxy-%d: %v", i, err)
			}
		})
	}
	disturb()
	close(stop)
	running.Wait()
	var granted, spent int64
	for _, c := range l.clients {
		granted, spent = granted+c.granted, spent+c.spent
	}
	if granted > l.limit {
		t.Errorf("%d nano-USD were granted under a limit of %d", granted, l.limit)
	}
	if want := (store.Spend{Settled: money.FromNano(spent), Leased: money.FromNano(granted - spent)}); spendOf(t, l.replicas[0]) != want {
		t.Errorf("the books have %+v, the proxies %+v", spendOf(t, l.replicas[0]), want)
	}
	audit(t, l.replicas[0])
	t.Logf("%d nano-USD were granted and %d spent; %d calls failed", granted, spent, l.failed.Load())
}

// moves waits until a client's log has grown by so many records.
func (l *load) moves(t *testing.T, s *Store, records int64) {
	t.Helper()
	applied := func() (sum int64) {
		err := s.transact(t.Context(), "counting", func(x *tx) error {
			return errors.Join(x.row(`SELECT coalesce(sum(applied), 0)::bigint FROM proxies`, nil, &sum), errUnchanged)
		})
		if err != nil {
			t.Error(err)
		}
		return sum
	}
	for before := applied(); applied() < before+records && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
}

// runsOut waits until the whole budget is granted.
func (l *load) runsOut(t *testing.T) {
	t.Helper()
	for !t.Failed() {
		got := spendOf(t, l.replicas[0])
		if got.Settled.Add(got.Leased).Nano() == l.limit {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPostgreSQLIsKilledInMidLoad(t *testing.T) {
	const limit, kills = 1500, 3
	server := pgtest.Start(t, pgtest.Options{Durable: true})
	dsn := server.Database(t)
	l := &load{limit: limit, replicas: []*Store{opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})}}
	l.under(t, func() {
		for range kills {
			l.moves(t, l.replicas[0], 30)
			failed := l.failed.Load()
			server.Kill(t)
			for l.failed.Load() == failed && !t.Failed() {
				time.Sleep(time.Millisecond)
			}
			server.Restart(t)
		}
		l.runsOut(t)
	})
}

func TestConnectionsAreLostInMidLoad(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	var lost atomic.Int64
	options := Options{DSN: dsn, OnRetry: func(error) { lost.Add(1) }}
	l := &load{limit: 1 << 40, replicas: []*Store{opened(t, options), opened(t, options)}}
	l.under(t, func() {
		for lost.Load() < 50 && !t.Failed() {
			l.moves(t, l.replicas[0], 20)
			server.Exec(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'modelroute-ledger' AND random() < 0.5`)
		}
	})
}

// victimDSN is the environment variable that turns the test binary into a replica to be killed; it has the database's address.
const victimDSN = "MODELROUTE_TEST_VICTIM_DSN"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(victimDSN); dsn != "" {
		fmt.Fprintln(os.Stderr, victim(dsn))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim is a replica that prints every settlement that is acknowledged, until it is killed.
func victim(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:forbidigo // This process runs no test.
	defer cancel()
	s, err := Open(ctx, Options{DSN: dsn, Now: time.Now})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i := range 8 {
		go func() { failed <- victimise(ctx, s, fmt.Sprintf("victim-%d", i)) }()
	}
	return <-failed
}

func victimise(ctx context.Context, s *Store, proxyID string) error {
	c, err := begin(ctx, s, proxyID)
	if err != nil {
		return err
	}
	for n := int64(1); ; n++ {
		if _, err := c.draw(ctx, s, 3); err != nil {
			return err
		}
		// What an earlier victim of this name had written is applied already.
		c.log = make([]store.Record, c.applied, c.applied+1)
		c.spend(2)
		if err := c.ship(ctx, s); err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "%s %d %d\n", proxyID, c.applied, c.granted)
	}
}

func TestAReplicaIsKilledInMidTransaction(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	s := opened(t, Options{DSN: dsn})
	put(t, s, 1<<40)
	applied, granted := map[string]int64{}, map[string]int64{}
	for range 3 {
		killVictim(t, dsn, 300, func(proxyID string, number, sum int64) { applied[proxyID], granted[proxyID] = number, sum })
		// Whatever the victim had locked is free at once.
		c := began(t, s, "survivor")
		if ok, err := c.draw(t.Context(), s, 1); err != nil || !ok {
			t.Fatalf("after the kill: granted = %t, %v", ok, err)
		}
	}
	if len(applied) != 8 {
		t.Errorf("%d victims were acknowledged something, want 8", len(applied))
	}
	for proxyID, number := range applied {
		// A call may have been written and not acknowledged any more.
		if c := began(t, s, proxyID); c.applied < number || c.applied > number+1 {
			t.Errorf("%s: %d records are applied, %d were acknowledged", proxyID, c.applied, number)
		}
	}
	audit(t, s)
	got := spendOf(t, s)
	var least int64
	for _, sum := range granted {
		least += sum
	}
	if out := got.Settled.Add(got.Leased).Nano(); out < least || out > least+8*3*3+3 {
		t.Errorf("%+v are granted, %d were acknowledged", got, least)
	}
}

// killVictim runs a victim and kills it after it printed so many lines.
func killVictim(t *testing.T, dsn string, lines int, acknowledged func(proxyID string, number, granted int64)) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), victimDSN+"="+dsn)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(output)
	for scanned := 0; scanner.Scan(); scanned++ {
		if scanned == lines {
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var proxyID string
		var number, granted int64
		if _, err := fmt.Sscan(scanner.Text(), &proxyID, &number, &granted); err != nil {
			t.Fatalf("line %q: %v", scanner.Text(), err)
		}
		acknowledged(proxyID, number, granted)
	}
	if err := command.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
}

func TestTheDatabaseIsAway(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	now := time.Now()
	s := opened(t, Options{DSN: dsn, Now: func() time.Time { return now }})
	put(t, s, 100)
	c := began(t, s, "proxy")
	now = time.Now().Add(time.Minute)
	server.Kill(t)
	_, err := c.draw(t.Context(), s, 1)
	if !errors.Is(err, store.ErrFailed) || strings.Contains(err.Error(), server.Password()) {
		t.Errorf("a draw while the database is away: %v", err)
	}
	if _, err := Open(t.Context(), Options{DSN: dsn, Now: time.Now}); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Open while the database is away: %v", err)
	}
	server.Restart(t)
	for _, step := range []struct {
		later time.Duration
		want  int
	}{{0, 0}, {time.Minute, 1}} {
		now = now.Add(step.later)
		if got, err := s.ExpireSilent(t.Context(), now.Add(-30*time.Second)); err != nil || got.Proxies != step.want {
			t.Errorf("%s after the database came back %+v are silent, %v, want %d", step.later, got, err, step.want)
		}
	}
	if granted, err := c.draw(t.Context(), s, 1); err != nil || !granted {
		t.Errorf("after it came back: granted = %t, %v", granted, err)
	}
}
