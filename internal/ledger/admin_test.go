package ledger_test

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// local are the services of a ledger whose AdminHandler is served to the test.
type local struct {
	manager ledgerpbconnect.ManagerServiceClient
	admin   ledgerpbconnect.AdminServiceClient
	proxy   ledgerpbconnect.ProxyServiceClient
}

func serveLocal(t *testing.T, books store.Store) local {
	t.Helper()
	service := ledger.New(ledger.Options{
		Store: books, Authenticator: auth.NewStatic("", ""), Now: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler),
		Metrics: ledger.NewMetrics(prometheus.NewRegistry()),
	})
	server := httptest.NewServer(service.AdminHandler())
	t.Cleanup(server.Close)
	called := connect.NewClient(connecthttp.NewTransport(server.Client(), server.URL))
	return local{
		manager: ledgerpbconnect.NewManagerServiceClient(called), admin: ledgerpbconnect.NewAdminServiceClient(called),
		proxy: ledgerpbconnect.NewProxyServiceClient(called),
	}
}

// newBooks are empty.
func newBooks(t *testing.T) *sqlite.Store {
	t.Helper()
	books, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir(), Now: func() time.Time { return noon.Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := books.Close(); err != nil {
			t.Errorf("closing the books: %v", err)
		}
	})
	return books
}

func TestAPlaceOnTheLedgersMachineNeedsNoToken(t *testing.T) {
	calls := serveLocal(t, newBooks(t))
	if _, err := calls.manager.PutRoute(t.Context(), &ledgerpb.PutRouteRequest{Route: chat}); err != nil {
		t.Errorf("PutRoute: %v", err)
	}
	verified, err := calls.admin.Verify(t.Context(), &ledgerpb.VerifyRequest{})
	want := &ledgerpb.VerifyResponse{Scopes: 1}
	if diff := cmp.Diff(want, verified, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("Verify: %v (-want +got):\n%s", err, diff)
	}
	made, err := calls.admin.Backup(t.Context(), &ledgerpb.BackupRequest{Path: filepath.Join(t.TempDir(), "backup.db")})
	if err != nil || made.GetBytes() == 0 {
		t.Errorf("Backup = %v, %v", made, err)
	}
	if _, err := calls.proxy.OpenSession(t.Context(), &ledgerpb.OpenSessionRequest{}); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("OpenSession: %v, want none of the proxies' calls here", err)
	}
}

func TestTheAdminServiceIsNotOnTheNetwork(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	admin := ledgerpbconnect.NewAdminServiceClient(connect.NewClient(connecthttp.NewTransport(w.HTTPClient(), w.URL)))
	if _, err := admin.Verify(w.as(ledgertest.Key), &ledgerpb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("Verify: %v, want it to be unknown", err)
	}
	request := &ledgerpb.BackupRequest{Path: filepath.Join(t.TempDir(), "backup.db")}
	if _, err := admin.Backup(w.as(ledgertest.Key), request); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("Backup: %v, want it to be unknown", err)
	}
}

func TestProxiesAreListed(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	session := w.open()
	w.draw(session, 1, 60)
	got, err := w.manager.ListProxies(w.as(ledgertest.Key), &ledgerpb.ListProxiesRequest{})
	want := &ledgerpb.ListProxiesResponse{Proxies: []*ledgerpb.ProxyAccount{{
		ProxyId: session.GetProxyId(), Instance: "pod", LastHeard: timestamppb.New(noon),
		Out: []*ledgerpb.Outstanding{{Route: chat, Budget: &ledgerpb.BudgetRef{Name: "monthly"}, AmountNanoUsd: 60}},
	}}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("ListProxies: %v (-want +got):\n%s", err, diff)
	}
}

func TestWhoActsIsKept(t *testing.T) {
	books := newBooks(t)
	if err := books.PutRoute(t.Context(), store.Route{Namespace: "ai", Name: "chat", Server: "server"}); err != nil {
		t.Fatal(err)
	}
	calls := serveLocal(t, books)
	cases := map[string]struct{ actor, want string }{
		"somebody who says nothing":      {"", "local"},
		"somebody with a name":           {"alice", "local:alice"},
		"somebody who says it all":       {"local:alice", "local:alice"},
		"somebody who means to be known": {"system:serviceaccount:a:b", "local:system:serviceaccount:a:b"},
		"somebody with a foreign name":   {"Zoë", "local:Zoë"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := books.OpenSession(t.Context(), noon.Add(-time.Hour), store.NewSession{
				ProxyID: name, Routes: []store.RouteKey{{Namespace: "ai", Name: "chat"}}, Identity: "server",
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, info := connect.NewClientContext(t.Context())
			info.RequestHeader().Set(ledger.ActorHeader, test.actor)
			if _, err := calls.manager.ReleaseProxy(ctx, &ledgerpb.ReleaseProxyRequest{ProxyId: name, Reason: "gone"}); err != nil {
				t.Fatalf("ReleaseProxy: %v", err)
			}
			listed, err := calls.manager.ListProxies(t.Context(), &ledgerpb.ListProxiesRequest{})
			if err != nil {
				t.Fatalf("ListProxies: %v", err)
			}
			for _, one := range listed.GetProxies() {
				if by := one.GetRelease().GetBy(); one.GetProxyId() == name && (by != test.want || one.GetRelease().GetReason() != "gone") {
					t.Errorf("it is kept that %q did it, want %q", by, test.want)
				}
			}
		})
	}
}

func TestANameThatIsNoneIsRefused(t *testing.T) {
	calls := serveLocal(t, newBooks(t))
	for reason, actor := range map[string]string{"too long": strings.Repeat("x", 254), "no text": "\xff", "invisible": "a\u200bb"} {
		t.Run(reason, func(t *testing.T) {
			ctx, info := connect.NewClientContext(t.Context())
			info.RequestHeader().Set(ledger.ActorHeader, actor)
			if _, err := calls.admin.Verify(ctx, &ledgerpb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("Verify: %v, want INVALID_ARGUMENT", err)
			}
		})
	}
}

// plain are books that can do no more than a store.Store has to.
type plain struct{ store.Store }

func TestWhatAStoreCannotDoIsSaid(t *testing.T) {
	calls := serveLocal(t, plain{newBooks(t)})
	_, err := calls.admin.Backup(t.Context(), &ledgerpb.BackupRequest{Path: "/backup.db"})
	if connect.CodeOf(err) != connect.CodeUnimplemented || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("Backup: %v, want to be told of pg_dump", err)
	}
	if _, err := calls.admin.Verify(t.Context(), &ledgerpb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("Verify: %v, want UNIMPLEMENTED", err)
	}
	_, err = calls.manager.ListProxies(t.Context(), &ledgerpb.ListProxiesRequest{})
	if connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("ListProxies: %v, want UNIMPLEMENTED", err)
	}
}

func TestABackupThatCannotBeMadeSaysWhy(t *testing.T) {
	calls := serveLocal(t, newBooks(t))
	cases := map[string]struct {
		path string
		code connect.Code
	}{
		"something is there": {t.TempDir(), connect.CodeAlreadyExists},
		"a relative path":    {"backup.db", connect.CodeInvalidArgument},
		"no such folder":     {"/nonexistent/backup.db", connect.CodeUnavailable},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			if _, err := calls.admin.Backup(t.Context(), &ledgerpb.BackupRequest{Path: test.path}); connect.CodeOf(err) != test.code {
				t.Errorf("Backup: %v, want %s", err, test.code)
			}
		})
	}
}
