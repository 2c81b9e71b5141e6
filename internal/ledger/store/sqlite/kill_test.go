package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// victimDir is the environment variable that turns the test binary into the process to be killed; it has the data directory.
const victimDir = "MODELROUTE_TEST_VICTIM_DIR"

// victim reserves and settles as fast as it can and prints every call that the store acknowledged, until it is killed.
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
	credential, err := begin(ctx, s)
	if err != nil {
		fail(err)
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for {
				n := next.Add(1)
				if _, err := s.Reserve(ctx, time.Now(), credential, demand(n, cost(n))); err != nil {
					fail(err)
				}
				fmt.Fprintf(os.Stdout, "reserved %d %d\n", credential.Epoch, n)
				one := store.Settlement{Epoch: credential.Epoch, Sequence: n, Amount: money.FromNano(cost(n) / 2), Route: routeKey(chat), Consumer: "alice"}
				if _, err := s.Settle(ctx, time.Now(), credential, []store.Settlement{one}); err != nil {
					fail(err)
				}
				fmt.Fprintf(os.Stdout, "settled %d %d\n", credential.Epoch, n)
			}
		})
	}
	running.Wait()
}

// cost is the worst case of the victim's hold; it settles for half of it.
func cost(n int64) int64 { return 2 * (n%97 + 1) }

// acknowledged is what the victim said before it died.
type acknowledged map[[2]int64]string

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	all := acknowledged{}
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
		var verb string
		var key [2]int64
		if _, err := fmt.Sscan(scanner.Text(), &verb, &key[0], &key[1]); err != nil {
			t.Fatalf("line %q: %v", scanner.Text(), err)
		}
		all[key] = verb
	}
	if err := command.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
	if len(all) < lines/2 {
		t.Fatalf("only %d calls were acknowledged", len(all))
	}
}

// checkAfterKill opens the books and asks for every call that was acknowledged.
func checkAfterKill(t *testing.T, dir string, all acknowledged) {
	t.Helper()
	s, credential := opened(t, dir)
	settled := int64(0)
	for key, verb := range all {
		half := cost(key[1]) / 2
		one := store.Settlement{Epoch: key[0], Sequence: key[1], Amount: money.FromNano(half), Route: routeKey(chat), Consumer: "alice"}
		outcome, err := s.Settle(t.Context(), time.Now(), credential, []store.Settlement{one})
		if err != nil {
			t.Fatal(err)
		}
		if verb == "settled" && outcome.Repeated != 1 {
			t.Errorf("the settlement of hold %v was acknowledged and is lost", key)
		}
		if outcome.Unmatched != 0 {
			t.Errorf("hold %v was acknowledged and is lost", key)
		}
		settled += half
		all[key] = "settled"
	}
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	// Calls that were written but not acknowledged any more: at most one of each of the victim's goroutines in each round.
	got := usage[0].Spend
	held := got.Held.Nano()
	if over := got.Settled.Nano() - settled; over < 0 || over > 3*16*97 {
		t.Errorf("%d are settled, %d were acknowledged", got.Settled.Nano(), settled)
	}
	if held > 3*16*2*97 {
		t.Errorf("%d are held, by more calls than were in flight", held)
	}
	if total := usage[0].Budgets[0].Spend; total != got {
		t.Errorf("the budget has %+v, the route %+v", total, got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
