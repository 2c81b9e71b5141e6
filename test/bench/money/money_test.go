package main

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/test/bench/rig"
)

func nano(amount int64) money.Amount { return money.FromNano(amount) }

func TestWhatIsWrongWithBooks(t *testing.T) {
	const limit = 100
	cases := map[string]struct {
		spent map[string]int64
		books map[string]window
		want  map[string]int64
	}{
		"nothing, if they agree": {
			spent: map[string]int64{"": 80, "c0": 30},
			books: map[string]window{"": {settled: nano(80)}, "c0": {settled: nano(30)}},
		},
		"nothing, if the rest is uncertain": {
			spent: map[string]int64{"": 80},
			books: map[string]window{"": {settled: nano(70), uncertain: nano(15)}},
		},
		"a budget is overspent": {
			spent: map[string]int64{"": 101},
			books: map[string]window{"": {settled: nano(101)}},
			want:  map[string]int64{"overshoot": 1},
		},
		"a consumer's budget is overspent, though the route's is not": {
			spent: map[string]int64{"": 90, "c0": 107},
			books: map[string]window{"": {settled: nano(90)}, "c0": {settled: nano(107)}},
			want:  map[string]int64{"overshoot": 7},
		},
		"a cost is lost": {
			spent: map[string]int64{"": 80},
			books: map[string]window{"": {settled: nano(60), uncertain: nano(17)}},
			want:  map[string]int64{"lost": 3},
		},
		"a cost is booked twice": {
			spent: map[string]int64{"": 80},
			books: map[string]window{"": {settled: nano(85)}},
			want:  map[string]int64{"doubled": 5},
		},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			r := &result{limits: map[string]money.Amount{"": nano(limit), "c0": nano(limit)}}
			spent := map[string]money.Amount{}
			for name, amount := range test.spent {
				spent[name] = nano(amount)
			}
			r.weigh(spent, test.books)
			got := map[string]int64{}
			for name, amount := range map[string]money.Amount{"overshoot": r.overshoot, "lost": r.lost, "doubled": r.doubled} {
				if !amount.IsZero() {
					got[name] = amount.Nano()
				}
			}
			if test.want == nil {
				test.want = map[string]int64{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("what is wrong (-want +got):\n%s", diff)
			}
			if r.good() != (len(test.want) == 0) {
				t.Errorf("good: %t", r.good())
			}
		})
	}
}

func TestA402IsFalseIfTheMoneyIsThereAndCautiousIfItIsUncertain(t *testing.T) {
	now := time.Now()
	const limit, needed = 100, 10
	cases := map[string]struct {
		billed    int64
		settled   int64
		uncertain int64
		// most is what was uncertain at another time, left what the answer says.
		most, left     int64
		false, careful int
	}{
		"the money is gone":                     {billed: 95, settled: 95},
		"the money is there":                    {billed: 50, settled: 50, false: 1},
		"the money is there, but for uncertain": {billed: 50, settled: 50, uncertain: 45, careful: 1},
		"what is left is just enough":           {billed: 90, settled: 90, false: 1},
		"nobody looked when it was uncertain":   {billed: 50, settled: 50, most: 45, left: 5, careful: 1},
		"the answer says more than can be true": {billed: 50, settled: 50, most: 44, left: 5, false: 1},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			limits := map[string]money.Amount{"": nano(limit)}
			r := &result{limits: limits, before: limits, raised: now.Add(time.Hour)}
			bills := &truth{records: []upstream.Record{{User: "c5:1", CostNanoUSD: test.billed, Time: now.Add(-time.Second)}}}
			books := window{settled: nano(test.settled), uncertain: nano(test.uncertain)}
			long := window{settled: nano(test.settled), uncertain: nano(test.most)}
			eyes := &observer{taken: []snapshot{
				{at: now.Add(-time.Hour), windows: map[string]window{"": long}}, {at: now.Add(-time.Minute), windows: map[string]window{}},
				{at: now, windows: map[string]window{"": books}},
			}}
			body := ""
			if test.left > 0 {
				body = fmt.Sprintf("Budget \"all\" of %s USD has %s USD left", nano(limit), nano(test.left))
			}
			r.judge(bills, eyes, []refusal{{consumer: "c5", asked: now, at: now, needed: nano(needed), body: body}})
			if r.falseDenials != test.false || r.cautious != test.careful {
				t.Errorf("%d false and %d cautious denials, want %d and %d", r.falseDenials, r.cautious, test.false, test.careful)
			}
		})
	}
}

// far is the other end of a relay: it answers every byte with the same byte.
func far(t *testing.T) string {
	t.Helper()
	listener, err := rig.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_, _ = io.Copy(connection, connection)
			}()
		}
	}()
	return listener.Addr().String()
}

func startRelay(t *testing.T) *relay {
	t.Helper()
	address := far(t)
	r, err := newRelay(t.Context(), func() string { return address })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func dial(t *testing.T, r *relay) net.Conn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return connection
}

// echo says a byte and wants it back.
func echo(connection net.Conn, said byte) error {
	if _, err := connection.Write([]byte{said}); err != nil {
		return err
	}
	var heard [1]byte
	_, err := io.ReadFull(connection, heard[:])
	if err == nil && heard[0] != said {
		return io.ErrUnexpectedEOF
	}
	return err
}

func TestANetworkThatStallsDeliversLater(t *testing.T) {
	r := startRelay(t)
	connection := dial(t, r)
	if err := echo(connection, 1); err != nil {
		t.Fatal(err)
	}
	r.set(linkStalled)
	if _, err := connection.Write([]byte{2}); err != nil {
		t.Fatal(err)
	}
	r.set(linkUp)
	var heard [1]byte
	if _, err := io.ReadFull(connection, heard[:]); err != nil || heard[0] != 2 {
		t.Errorf("heard %v, %v, want what was said while it stalled", heard, err)
	}
}

func TestANetworkThatIsCutBreaksConnectionsAndTakesNewOnesAfterwards(t *testing.T) {
	r := startRelay(t)
	connection := dial(t, r)
	if err := echo(connection, 1); err != nil {
		t.Fatal(err)
	}
	r.set(linkCut)
	if err := echo(connection, 2); err == nil {
		t.Error("a connection outlived the cut")
	}
	if err := echo(dial(t, r), 3); err == nil {
		t.Error("a connection was made through the cut")
	}
	r.set(linkUp)
	if err := echo(dial(t, r), 4); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

func TestANetworkThatLosesAnswersBreaksTheirConnections(t *testing.T) {
	r := startRelay(t)
	connection := dial(t, r)
	if err := echo(connection, 1); err != nil {
		t.Fatal(err)
	}
	r.set(linkDeaf)
	if _, err := connection.Write([]byte{2}); err != nil {
		t.Fatal(err)
	}
	r.set(linkUp)
	if _, err := io.ReadFull(connection, make([]byte, 2)); err == nil {
		t.Error("a stream went on with a gap in it")
	}
	if err := echo(dial(t, r), 3); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestNoScenarioIsChosenThatIsNotThere(t *testing.T) {
	if _, err := parse([]string{"-scenario", "steady,nonsense"}, io.Discard); err == nil {
		t.Error("a scenario that is not there was chosen")
	}
	if _, err := parse([]string{"-store", "mysql"}, io.Discard); err == nil {
		t.Error("a store that is not there was chosen")
	}
}
