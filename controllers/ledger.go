package controllers

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"k8s.io/apimachinery/pkg/types"

	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
)

const (
	// ledgerTimeout bounds one call to the ledger.
	ledgerTimeout = 3 * time.Second
	// maxUsageBytes bounds the ledger's list of all routes: thousands of them, each with some kilobytes.
	maxUsageBytes = 64 << 20
)

// Ledger is what the manager asks of the ledger.
type Ledger interface {
	// PutRoute replaces the budgets and rate limits of a route, and who may serve it. It returns an *InvalidBudgetsError if the ledger
	// finds fault with the request.
	PutRoute(ctx context.Context, request *ledgerpb.PutRouteRequest) error
	// PutShared replaces the budgets and rate limits of an owner that routes share. Its errors are those of PutRoute.
	PutShared(ctx context.Context, request *ledgerpb.PutSharedRequest) error
	// ListUsage returns the spend and the budgets of every route and shared owner that was ever put, and the proxies of the routes; if the
	// ledger still knows the state of an earlier answer, only of those for which any of this is different since. An empty one is of none.
	ListUsage(ctx context.Context, known string) (*ledgerpb.ListUsageResponse, error)
	// ListUpstreamSpend returns what a route that was put ever spent, by upstream. The ledger sums it up from the route's history.
	ListUpstreamSpend(ctx context.Context, route types.NamespacedName) (spendByUpstream, error)
}

// spendByUpstream is what a route ever spent at the upstreams of these names.
type spendByUpstream map[string]*ledgerpb.UpstreamSpend

// InvalidBudgetsError says that the ledger refuses a route's budgets and rate limits; trying again does not help.
type InvalidBudgetsError struct {
	// Message is the ledger's word on which field is wrong.
	Message string
}

// Error is the ledger's message.
func (e *InvalidBudgetsError) Error() string { return e.Message }

// LedgerOptions say how to reach the ledger.
type LedgerOptions struct {
	// URL is the base URL of its RPCs.
	URL string
	// TokenFile is the file with the bearer token. It is read for every call, since the kubelet replaces it.
	TokenFile string
	// Authority returns the PEM of the authority that signed the ledger's certificate. It is not called where the URL is plain HTTP.
	Authority func() ([]byte, error)
}

// NewLedger returns a client of the ledger.
func NewLedger(options LedgerOptions) Ledger {
	httpClient := ledgerclient.NewHTTPClient(func() (*x509.CertPool, error) {
		authority, err := options.Authority()
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(authority) {
			return nil, errors.New("the authority's certificate is no PEM")
		}
		return roots, nil
	})
	transport := connecthttp.NewTransport(httpClient, options.URL, connecthttp.WithReadMaxBytes(maxUsageBytes))
	return &rpcLedger{
		manager: ledgerpbconnect.NewManagerServiceClient(connect.NewClient(transport)),
		token:   ledgerclient.TokenFile(options.TokenFile),
	}
}

type rpcLedger struct {
	manager ledgerpbconnect.ManagerServiceClient
	token   func(context.Context) (string, error)
}

func (l *rpcLedger) PutRoute(ctx context.Context, request *ledgerpb.PutRouteRequest) error {
	ctx, cancel, err := l.prepare(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = l.manager.PutRoute(ctx, request)
	return asPutError("the route's budgets", err)
}

func (l *rpcLedger) PutShared(ctx context.Context, request *ledgerpb.PutSharedRequest) error {
	ctx, cancel, err := l.prepare(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = l.manager.PutShared(ctx, request)
	return asPutError("the budgets of "+request.GetOwner(), err)
}

func asPutError(what string, err error) error {
	var refusal *connect.Error
	if errors.As(err, &refusal) && refusal.Code() == connect.CodeInvalidArgument {
		return &InvalidBudgetsError{Message: refusal.Message()}
	}
	if err != nil {
		return fmt.Errorf("putting %s to the ledger: %w", what, err)
	}
	return nil
}

func (l *rpcLedger) ListUsage(ctx context.Context, known string) (*ledgerpb.ListUsageResponse, error) {
	ctx, cancel, err := l.prepare(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	response, err := l.manager.ListUsage(ctx, &ledgerpb.ListUsageRequest{Known: known})
	if err != nil {
		return nil, fmt.Errorf("asking the ledger for the spend: %w", err)
	}
	return response, nil
}

func (l *rpcLedger) ListUpstreamSpend(ctx context.Context, route types.NamespacedName) (spendByUpstream, error) {
	ctx, cancel, err := l.prepare(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	response, err := l.manager.ListUpstreamSpend(ctx, &ledgerpb.ListUpstreamSpendRequest{
		Route: &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name},
	})
	if err != nil {
		return nil, fmt.Errorf("asking the ledger for the spend of route %s by upstream: %w", route, err)
	}
	spends := make(spendByUpstream, len(response.GetUpstreams()))
	for _, one := range response.GetUpstreams() {
		spends[one.GetName()] = one
	}
	return spends, nil
}

// prepare bounds a call in time and authenticates it.
func (l *rpcLedger) prepare(ctx context.Context) (context.Context, context.CancelFunc, error) {
	token, err := l.token(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+token)
	return ctx, cancel, nil
}
