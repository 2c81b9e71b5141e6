// Package books is where the pages for people have it from what routes spent over time: the books of a ledger.
package books

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/portal"
)

// maxAnswerBytes bounds one answer of the ledger: a day or two of a route's consumers, each with some hundred bytes.
const maxAnswerBytes = 16 << 20

// Reader asks a ledger. It is a portal.History.
type Reader struct{ ledger history.Service }

// Of makes a reader of a ledger to which we need no token.
func Of(ledger history.Service) *Reader { return &Reader{ledger: ledger} }

// Options say how to reach a ledger.
type Options struct {
	// URL is the base URL of its RPCs.
	URL string
	// TokenFile is the file with the bearer token, and CAFile the one with the certificates, as PEM, by which the ledger is known. They are
	// read anew as they are needed, since both are replaced.
	TokenFile, CAFile string
}

// Dial makes a reader of a ledger that it reaches over the network, once it is asked.
func Dial(options Options) *Reader {
	client := ledgerclient.NewHTTPClient(func() (*x509.CertPool, error) {
		bundle, err := os.ReadFile(options.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the certificates by which the ledger is known: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("there is no certificate in %s", options.CAFile)
		}
		return roots, nil
	})
	client.Transport = ledgerclient.Bearer(client.Transport, ledgerclient.TokenFile(options.TokenFile))
	transport := connecthttp.NewTransport(client, options.URL, connecthttp.WithReadMaxBytes(maxAnswerBytes))
	return Of(ledgerpbconnect.NewManagerServiceClient(connect.NewClient(transport)))
}

// Daily implements portal.History. What the ledger tells by upstream and model is one after the other.
func (r *Reader) Daily(ctx context.Context, namespace, route string, from time.Time, timeZone string) ([]portal.Spent, error) {
	routes := []*ledgerpb.RouteRef{{Namespace: namespace, Name: route}}
	asked := &ledgerpb.ListHistoryRequest{
		From: timestamppb.New(from), Step: ledgerpb.Period_PERIOD_DAY, TimeZone: timeZone, By: ledgerpb.ListHistoryRequest_BY_CONSUMER,
	}
	var spent []portal.Spent
	err := history.Read(ctx, r.ledger, asked, routes, time.UTC, func(entry history.Entry) error {
		spent = append(spent, portal.Spent{Day: entry.Start, Consumer: entry.Consumer, Amount: entry.Spent})
		return nil
	})
	if refused, is := errors.AsType[*connect.Error](err); is && refused.Code() == connect.CodeFailedPrecondition {
		return nil, nil // The ledger has never heard of the route, so it has spent nothing.
	}
	if err != nil {
		return nil, fmt.Errorf("asking the ledger: %w", err)
	}
	return spent, nil
}
