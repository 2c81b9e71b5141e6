package usage

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// screen hands over what is written to it, piece by piece.
type screen chan string

func (s screen) Write(text []byte) (int, error) {
	s <- string(text)
	return len(text), nil
}

// slowLedger has two routes that spent nothing, and takes a second for the history of each.
type slowLedger struct {
	clock  *testclock.FakeClock
	screen screen
	seen   []string
}

func (l *slowLedger) ListUsage(context.Context, *ledgerpb.ListUsageRequest) (*ledgerpb.ListUsageResponse, error) {
	return &ledgerpb.ListUsageResponse{Routes: []*ledgerpb.RouteUsage{
		{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}}, {Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "code"}},
	}}, nil
}

func (l *slowLedger) ListHistory(context.Context, *ledgerpb.ListHistoryRequest) (*ledgerpb.ListHistoryResponse, error) {
	l.clock.Step(time.Second)
	l.seen = append(l.seen, <-l.screen)
	return &ledgerpb.ListHistoryResponse{}, nil
}

func TestWhoWaitsForDaysIsToldHowFarItIs(t *testing.T) {
	ledger := &slowLedger{clock: testclock.NewFakeClock(time.Unix(1_800_000_000, 0)), screen: make(screen, 10)}
	var out strings.Builder
	o := &options{
		Shell:  &shell.Shell{Out: &out, Diagnostics: ledger.screen, Clock: ledger.clock, Followed: true},
		output: outputTable, since: "7", timeZone: "UTC",
	}
	asked, err := o.ask()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.tellDays(t.Context(), asked, ledger, "There is nothing."); err != nil {
		t.Fatal(err)
	}
	want := []string{"\r\x1b[KReading the ledger: route 1 of 2 ...", "\r\x1b[KReading the ledger: route 2 of 2 ...", "\r\x1b[K"}
	if diff := cmp.Diff(want, append(ledger.seen, <-ledger.screen)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if out.String() != "There is nothing.\n" {
		t.Errorf("the output is %q", out.String())
	}
}
