package ledger

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// ActorHeader is the header of a call to the AdminHandler in which the caller says who they are.
	ActorHeader = "Actor"
	// localIdentity is who calls the AdminHandler without saying more.
	localIdentity auth.Identity = "local"
	// maxActor bounds what a caller says of themselves, in bytes.
	maxActor = 253
)

// AdminHandler serves the ManagerService and the AdminService to whoever reaches it: it belongs on a socket that only the ledger's own
// user can open. What a caller says of themselves is kept, as "local:NAME", so that nobody is taken for a caller with a token.
func (l *Ledger) AdminHandler() http.Handler {
	server := connect.NewServer(l.observe, asLocal)
	ledgerpbconnect.RegisterManagerServiceHandler(server, &managerService{Ledger: l})
	ledgerpbconnect.RegisterAdminServiceHandler(server, &adminService{Ledger: l})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server, connecthttp.WithReadMaxBytes(maxManagerRequest))
	return mux
}

// asLocal notes who a local caller says that they are.
func asLocal(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		setIdentity(ctx, localIdentity)
		actor := strings.TrimPrefix(actorOf(ctx), string(localIdentity)+":")
		if !isPrintable(actor) {
			return connect.Errorf(connect.CodeInvalidArgument, "who calls: must be at most %d bytes of printable text", maxActor)
		}
		if actor != "" {
			setIdentity(ctx, localIdentity+":"+auth.Identity(actor))
		}
		return next(ctx, spec, stream)
	}
}

func isPrintable(actor string) bool {
	return len(actor) <= maxActor && utf8.ValidString(actor) &&
		!strings.ContainsFunc(actor, func(r rune) bool { return !unicode.IsPrint(r) })
}

func actorOf(ctx context.Context) string {
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok {
		return ""
	}
	return info.RequestHeader().Get(ActorHeader)
}

// adminService is what an operator calls on the ledger's own machine.
type adminService struct {
	*Ledger
}

// Backup implements the RPC.
func (s *adminService) Backup(ctx context.Context, request *ledgerpb.BackupRequest) (*ledgerpb.BackupResponse, error) {
	books, ok := s.Store.(store.Copyable)
	if !ok {
		return nil, connect.NewError(connect.CodeUnimplemented,
			"these books are not in a file of the ledger's: back them up with their database's own tools (pg_dump for PostgreSQL)")
	}
	path := request.GetPath()
	if !filepath.IsAbs(path) {
		return nil, connect.NewError(connect.CodeInvalidArgument, "path: must be absolute")
	}
	size, err := books.Backup(ctx, s.Now(), path)
	if err != nil {
		return nil, adminError(err)
	}
	s.Logger.Info("the books were backed up", slog.String("by", identityOf(ctx)), slog.String("path", path), slog.Int64("bytes", size))
	return &ledgerpb.BackupResponse{Bytes: size}, nil
}

// Verify implements the RPC.
func (s *adminService) Verify(ctx context.Context, _ *ledgerpb.VerifyRequest) (*ledgerpb.VerifyResponse, error) {
	books, ok := s.Store.(store.Operable)
	if !ok {
		return nil, errNotOperable()
	}
	verdict, err := books.Verify(ctx, s.Now())
	if err != nil {
		return nil, adminError(err)
	}
	for _, one := range verdict.Discrepancies {
		s.Logger.Error("the books do not agree with themselves", slog.String("about", one.About), slog.String("problem", one.Problem))
	}
	return verdictMessage(verdict), nil
}

// ListProxies implements the RPC.
func (s *managerService) ListProxies(ctx context.Context, _ *ledgerpb.ListProxiesRequest) (*ledgerpb.ListProxiesResponse, error) {
	books, ok := s.Store.(store.Operable)
	if !ok {
		return nil, errNotOperable()
	}
	proxies, err := books.Proxies(ctx)
	if err != nil {
		return nil, callError(err)
	}
	response := &ledgerpb.ListProxiesResponse{}
	for i := range proxies {
		response.Proxies = append(response.Proxies, proxyAccountMessage(&proxies[i]))
	}
	return response, nil
}

func errNotOperable() error {
	return connect.NewError(connect.CodeUnimplemented, "the store that this ledger has its books in cannot show this")
}

// adminError is what an operator is told: everything, since they own the books.
func adminError(err error) error {
	code := connect.CodeUnavailable
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, store.ErrExists):
		code = connect.CodeAlreadyExists
	case errors.Is(err, store.ErrFull):
		code = connect.CodeResourceExhausted
	}
	return connect.NewError(code, err.Error())
}
