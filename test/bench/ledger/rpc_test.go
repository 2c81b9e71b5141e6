package ledger

import (
	"fmt"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// remote is a proxy of a ledger that is reached over TLS.
type remote struct {
	rpc     ledgerpbconnect.ProxyServiceClient
	session *ledgerpb.Session
	routes  []*ledgerpb.RouteRef
	leases  [][]*ledgerpb.Lease
	logged  int64
}

// BenchmarkAppendRPC reports batches of settlements over TLS, on loopback, with the ledger in the same process.
func BenchmarkAppendRPC(b *testing.B) {
	for _, over := range spread {
		for _, inFlight := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("accounts=%d/proxies=%d", over.accounts, inFlight), func(b *testing.B) {
				l := ledgertest.StartWith(b, ledgertest.Options{TLS: true})
				routes := make([]*ledgerpb.RouteRef, over.routes)
				for i := range routes {
					routes[i] = &ledgerpb.RouteRef{Namespace: "ai", Name: fmt.Sprintf("route-%d", i)}
					l.PutRoute(&ledgerpb.PutRouteRequest{Route: routes[i], Consumers: []string{"alice"}, Budgets: []*ledgerpb.Budget{
						monthly(""), monthly("alice"),
					}})
				}
				idle := make(chan *remote, inFlight)
				for i := range inFlight {
					idle <- newRemote(b, l, fmt.Sprintf("proxy-%d", i), routes)
				}
				var settled atomic.Int64
				measure(b, inFlight, func(int64) error {
					p := <-idle
					defer func() { idle <- p }()
					settled.Add(batch)
					return p.report(b)
				})
				b.ReportMetric(float64(settled.Load())/b.Elapsed().Seconds(), "settlements/s")
			})
		}
	}
}

// newRemote opens a session and draws for every route.
func newRemote(b *testing.B, l *ledgertest.Ledger, id string, routes []*ledgerpb.RouteRef) *remote {
	b.Helper()
	opened := l.OpenSession(&ledgerpb.OpenSessionRequest{ProxyId: id, Instance: id, Routes: routes})
	p := &remote{
		rpc:     ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(l.HTTPClient(), l.URL))),
		session: opened.GetSession(), routes: routes,
	}
	request := &ledgerpb.DrawRequest{Session: p.session, Sequence: 1}
	for _, route := range routes {
		request.Demands = append(request.Demands, &ledgerpb.Demand{Route: route, Consumer: "alice", AmountNanoUsd: 100_000 * money.NanoPerUSD})
	}
	ctx, info := connect.NewClientContext(b.Context())
	info.RequestHeader().Set("Authorization", "Bearer "+ledgertest.Key)
	response, err := p.rpc.Draw(ctx, request)
	if err != nil {
		b.Fatal(err)
	}
	for _, answer := range response.GetAnswers() {
		p.leases = append(p.leases, answer.GetLeases())
	}
	return p
}

// report appends a batch of settlements, one for each of the routes in turn.
func (p *remote) report(b *testing.B) error {
	request := &ledgerpb.AppendRequest{Session: p.session, First: p.logged + 1}
	now := timestamppb.Now()
	for i := range int64(batch) {
		at := int(p.logged+i) % len(p.routes)
		one := &ledgerpb.Settlement{
			Route: p.routes[at], Consumer: "alice", OpenedAt: now, AmountNanoUsd: cost, Certainty: ledgerpb.Settlement_CERTAINTY_EXACT,
		}
		for _, lease := range p.leases[at] {
			one.Charges = append(one.Charges, &ledgerpb.Charge{Lease: lease.GetId(), Amount: cost})
		}
		request.Records = append(request.Records, &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: one}})
	}
	response, err := p.rpc.Append(b.Context(), request)
	if err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	if p.logged += batch; response.GetApplied() != p.logged {
		return fmt.Errorf("%d records are applied, want %d", response.GetApplied(), p.logged)
	}
	return nil
}
