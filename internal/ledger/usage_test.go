package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// watcher asks for what is different since its last question.
type watcher struct {
	*world
	known string
}

// wantNews asks, and wants to be told of just these routes and owners.
func (w *watcher) wantNews(after string, changes bool, want ...string) {
	w.t.Helper()
	answer, err := w.manager.ListUsage(w.as(ledgertest.Key), &ledgerpb.ListUsageRequest{Known: w.known})
	if err != nil {
		w.t.Fatal(err)
	}
	w.known = answer.GetState()
	var got []string
	for _, usage := range answer.GetRoutes() {
		got = append(got, usage.GetRoute().GetName())
	}
	for _, usage := range answer.GetShared() {
		got = append(got, usage.GetOwner())
	}
	if diff := cmp.Diff(want, got); diff != "" || answer.GetChanges() != changes {
		w.t.Errorf("after %s, news of (-want +got; only changes: %t, want %t):\n%s", after, answer.GetChanges(), changes, diff)
	}
}

func TestAManagerIsToldOnlyOfTheFiguresThatAreNewToIt(t *testing.T) {
	w := &watcher{world: newWorld(t, ledgertest.Options{})}
	w.putChat()
	w.PutRoute(&ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "quiet"}, Consumers: []string{"alice"}})
	w.PutShared(&ledgerpb.PutSharedRequest{Owner: search, Budgets: []*ledgerpb.Budget{daily(1000)}})
	w.wantNews("the beginning", false, "chat", "quiet", search)
	w.wantNews("nothing", true)

	session := w.open()
	w.wantNews("a proxy of chat began", true, "chat")
	if _, err := w.proxy.Heartbeat(t.Context(), &ledgerpb.HeartbeatRequest{Session: session, ConfigHash: "one"}); err != nil {
		t.Fatal(err)
	}
	w.wantNews("it serves a configuration", true, "chat")
	w.advance(time.Second)
	if _, err := w.proxy.Heartbeat(t.Context(), &ledgerpb.HeartbeatRequest{Session: session, ConfigHash: "one"}); err != nil {
		t.Fatal(err)
	}
	w.wantNews("a heartbeat with nothing new", true)

	lease, denial := w.draw(session, 1, 700)
	if denial != nil {
		t.Fatalf("denied: %v", denial)
	}
	earlier := w.known
	w.wantNews("money was leased", true, "chat")
	w.append(settlement(session, 250, lease.GetId()))
	w.wantNews("some of it was spent", true, "chat")
	w.known = earlier
	w.wantNews("another manager had asked in between", true, "chat")

	w.advance(24 * time.Hour)
	w.wantNews("the day of the team's budget ended, and the proxy was silent", true, "chat", search)

	w.known = "another." + w.known
	w.wantNews("the ledger was another process", false, "chat", "quiet", search)
}
