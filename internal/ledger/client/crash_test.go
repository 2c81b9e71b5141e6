package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// childRole, childDirectory and childURL tell this program what to be when a test starts it again.
const (
	childRole      = "CLIENT_TEST_ROLE"
	childDirectory = "CLIENT_TEST_DIRECTORY"
	childURL       = "CLIENT_TEST_URL"
	// childRetain is how many bytes of its journal it keeps; nothing is 0.
	childRetain = "CLIENT_TEST_RETAIN"
)

func TestMain(m *testing.M) {
	roles := map[string]func(context.Context, *client.Client) error{
		"spend": spendUntilKilled, "limited": spendBelowALimit, "doubt": doubtUntilKilled,
	}
	role, isChild := roles[os.Getenv(childRole)]
	if !isChild {
		os.Exit(m.Run())
	}
	if err := asChild(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(t *testing.T, l *ledgertest.Ledger, role, directory string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), childRole+"="+role, childDirectory+"="+directory, childURL+"="+l.URL)
	return command
}

// asChild runs a client for a role.
func asChild(role func(context.Context, *client.Client) error) error {
	ctx := context.Background() //nolint:forbidigo // A process of its own has no caller.
	// Small segments, so that some are trimmed; and no reserve, so that a limit of the file size is a full disk.
	retain, _ := strconv.ParseInt(os.Getenv(childRetain), 10, 64)
	kept, replay, err := journal.Open(journal.Options{
		Directory: os.Getenv(childDirectory), SegmentBytes: 64 << 10, ReserveBytes: -1, RetainBytes: retain,
	})
	if err != nil {
		return err
	}
	c := client.New(client.Options{
		URL: os.Getenv(childURL), HTTPClient: client.NewHTTPClient(nil), Journal: kept, Replay: replay, Instance: "child",
		Token:      func(context.Context) (string, error) { return ledgertest.Key, nil },
		Routes:     func() []client.Route { return []client.Route{route} },
		ConfigHash: func() string { return "" },
		Now:        time.Now,
		Logger:     slog.New(slog.DiscardHandler),
	})
	go c.Run(ctx)
	return role(ctx, c)
}

// spendUntilKilled tells of every hold before it is used, and of every settlement that returned.
func spendUntilKilled(ctx context.Context, c *client.Client) error {
	var spending sync.WaitGroup
	for range 4 {
		spending.Go(func() {
			for {
				hold, err := c.Reserve(ctx, demand(1+rand.Int64N(100)))
				if err != nil {
					tell("error 0", err)
					return
				}
				tell("held", hold.Worst().Amount.Nano())
				cost := rand.Int64N(hold.Worst().Amount.Nano() + 1)
				if err := hold.Settle(client.Cost{Amount: money.FromNano(cost), Certainty: client.Exact}); err != nil {
					tell("error 0", err)
					return
				}
				tell("settled", cost, hold.Worst().Amount.Nano()-cost)
			}
		})
	}
	spending.Wait()
	return nil
}

