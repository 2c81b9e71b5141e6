package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// victimDir is the environment variable that turns the test binary into the process to be killed; it has the data directory.
const victimDir = "MODELROUTE_TEST_VICTIM_DIR"

// hands is how many proxies the victim is at a time.
const hands = 16

func handID(hand int) string { return fmt.Sprintf("victim-%d", hand) }

// victim draws and reports with many hands as fast as it can, and prints every call that the store acknowledged, until it is
// killed.
func victim(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:forbidigo // This process runs no test.
	defer cancel()
	s, err := Open(ctx, Options{Dir: dir, Now: time.Now})
	if err != nil {
		fail(err)
	}
	var running sync.WaitGroup
	for hand := range hands {
		running.Go(func() { fail(victimHand(ctx, s, handID(hand))) })
	}
	running.Wait()
}

// victimHand is one proxy of the victim. Its log goes on where the last victim's ended.
func victimHand(ctx context.Context, s *Store, proxyID string) error {
	credential, applied, err := beginAs(ctx, s, proxyID)
	if err != nil {
		return err
	}
	for n := applied + 1; ; n++ {
		lease, err := drawn(ctx, s, credential, n, 2*cost(n))
		if err != nil || lease == 0 {
			return fmt.Errorf("drawing: lease %d, error %w", lease, err)
		}
		fmt.Fprintf(os.Stdout, "drawn %s %d\n", proxyID, n)
		if _, err := s.Append(ctx, time.Now(), credential, n, []store.Record{settlement(lease, cost(n))}); err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "settled %s %d\n", proxyID, n)
	}
}

// cost is what the victim's attempt cost; it draws twice as much.
func cost(n int64) int64 { return n%97 + 1 }

// acknowledged is, for each proxy of the victim, what the store acknowledged over all of its lives: how many records, and how much money.
type acknowledged struct{ settled, drawn map[string]int64 }

func (a acknowledged) note(line string) error {
	var verb, proxyID string
	var n int64
	if _, err := fmt.Sscan(line, &verb, &proxyID, &n); err != nil {
		return fmt.Errorf("line %q: %w", line, err)
	}
	if verb == "settled" {
		a.settled[proxyID] = n
		return nil
	}
	a.drawn[proxyID] += 2 * cost(n)
	return nil
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	all := acknowledged{settled: map[string]int64{}, drawn: map[string]int64{}}
	for round := range 3 {
		killInMidLoad(t, dir, all, 1000*(round+1))
		checkAfterKill(t, dir, all)
	}
}

// killInMidLoad runs a victim and kills it after it printed so many lines.
func killInMidLoad(t *testing.T, dir string, all acknowledged, lines int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), victimDir+"="+dir)
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
		if err := all.note(scanner.Text()); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
	if len(all.settled) == 0 {
		t.Fatal("no call was acknowledged")
	}
}

// checkAfterKill opens the books and looks for every call that was acknowledged. Of each proxy of the victim there can be one draw or one
// record more for each of its lives, which was written and not acknowledged any more.
func checkAfterKill(t *testing.T, dir string, all acknowledged) {
	t.Helper()
	s, _ := opened(t, dir)
	const more = 3 * 2 * 97
	settled, leased := int64(0), int64(0)
	for hand := range hands {
		proxyID := handID(hand)
		credential, applied, err := beginAs(t.Context(), s, proxyID)
		if err != nil {
			t.Fatal(err)
		}
		if over := applied - all.settled[proxyID]; over < 0 || over > 1 {
			t.Errorf("%d records of %s are applied, %d were acknowledged", applied, proxyID, all.settled[proxyID])
		}
		all.settled[proxyID] = applied
		spent := int64(0)
		for n := range applied {
			spent += cost(n + 1)
		}
		answers, err := s.Draw(t.Context(), time.Now(), credential, store.Draw{Identity: "server", Demands: []store.Demand{
			{Route: routeKey(chat), Consumer: "alice"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		granted := answers[0].Leases[0].Granted.Nano()
		if over := granted - all.drawn[proxyID]; over < 0 || over > more {
			t.Errorf("%d are leased to %s, %d were acknowledged", granted, proxyID, all.drawn[proxyID])
		}
		settled, leased = settled+spent, leased+granted-spent
	}
	wantTotal(t, s, settled, 0, leased)
	forgetWindows(t, s)
	wantTotal(t, s, settled, 0, leased)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
