package books_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/portal"
	"github.com/modelroute/modelroute/internal/portal/books"
)

const zone = "Europe/Berlin"

var chat = &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}

// world is a ledger that speaks TLS, and the files by which somebody reaches it.
type world struct {
	t     *testing.T
	books *ledgertest.Ledger
	files books.Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, books: ledgertest.StartWith(t, ledgertest.Options{TLS: true})}
	dir := t.TempDir()
	w.files = books.Options{URL: w.books.URL, TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt")}
	w.write(w.files.TokenFile, ledgertest.Key+"\n")
	w.write(w.files.CAFile, string(w.books.Authority()))
	w.books.PutRoute(&ledgerpb.PutRouteRequest{Route: chat, Consumers: []string{"alice", "bob"}})
	return w
}

func (w *world) write(file, content string) {
	w.t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// settled is what a consumer spends at a time.
func settled(consumer string, at time.Time, nano int64, certainty ledgerpb.Settlement_Certainty) *ledgerpb.Record {
	return &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
		Route: chat, Consumer: consumer, OpenedAt: timestamppb.New(at), AmountNanoUsd: nano, Requests: 1,
		Model: "mixtral", Upstream: "vllm", Certainty: certainty, Source: ledgerpb.Settlement_SOURCE_PRICED, Used: &ledgerpb.TokenUsage{Prompt: 1},
	}}}
}

// report books records as a proxy does.
func (w *world) report(records ...*ledgerpb.Record) {
	w.t.Helper()
	session := w.books.OpenSession(&ledgerpb.OpenSessionRequest{
		ProxyId: "00112233445566778899aabbccddeeff", Instance: "pod", Routes: []*ledgerpb.RouteRef{chat},
	}).GetSession()
	client := w.books.HTTPClient()
	w.t.Cleanup(client.CloseIdleConnections)
	proxy := ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(client, w.books.URL)))
	if _, err := proxy.Append(w.t.Context(), &ledgerpb.AppendRequest{Session: session, First: 1, Records: records}); err != nil {
		w.t.Fatalf("Append: %v", err)
	}
}

func TestWhatWasSpentIsReadByDayAndConsumer(t *testing.T) {
	w := newWorld(t)
	berlin, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, time.October, 23, 0, 0, 0, 0, berlin)
	exact, uncertain := ledgerpb.Settlement_CERTAINTY_EXACT, ledgerpb.Settlement_CERTAINTY_UNCERTAIN
	w.report(
		settled("alice", first.Add(-time.Minute), 1, exact), // The day before.
		settled("alice", first, 2, exact), settled("bob", first.Add(23*time.Hour), 4, exact),
		settled("alice", first.AddDate(0, 0, 2).Add(time.Hour), 8, exact),
		settled("alice", first.AddDate(0, 0, 2).Add(2*time.Hour), 16, uncertain),
		settled("bob", first.AddDate(0, 0, 9), 32, exact),
	)
	spent, err := books.Dial(w.files).Daily(t.Context(), "ai", "chat", first, zone)
	if err != nil {
		t.Fatal(err)
	}
	day := func(number int, consumer string, nano int64) portal.Spent {
		return portal.Spent{Day: first.AddDate(0, 0, number).UTC(), Consumer: consumer, Amount: money.FromNano(nano)}
	}
	want := []portal.Spent{day(0, "alice", 2), day(0, "bob", 4), day(2, "alice", 24), day(9, "bob", 32)}
	if diff := cmp.Diff(want, spent); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARouteThatTheLedgerDoesNotKnowHasSpentNothing(t *testing.T) {
	w := newWorld(t)
	spent, err := books.Dial(w.files).Daily(t.Context(), "ai", "other", time.Unix(0, 0), "")
	if len(spent) > 0 || err != nil {
		t.Errorf("it has spent %v, %v", spent, err)
	}
}

func TestWhoCannotReachTheLedgerIsToldWhy(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"no token":             {func(w *world) { w.files.TokenFile += "-none" }, "reading the ledger's token"},
		"a token of nobody":    {func(w *world) { w.write(w.files.TokenFile, "nobody's") }, "token is not accepted"},
		"no certificates":      {func(w *world) { w.files.CAFile += "-none" }, "reading the certificates by which the ledger is known"},
		"a file that has none": {func(w *world) { w.write(w.files.CAFile, "none") }, "there is no certificate in "},
		"another authority": {func(w *world) {
			other, _ := ledgertest.NewCertificate(w.t)
			w.write(w.files.CAFile, string(other))
		}, "certificate"},
		"a ledger that is gone": {func(w *world) { w.books.Stop() }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			_, err := books.Dial(w.files).Daily(t.Context(), "ai", "chat", time.Unix(0, 0), "")
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "history of ai/chat") {
				t.Errorf("it says %v, want something of %q", err, test.want)
			}
		})
	}
}

func TestFilesThatAreReplacedAreReadAnew(t *testing.T) {
	w := newWorld(t)
	w.write(w.files.TokenFile, "not yet")
	reader := books.Dial(w.files)
	if _, err := reader.Daily(t.Context(), "ai", "chat", time.Unix(0, 0), ""); err == nil {
		t.Error("a token of nobody is accepted")
	}
	w.write(w.files.TokenFile, ledgertest.Key)
	if _, err := reader.Daily(t.Context(), "ai", "chat", time.Unix(0, 0), ""); err != nil {
		t.Error(err)
	}
}
