package wire

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/test/world"
)

// phase is when a client hangs up.
type phase struct {
	fault, members string
	// until is a line of the answer after which the client leaves; before is true for one that leaves before it has any answer.
	until  string
	before bool
}

var phases = map[string]phase{
	"before the header of a plain answer": {"delay=100ms", "", "", true},
	"before the header of a stream":       {"delay=100ms", streamed, "", true},
	"before the first byte of a stream":   {"first-byte-delay=100ms", streamed, "", true},
	"after the header":                    {"answer=20,chunk-delay=5ms", streamed, "data: ", false},
	"in the middle of the stream":         {"answer=20,chunk-delay=5ms", withUsage, `"content":" `, false},
	"at the finish reason":                {"answer=20", withUsage, `"finish_reason":"stop"`, false},
	"after [DONE]":                        {"answer=20", streamed, "data: [DONE]", false},
}

// leave sends a request and hangs up in the phase.
func (c *client) leave(at phase) {
	c.t.Helper()
	ctx, hangUp := context.WithCancel(c.t.Context())
	defer hangUp()
	body := asking(at.fault, short+at.members)
	if at.before {
		arrived := len(c.Received())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if response, err := c.Client.Do(c.request(ctx, "POST", chatPath, body)); err == nil {
				_ = response.Body.Close()
			}
		}()
		c.Eventually("the upstream has the request", func() bool { return len(c.Received()) > arrived })
		hangUp()
		<-gone
		return
	}
	response, lines := c.open(ctx, body)
	defer func() { _ = response.Body.Close() }()
	for line := ""; !strings.Contains(line, at.until); {
		var err error
		line, err = lines.ReadString('\n')
		c.must(err)
	}
	hangUp()
}

func TestCase10AClientThatLeavesIsSettledOnceForWhatTheUpstreamBills(t *testing.T) {
	t.Parallel()
	for name, at := range phases {
		t.Run(name, func(t *testing.T) {
			c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
			c.leave(at)
			c.bookedAsBilled(t, world.Mark{})
			if settlements := c.Settlements(); settlements != 1 {
				t.Errorf("the ledger has %d settlements", settlements)
			}
			c.Eventually("the upstream's connection is free", func() bool { return c.Busy() == 0 })
		})
	}
}

// TestCase10ClientsThatLeaveLeaveNothingBehind counts goroutines, so no other test may run beside it.
func TestCase10ClientsThatLeaveLeaveNothingBehind(t *testing.T) {
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	const rounds = 3
	all := func() {
		for _, at := range phases {
			c.leave(at)
			c.Settled() // So that the next one finds the upstream's connection free.
		}
		c.Client.CloseIdleConnections()
	}
	all()
	before := runtime.NumGoroutine()
	for range rounds {
		all()
	}
	// Idle connections come and go, so the number is not quite the same; each client would have left at least one.
	c.Eventually("the goroutines have ended", func() bool { return runtime.NumGoroutine() < before+rounds*len(phases) })
	c.BooksAgree()
	if settlements, want := c.Settlements(), int64((rounds+1)*len(phases)); settlements != want {
		t.Errorf("%d settlements of %d requests", settlements, want)
	}
}

func TestCase10AStreamThatTheUpstreamCutsAfterItsClientHasLeftIsSettledOnce(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	c.leave(phase{"answer=20,chunk-delay=5ms,cut=10", streamed, "data: ", false})
	c.bookedAsUncertain(t, world.Mark{})
	if settlements := c.Settlements(); settlements != 1 {
		t.Errorf("the ledger has %d settlements", settlements)
	}
}