// tell says something to the process that started this one.
func tell(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

// told is what a child told of before it was killed.
type told struct{ held, settled, rest int64 }

// spendAndDie runs a child and kills it after so many lines.
func spendAndDie(t *testing.T, command *exec.Cmd, lines int, sum *told) {
	t.Helper()
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(stdout)
	for count := 1; scanner.Scan(); count++ {
		var kind string
		var amount, rest int64
		if _, err := fmt.Sscan(scanner.Text(), &kind, &amount, &rest); err != nil && kind != "held" {
			continue // The line was cut off.
		}
		switch kind {
		case "held":
			sum.held += amount
		case "settled":
			sum.settled, sum.rest = sum.settled+amount, sum.rest+rest
		default:
			t.Errorf("the child says: %s", scanner.Text())
		}
		if count == lines {
			if err := command.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := command.Wait(); err == nil || command.ProcessState.Exited() {
		t.Errorf("the child was not killed: %v", err)
	}
}

func TestAProcessThatIsKilledOwesNothingInTheEnd(t *testing.T) {
	t.Parallel()
	const limit = 1_000_000_000
	l := ledgertest.Start(t)
	put(l, limit)
	directory := t.TempDir()
	var sum told
	for round := range 8 {
		if round%4 == 3 {
			l.Stop()
			l.Start()
		}
		// Some are killed before they have settled what the one before left.
		spendAndDie(t, child(t, l, "spend", directory), 1+rand.IntN(1+2000*(round%3)), &sum)
	}
	c := start(t, l, journal.Options{Directory: directory})
	eventually(t, func() string {
		got := booksOf(l)
		if got.Leased == 0 && got.Stranded == 0 {
			return ""
		}
		return fmt.Sprintf("the books are %+v", got)
	})
	got := booksOf(l)
	// Each child may have had 4 holds and settlements of which it had no time to tell.
	const untold = 8 * 4 * 100
	if got.Settled < sum.settled || got.Settled > sum.settled+untold {
		t.Errorf("%d are settled, of which %d were acknowledged", got.Settled, sum.settled)
	}
	if spent := got.Settled + got.Uncertain; spent < sum.held-sum.rest-untold || spent > sum.held-sum.rest+untold {
		t.Errorf("%d are spent; %d were held, of which %d came back", spent, sum.held, sum.rest)
	}
	t.Logf("told of %+v, booked %+v", sum, got)
	spend(t, c.Client, 1000)
	closeClient(t, c.Client)
	if spent := booksOf(l).Settled; spent != got.Settled+1000 {
		t.Errorf("%d are settled, want 1000 more than %d", spent, got.Settled)
	}
}

func TestWhatWasHeldAtACrashIsUncertainOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 10_000)
	directory := t.TempDir()
	c := start(t, l, journal.Options{Directory: directory})
	settle(t, reserve(t, c.Client, 100), 40, client.Exact)
	reserve(t, c.Client, 200)
	c.stop() // Without Close, this leaves what a kill leaves.
	for round := range 4 {
		w := &wire{}
		// The first ones end before the ledger has heard of anything, or before they know that it has.
		w.breaks(func(method string) (bool, bool) {
			return method == "OpenSession" && round == 0 || method == "Append" && round == 1, method == "Append" && round == 2
		})
		next := start(t, l, journal.Options{Directory: directory}, w.through)
		eventually(t, func() string {
			if w.count("OpenSession") > 0 && (round == 0 || w.count("Append") > 0) {
				return ""
			}
			return "it does not call"
		})
		next.stop()
	}
	c = start(t, l, journal.Options{Directory: directory})
	wantBooks(t, l, books{Settled: 40, Uncertain: 200})
	spend(t, c.Client, 9760)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 9800, Uncertain: 200})
}

func TestAResumptionThatWasKilledHalfWaySettlesEachHoldOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 10_000)
	directory := t.TempDir()
	c := start(t, l, journal.Options{Directory: directory})
	for range 5 {
		reserve(t, c.Client, 100)
	}
	c.stop()
	held := segmentOf(t, directory)
	resumed := start(t, l, journal.Options{Directory: directory}, (&wire{}).through, func(o *client.Options) { o.Routes = func() []client.Route { return nil } })
	eventually(t, func() string {
		if resumed.journal.Status().Next > 6 {
			return ""
		}
		return "nothing is settled"
	})
	resumed.stop()
	whole := segmentOf(t, directory)
	if len(whole) <= len(held) {
		t.Fatalf("the resumption wrote nothing")
	}
	// A death in it leaves what was written until then, with a torn end.
	if err := os.WriteFile(segmentPath(t, directory), whole[:len(held)+(len(whole)-len(held))/2], 0o600); err != nil {
		t.Fatal(err)
	}
	last := start(t, l, journal.Options{Directory: directory})
	wantBooks(t, l, books{Uncertain: 500})
	closeClient(t, last.Client)
	wantBooks(t, l, books{Uncertain: 500})
}

func segmentPath(t *testing.T, directory string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(directory, "current", "*.wal"))
	if err != nil || len(found) == 0 {
		entries, _ := os.ReadDir(filepath.Join(directory, "current"))
		t.Fatalf("no segment among %v: %v", entries, err)
	}
	return found[len(found)-1]
}

func segmentOf(t *testing.T, directory string) []byte {
	t.Helper()
	content, err := os.ReadFile(segmentPath(t, directory))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// spendBelowALimit goes on until the file size is at its limit, and then with more room.
func spendBelowALimit(ctx context.Context, c *client.Client) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	allowed := limit.Cur
	first, err := c.Reserve(ctx, demand(1000))
	if err != nil {
		return err
	}
	limit.Cur = 1000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	open := []*client.Hold{first}
	for {
		hold, err := c.Reserve(ctx, demand(10))
		if errors.Is(err, client.ErrUnavailable) && errors.Is(err, journal.ErrFull) {
			break
		}
		if err != nil {
			return fmt.Errorf("reserving on a full disk: %w", err)
		}
		open = append(open, hold)
	}
	for _, hold := range open {
		if err := hold.Settle(client.Cost{Amount: money.FromNano(7), Certainty: client.Exact}); err == nil {
			return errors.New("a settlement that the disk did not take passes for written")
		}
	}
	limit.Cur = allowed
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := c.Close(ctx); err != nil {
		return err
	}
	tell(7 * len(open))
	return nil
}

func TestAFullDiskDeniesTheNewAndSettlesTheOld(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000)
	output, err := child(t, l, "limited", t.TempDir()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var settled int64
	if _, err := fmt.Sscan(string(output), &settled); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	wantBooks(t, l, books{Settled: settled})
}
