package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/money"
)

// timedLedger answers reservations with what the test says, one after the other, and the last again and again.
type timedLedger struct {
	ledgerpbconnect.ProxyServiceClient
	answers []timedAnswer
	asked   []uint64
}

// timedAnswer is a grant that comes after a time, or a failure if lost is set.
type timedAnswer struct {
	after time.Duration
	lost  bool
}

func (l *timedLedger) Reserve(ctx context.Context, request *ledgerpb.ReserveRequest) (*ledgerpb.ReserveResponse, error) {
	answer := l.answers[min(len(l.asked), len(l.answers)-1)]
	l.asked = append(l.asked, request.GetSequence())
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(answer.after):
	}
	if answer.lost {
		return nil, connect.NewError(connect.CodeUnavailable, "the connection broke")
	}
	return &ledgerpb.ReserveResponse{}, nil
}

func TestHowLongALedgerIsWaitedFor(t *testing.T) {
	never := 24 * time.Hour
	cases := map[string]struct {
		answers []timedAnswer
		granted bool
		asked   int
	}{
		"one that is slow gives its answer in the end": {[]timedAnswer{{after: 15 * time.Second}}, true, 1},
		"one whose node died is asked again once that has shown": {
			[]timedAnswer{{after: 7 * time.Second, lost: true}, {after: time.Second}}, true, 2},
		"one that hangs is given up":                        {[]timedAnswer{{after: never}}, false, 1},
		"one that is away is asked again for a short while": {[]timedAnswer{{lost: true}}, false, 7},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ledger := &timedLedger{answers: test.answers}
				c := New(Options{
					HTTPClient: http.DefaultClient, Logger: slog.New(slog.DiscardHandler),
					Token: func(context.Context) (string, error) { return "token", nil },
				})
				c.rpc = ledger
				c.setSession(&session{pb: &ledgerpb.Session{Epoch: 1}})
				_, err := c.Reserve(t.Context(), Demand{Amount: money.FromNano(5)})
				if (err == nil) != test.granted || !test.granted && !errors.Is(err, ErrUnavailable) {
					t.Errorf("Reserve: %v, want it granted: %t", err, test.granted)
				}
				if len(ledger.asked) != test.asked {
					t.Errorf("asked %d times, want %d", len(ledger.asked), test.asked)
				}
				for _, sequence := range ledger.asked {
					if sequence != ledger.asked[0] {
						t.Errorf("asked under the numbers %v, so that it could hold twice", ledger.asked)
					}
				}
				// What a lost call may have held is given back.
				if owed := c.owed(); (owed == 1) == test.granted {
					t.Errorf("%d settlements are owed", owed)
				}
			})
		})
	}
}
