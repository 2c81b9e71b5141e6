package ledger

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// callerKey is where observe puts a place for the caller's identity, which authenticate fills, so that both can name the caller.
type callerKey struct{}

// identityOf returns who calls; empty if that is not known.
func identityOf(ctx context.Context) string {
	if caller, ok := ctx.Value(callerKey{}).(*auth.Identity); ok {
		return string(*caller)
	}
	return ""
}

// setIdentity notes who calls.
func setIdentity(ctx context.Context, identity auth.Identity) {
	if caller, ok := ctx.Value(callerKey{}).(*auth.Identity); ok {
		*caller = identity
	}
}

func isManagerProcedure(procedure string) bool {
	return strings.HasPrefix(procedure, "/"+ledgerpbconnect.ManagerServiceName+"/")
}

// readingProcedures are the manager's procedures that change nothing, and tell what was spent: those of readers.
var readingProcedures = []string{
	ledgerpbconnect.ManagerServiceListUsageProcedure,
	ledgerpbconnect.ManagerServiceListHistoryProcedure,
	ledgerpbconnect.ManagerServiceListUpstreamSpendProcedure,
}

// mayCall reports whether somebody may call a procedure. Who may do what in the ProxyService is a matter of routes and sessions.
func (l *Ledger) mayCall(identity auth.Identity, procedure string) bool {
	switch {
	case !isManagerProcedure(procedure), slices.Contains(l.Managers, identity):
		return true
	case slices.Contains(readingProcedures, procedure):
		return slices.Contains(l.Readers, identity)
	}
	return false
}

// onSessionAlone reports whether the session proves enough: a proxy whose ServiceAccount is gone still settles while it drains.
func onSessionAlone(procedure string) bool {
	return procedure == ledgerpbconnect.ProxyServiceHeartbeatProcedure || procedure == ledgerpbconnect.ProxyServiceAppendProcedure
}

// authenticate finds out who calls before anything of the request is read.
func (l *Ledger) authenticate(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if onSessionAlone(spec.Procedure) {
			return next(ctx, spec, stream)
		}
		identity, err := l.Authenticator.Authenticate(ctx, bearer(ctx))
		setIdentity(ctx, identity)
		switch {
		case errors.Is(err, auth.ErrUnauthenticated):
			return connect.NewError(connect.CodeUnauthenticated, "the bearer token is not accepted").WithCause(err)
		case err != nil:
			return connect.NewError(connect.CodeUnavailable, "the bearer token cannot be checked now").WithCause(err)
		case !l.mayCall(identity, spec.Procedure):
			return connect.Errorf(connect.CodePermissionDenied, "%s may not call %s", identity, methodOf(spec.Procedure))
		}
		return next(ctx, spec, stream)
	}
}

func bearer(ctx context.Context) string {
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok {
		return ""
	}
	token, found := strings.CutPrefix(info.RequestHeader().Get("Authorization"), "Bearer ")
	if !found {
		return ""
	}
	return token
}

// observe counts every call, logs those that somebody should know of, and turns a panic into an error of one call.
func (l *Ledger) observe(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		ctx = context.WithValue(ctx, callerKey{}, new(auth.Identity))
		defer func() {
			if problem := recover(); problem != nil {
				l.Logger.Error("a call panicked", slog.String("procedure", spec.Procedure), slog.Any("panic", problem),
					slog.String("stack", string(debug.Stack())))
				err = connect.NewError(connect.CodeInternal, "internal error")
			}
			l.note(ctx, spec, err)
		}()
		return next(ctx, spec, stream)
	}
}

func methodOf(procedure string) string { return procedure[strings.LastIndex(procedure, "/")+1:] }

func (l *Ledger) note(ctx context.Context, spec connect.Spec, err error) {
	method := methodOf(spec.Procedure)
	code := "ok"
	if err != nil {
		code = connect.CodeOf(err).String()
	}
	l.Metrics.calls.WithLabelValues(method, code).Inc()
	peer := ""
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		peer = info.PeerAddr
	}
	attributes := []any{
		slog.String("method", method), slog.String("caller", identityOf(ctx)), slog.String("peer", peer), slog.Any("error", cause(err)),
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeInvalidArgument:
		l.Logger.Warn("a call was refused", attributes...)
	case connect.CodeUnavailable, connect.CodeInternal, connect.CodeResourceExhausted, connect.CodeUnknown:
		if err != nil {
			l.Logger.Error("a call failed", attributes...)
		}
	}
}

// cause is what to log of an error: also that which the caller is not told.
func cause(err error) error {
	var known *connect.Error
	if errors.As(err, &known) && known.Unwrap() != nil {
		return known.Unwrap()
	}
	return err
}

// callError turns an error of the store into what the caller is told.
func callError(err error) error {
	codes := []struct {
		of   error
		code connect.Code
	}{
		{store.ErrUnknownSession, connect.CodeNotFound},
		{store.ErrUnknownRoute, connect.CodeFailedPrecondition},
		{store.ErrUnknownOwner, connect.CodeFailedPrecondition},
		{store.ErrNotServer, connect.CodePermissionDenied},
		{store.ErrReleased, connect.CodeAborted},
		{store.ErrLate, connect.CodeFailedPrecondition},
		{store.ErrUnknownProxy, connect.CodeNotFound},
		{store.ErrStillAlive, connect.CodeFailedPrecondition},
	}
	for _, known := range codes {
		if errors.Is(err, known.of) {
			return connect.NewError(known.code, err.Error())
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrFull):
		return connect.NewError(connect.CodeResourceExhausted, store.ErrFull.Error()).WithCause(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return connect.NewError(connect.CodeUnavailable, store.ErrFailed.Error()).WithCause(err)
}
