package ledger_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// world is a ledger over TLS with a clock that stands still, called without any of the client's help.
type world struct {
	*ledgertest.Ledger
	t       *testing.T
	proxy   ledgerpbconnect.ProxyServiceClient
	manager ledgerpbconnect.ManagerServiceClient
	nano    atomic.Int64
}

var noon = time.Date(2026, time.November, 17, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, options ledgertest.Options) *world {
	t.Helper()
	w := &world{t: t}
	w.nano.Store(noon.UnixNano())
	options.TLS = true
	options.Now = func() time.Time { return time.Unix(0, w.nano.Load()).UTC() }
	w.Ledger = ledgertest.StartWith(t, options)
	called := connect.NewClient(connecthttp.NewTransport(w.HTTPClient(), w.URL))
	w.proxy, w.manager = ledgerpbconnect.NewProxyServiceClient(called), ledgerpbconnect.NewManagerServiceClient(called)
	return w
}

func (w *world) advance(by time.Duration) { w.nano.Add(int64(by)) }

// as returns a context whose calls bear the token; none if it is empty.
func (w *world) as(token string) context.Context {
	ctx, info := connect.NewClientContext(w.t.Context())
	if token != "" {
		info.RequestHeader().Set("Authorization", "Bearer "+token)
	}
	return ctx
}

var chat = &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}

// putChat puts the route with a monthly budget of 1000 nano-USD and a warning one for alice.
func (w *world) putChat() {
	w.PutRoute(&ledgerpb.PutRouteRequest{Route: chat, Consumers: []string{"alice"}, Budgets: []*ledgerpb.Budget{
		{
			Ref: &ledgerpb.BudgetRef{Name: "monthly"}, Limit: 1000,
			Period: ledgerpb.Period_PERIOD_MONTH, TimeZone: "Europe/Berlin", Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
		},
		{
			Ref: &ledgerpb.BudgetRef{Consumer: "alice", Name: "all"}, Limit: 10,
			Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_WARN,
		},
	}})
}

func (w *world) open() *ledgerpb.Session {
	w.t.Helper()
	response, err := w.proxy.OpenSession(w.as(ledgertest.Key), &ledgerpb.OpenSessionRequest{
		ProxyId: "00112233445566778899aabbccddeeff", Instance: "pod", Routes: []*ledgerpb.RouteRef{chat},
	})
	if err != nil {
		w.t.Fatalf("OpenSession: %v", err)
	}
	return response.GetSession()
}

func demand(session *ledgerpb.Session, sequence, amount int64) *ledgerpb.DrawRequest {
	return &ledgerpb.DrawRequest{Session: session, Sequence: sequence, Demands: []*ledgerpb.Demand{
		{Route: chat, Consumer: "alice", AmountNanoUsd: amount},
	}}
}

// settlement is the first record of the proxy's log; it takes what it cost off the lease.
func settlement(session *ledgerpb.Session, amount, lease int64) *ledgerpb.AppendRequest {
	return &ledgerpb.AppendRequest{Session: session, First: 1, Records: []*ledgerpb.Record{{
		Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
			Route: chat, Consumer: "alice", AmountNanoUsd: amount, Certainty: ledgerpb.Settlement_CERTAINTY_EXACT,
			Charges: []*ledgerpb.Charge{{Lease: lease, Amount: amount}},
		}},
	}}}
}

// draw returns the proxy's lease of the route's money, or why it gets none.
func (w *world) draw(session *ledgerpb.Session, sequence, amount int64) (*ledgerpb.Lease, *ledgerpb.Denial) {
	w.t.Helper()
	response, err := w.proxy.Draw(w.as(ledgertest.Key), demand(session, sequence, amount))
	if err != nil {
		w.t.Fatalf("Draw: %v", err)
	}
	answer := response.GetAnswers()[0]
	if answer.GetDenial() != nil {
		return nil, answer.GetDenial()
	}
	return answer.GetLeases()[0], nil
}

func (w *world) append(request *ledgerpb.AppendRequest) {
	w.t.Helper()
	if _, err := w.proxy.Append(w.t.Context(), request); err != nil {
		w.t.Fatalf("Append: %v", err)
	}
}

func TestARouteIsSpentFromAndShown(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	session := w.open()
	lease, denial := w.draw(session, 1, 700)
	if denial != nil {
		t.Fatalf("denied: %v", denial)
	}
	w.append(settlement(session, 250, lease.GetId()))
	beat := &ledgerpb.HeartbeatRequest{Session: session, ConfigHash: "hash", InFlight: []*ledgerpb.InFlight{
		{Route: chat, Consumer: "alice", AmountNanoUsd: 300},
	}}
	pulse, err := w.proxy.Heartbeat(t.Context(), beat)
	if err != nil {
		t.Fatalf("Heartbeat: %v", err)
	}
	wantPulse := &ledgerpb.HeartbeatResponse{
		Versions: []*ledgerpb.RouteVersion{{Route: chat, Version: 1}}, Now: timestamppb.New(noon),
	}
	if diff := cmp.Diff(wantPulse, pulse, protocmp.Transform()); diff != "" {
		t.Errorf("pulse (-want +got):\n%s", diff)
	}
	spend := &ledgerpb.Spend{SettledNanoUsd: 250, HeldNanoUsd: 300}
	leased := &ledgerpb.Spend{SettledNanoUsd: 250, HeldNanoUsd: 300, LeasedNanoUsd: 450}
	want := &ledgerpb.RouteUsage{
		Route: chat, Spend: spend,
		Budgets: []*ledgerpb.BudgetUsage{{
			Budget: &ledgerpb.Budget{
				Ref: &ledgerpb.BudgetRef{Name: "monthly"}, Limit: 1000,
				Period: ledgerpb.Period_PERIOD_MONTH, TimeZone: "Europe/Berlin", Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
			},
			Spend:       leased,
			WindowStart: timestamppb.New(time.Date(2026, time.October, 31, 23, 0, 0, 0, time.UTC)),
			WindowEnd:   timestamppb.New(time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC)),
		}},
		Consumers: []*ledgerpb.ConsumerUsage{{Name: "alice", Spend: spend, Budgets: []*ledgerpb.BudgetUsage{{
			Budget: &ledgerpb.Budget{
				Ref: &ledgerpb.BudgetRef{Consumer: "alice", Name: "all"}, Limit: 10,
				Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_WARN,
			},
			Spend:       spend,
			WindowStart: timestamppb.New(time.Unix(0, 0)),
		}}}},
		Proxies: []*ledgerpb.ProxyStatus{{
			ProxyId: session.GetProxyId(), Instance: "pod", ConfigHash: "hash", LastHeartbeat: timestamppb.New(noon),
		}},
	}
	if diff := cmp.Diff(want, w.Usage("ai", "chat"), protocmp.Transform()); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestADenialSaysWhatIsLeftAndUntilWhen(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	session := w.open()
	lease, _ := w.draw(session, 1, 900)
	untilDecember := durationpb.New(time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC).Sub(noon))
	held := &ledgerpb.Denial{
		Reason: ledgerpb.Denial_REASON_HELD, Budget: &ledgerpb.BudgetRef{Name: "monthly"},
		Limit: 1000, Remaining: 1000, ResetsIn: untilDecember,
	}
	_, denial := w.draw(session, 2, 101)
	if diff := cmp.Diff(held, denial, protocmp.Transform()); diff != "" {
		t.Errorf("while the money is held (-want +got):\n%s", diff)
	}
	w.append(settlement(session, 950, lease.GetId()))
	exhausted := &ledgerpb.Denial{
		Reason: ledgerpb.Denial_REASON_EXHAUSTED, Budget: &ledgerpb.BudgetRef{Name: "monthly"},
		Limit: 1000, Remaining: 50, ResetsIn: untilDecember,
	}
	_, denial = w.draw(session, 3, 51)
	if diff := cmp.Diff(exhausted, denial, protocmp.Transform()); diff != "" {
		t.Errorf("once the money is spent (-want +got):\n%s", diff)
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	w := newWorld(t, ledgertest.Options{Managers: []auth.Identity{"somebody else"}})
	owner := ledgertest.StartWith(t, ledgertest.Options{})
	owner.PutRoute(&ledgerpb.PutRouteRequest{Route: chat, Server: "somebody else", Consumers: []string{"alice"}})
	atOwner := ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(owner.HTTPClient(), owner.URL)))
	session := &ledgerpb.Session{ProxyId: "proxy", Epoch: 1, Token: make([]byte, 32)}
	opening := &ledgerpb.OpenSessionRequest{ProxyId: "proxy", Routes: []*ledgerpb.RouteRef{chat}}
	cases := map[string]struct {
		call func() error
		want connect.Code
	}{
		"a session without a token": {
			func() error { _, err := w.proxy.OpenSession(w.as(""), opening); return err }, connect.CodeUnauthenticated,
		},
		"a session with a wrong token": {
			func() error { _, err := w.proxy.OpenSession(w.as("wrong"), opening); return err }, connect.CodeUnauthenticated,
		},
		"a session for a route that nobody put": {
			func() error { _, err := w.proxy.OpenSession(w.as(ledgertest.Key), opening); return err }, connect.CodeFailedPrecondition,
		},
		"a session for a route of somebody else": {
			func() error { _, err := atOwner.OpenSession(w.as(ledgertest.Key), opening); return err }, connect.CodePermissionDenied,
		},
		"money without a token": {
			func() error { _, err := w.proxy.Draw(w.as(""), demand(session, 1, 1)); return err }, connect.CodeUnauthenticated,
		},
		"money without a session": {
			func() error { _, err := w.proxy.Draw(w.as(ledgertest.Key), demand(session, 1, 1)); return err }, connect.CodeNotFound,
		},
		"a heartbeat without a session": {
			func() error {
				_, err := w.proxy.Heartbeat(w.as(""), &ledgerpb.HeartbeatRequest{Session: session})
				return err
			}, connect.CodeNotFound,
		},
		"a settlement without a session": {
			func() error { _, err := w.proxy.Append(w.as(""), settlement(session, 1, 1)); return err }, connect.CodeNotFound,
		},
		"the usage without a token": {
			func() error { _, err := w.manager.ListUsage(w.as(""), &ledgerpb.ListUsageRequest{}); return err }, connect.CodeUnauthenticated,
		},
		"the usage for one who is no manager": {
			func() error {
				_, err := w.manager.ListUsage(w.as(ledgertest.Key), &ledgerpb.ListUsageRequest{})
				return err
			},
			connect.CodePermissionDenied,
		},
		"budgets of one who is no manager": {
			func() error {
				_, err := w.manager.PutRoute(w.as(ledgertest.Key), &ledgerpb.PutRouteRequest{Route: chat})
				return err
			}, connect.CodePermissionDenied,
		},
		"the release of a proxy for one who is no manager": {
			func() error {
				_, err := w.manager.ReleaseProxy(w.as(ledgertest.Key), &ledgerpb.ReleaseProxyRequest{ProxyId: "proxy", Reason: "gone"})
				return err
			}, connect.CodePermissionDenied,
		},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			if err := test.call(); connect.CodeOf(err) != test.want {
				t.Errorf("error %v, want code %s", err, test.want)
			}
		})
	}
	counted, err := w.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0.0
	for _, family := range counted {
		if family.GetName() != "modelroute_ledger_calls_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "code" && label.GetValue() == "unauthenticated" {
					refused += metric.GetCounter().GetValue()
				}
			}
		}
	}
	if refused != 4 {
		t.Errorf("%v refused calls are counted, want 4", refused)
	}
}

func TestASessionAloneSettlesWhenTheTokenIsGone(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	session := w.open()
	lease, _ := w.draw(session, 1, 500)
	w.PutRoute(&ledgerpb.PutRouteRequest{Route: chat, Server: "nobody"})
	if _, err := w.proxy.Append(w.as("gone"), settlement(session, 123, lease.GetId())); err != nil {
		t.Fatalf("Append: %v", err)
	}
	if got := w.Usage("ai", "chat").GetSpend(); got.GetSettledNanoUsd() != 123 {
		t.Errorf("spend = %v, want 123 settled", got)
	}
	response, err := w.proxy.Draw(w.as(ledgertest.Key), demand(session, 2, 1))
	if err != nil || response.GetAnswers()[0].GetProblem() == "" {
		t.Errorf("Draw: %v, %v, want a problem", response, err)
	}
}

// untilMonthly waits until the route's monthly budget shows the spend.
func (w *world) untilMonthly(want *ledgerpb.Spend) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := w.Usage("ai", "chat").GetBudgets()[0].GetSpend()
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("spend = %v, want %v", got, want)
		}
	}
}

func TestWhatIsOutWithASilentProxyIsUncertainUntilItIsReleased(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	session := w.open()
	w.draw(session, 1, 500)
	release := &ledgerpb.ReleaseProxyRequest{ProxyId: session.GetProxyId(), Reason: "its node burnt down"}
	if _, err := w.manager.ReleaseProxy(w.as(ledgertest.Key), release); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("releasing a proxy that lives: %v, want failed precondition", err)
	}
	w.advance(31 * time.Second)
	w.untilMonthly(&ledgerpb.Spend{UncertainNanoUsd: 500})
	freed, err := w.manager.ReleaseProxy(w.as(ledgertest.Key), release)
	if err != nil || freed.GetFreedNanoUsd() != 500 {
		t.Errorf("ReleaseProxy = %v, %v, want 500 freed", freed, err)
	}
	w.untilMonthly(&ledgerpb.Spend{})
	if _, err := w.proxy.Draw(w.as(ledgertest.Key), demand(session, 2, 1)); connect.CodeOf(err) != connect.CodeAborted {
		t.Errorf("a draw of the released proxy: %v, want aborted", err)
	}
}

func TestWrongFieldsAreNamed(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	session := w.open()
	draw := func(change func(*ledgerpb.DrawRequest, *ledgerpb.Demand)) func() error {
		return func() error {
			request := demand(session, 1, 1)
			change(request, request.GetDemands()[0])
			_, err := w.proxy.Draw(w.as(ledgertest.Key), request)
			return err
		}
	}
	settle := func(change func(*ledgerpb.Settlement)) func() error {
		return func() error {
			request := settlement(session, 1, 1)
			change(request.GetRecords()[0].GetSettlement())
			_, err := w.proxy.Append(t.Context(), request)
			return err
		}
	}
	log := func(first int64, records ...*ledgerpb.Record) func() error {
		return func() error {
			_, err := w.proxy.Append(t.Context(), &ledgerpb.AppendRequest{Session: session, First: first, Records: records})
			return err
		}
	}
	put := func(change func(*ledgerpb.PutRouteRequest, *ledgerpb.Budget)) func() error {
		return func() error {
			one := &ledgerpb.Budget{
				Ref: &ledgerpb.BudgetRef{Name: "b"}, Period: ledgerpb.Period_PERIOD_DAY, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
			}
			request := &ledgerpb.PutRouteRequest{Route: chat, Consumers: []string{"alice"}, Budgets: []*ledgerpb.Budget{one}}
			change(request, one)
			_, err := w.manager.PutRoute(w.as(ledgertest.Key), request)
			return err
		}
	}
	cases := map[string]func() error{
		"session.token": draw(func(r *ledgerpb.DrawRequest, _ *ledgerpb.Demand) {
			r.Session = &ledgerpb.Session{ProxyId: "p", Epoch: 1}
		}),
		"session.proxy_id":           draw(func(r *ledgerpb.DrawRequest, _ *ledgerpb.Demand) { r.Session = nil }),
		"sequence":                   draw(func(r *ledgerpb.DrawRequest, _ *ledgerpb.Demand) { r.Sequence = 0 }),
		"demands: must be between 1": draw(func(r *ledgerpb.DrawRequest, _ *ledgerpb.Demand) { r.Demands = nil }),
		"demands[0].route.name": draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) {
			d.Route = &ledgerpb.RouteRef{Namespace: "ai"}
		}),
		"demands[0].consumer":               draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) { d.Consumer = strings.Repeat("a", 254) }),
		"demands[0].amount_nano_usd: is -1": draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) { d.AmountNanoUsd = -1 }),
		"demands[0].amount_nano_usd: is 2":  draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) { d.AmountNanoUsd = 2e18 }),
		"demands[0].upstream":               draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) { d.Upstream = strings.Repeat("a", 254) }),
		"demands[0].want_nano_usd":          draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) { d.WantNanoUsd = -1 }),
		"demands[0].have[0].lease": draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) {
			d.Have = []*ledgerpb.Charge{{Amount: 1}}
		}),
		"budgets[0].ref: is of a consumer and of an upstream": put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) {
			b.Ref = &ledgerpb.BudgetRef{Consumer: "alice", Upstream: "spare", Name: "b"}
		}),
		"budgets[0].except_upstream: must not be set": put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) {
			b.Ref.Upstream, b.ExceptUpstream = "spare", "main"
		}),
		"budgets[0].ref.unit: must be money": put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) {
			b.Ref.Unit, b.Period, b.PeriodSeconds, b.ExceptUpstream = ledgerpb.Unit_UNIT_TOKENS, ledgerpb.Period_PERIOD_SECONDS, 60, "main"
		}),
		"first":                               log(0),
		"records[0].kind":                     log(1, &ledgerpb.Record{}),
		"records[0].release_all":              log(1, &ledgerpb.Record{Kind: &ledgerpb.Record_ReleaseAll{}}),
		"records[0].returned.lease":           log(1, &ledgerpb.Record{Kind: &ledgerpb.Record_Returned{Returned: &ledgerpb.Charge{}}}),
		"records[0].settlement.amount":        settle(func(s *ledgerpb.Settlement) { s.AmountNanoUsd = -5 }),
		"records[0].settlement.certainty":     settle(func(s *ledgerpb.Settlement) { s.Certainty = 0 }),
		"records[0].settlement.route":         settle(func(s *ledgerpb.Settlement) { s.Route = nil }),
		"records[0].settlement.charges[0].am": settle(func(s *ledgerpb.Settlement) { s.Charges[0].Amount = -1 }),
		"in_flight[0].consumer": func() error {
			_, err := w.proxy.Heartbeat(t.Context(), &ledgerpb.HeartbeatRequest{
				Session: session, InFlight: []*ledgerpb.InFlight{{Route: chat}},
			})
			return err
		},
		"proxy_id: must be set": func() error {
			_, err := w.manager.ReleaseProxy(w.as(ledgertest.Key), &ledgerpb.ReleaseProxyRequest{Reason: "gone"})
			return err
		},
		"reason: must be set": func() error {
			_, err := w.manager.ReleaseProxy(w.as(ledgertest.Key), &ledgerpb.ReleaseProxyRequest{ProxyId: "p"})
			return err
		},
		"route.namespace":           put(func(r *ledgerpb.PutRouteRequest, _ *ledgerpb.Budget) { r.Route = nil }),
		"consumers[1]":              put(func(r *ledgerpb.PutRouteRequest, _ *ledgerpb.Budget) { r.Consumers = []string{"alice", "alice"} }),
		"budgets[0].limit":          put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.Limit = 1e18 }),
		"budgets[0].period":         put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.Period = 0 }),
		"budgets[0].enforcement":    put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.Enforcement = 0 }),
		"budgets[0].time_zone":      put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.TimeZone = "Europe/Nowhere" }),
		"budgets[0].ref.name":       put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.Ref = nil }),
		"budgets[0].ref.consumer":   put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.Ref.Consumer = "bob" }),
		"budgets[1].ref.name: b is": put(func(r *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { r.Budgets = append(r.Budgets, b) }),
		"budgets[0].ref.unit":       put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) { b.Ref.Unit = 7 }),
		"budgets[0].period: must be of seconds for requests": put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) {
			b.Ref.Unit = ledgerpb.Unit_UNIT_REQUESTS
		}),
		"budgets[0].period_seconds: is -1": put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) {
			b.Ref.Unit, b.Period, b.PeriodSeconds = ledgerpb.Unit_UNIT_TOKENS, ledgerpb.Period_PERIOD_SECONDS, -1
		}),
		"budgets[0].enforcement: must be deny for tokens": put(func(_ *ledgerpb.PutRouteRequest, b *ledgerpb.Budget) {
			b.Ref.Unit, b.Period, b.PeriodSeconds = ledgerpb.Unit_UNIT_TOKENS, ledgerpb.Period_PERIOD_SECONDS, 60
			b.Enforcement = ledgerpb.Enforcement_ENFORCEMENT_WARN
		}),
		"demands[0].tokens": draw(func(_ *ledgerpb.DrawRequest, d *ledgerpb.Demand) { d.Tokens = -1 }),
		"routes: must be between 1": func() error {
			_, err := w.proxy.OpenSession(w.as(ledgertest.Key), &ledgerpb.OpenSessionRequest{ProxyId: "p"})
			return err
		},
		"config_hash: is longer than": func() error {
			_, err := w.proxy.Heartbeat(t.Context(), &ledgerpb.HeartbeatRequest{Session: session, ConfigHash: strings.Repeat("a", 200)})
			return err
		},
	}
	for field, call := range cases {
		t.Run(field, func(t *testing.T) {
			err := call()
			if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), field) {
				t.Errorf("error %v, want invalid argument that names %s", err, field)
			}
		})
	}
}

func TestAnOversizedRequestIsRefused(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	request := settlement(w.open(), 1, 1)
	for range 1 << 15 {
		request.Records = append(request.Records, request.GetRecords()[0])
	}
	if _, err := w.proxy.Append(t.Context(), request); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("error %v, want resource exhausted", err)
	}
}

func TestTheBudgetsOfAnUpstreamAndTheReserveOfABudgetGoOverTheWire(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	day := func(ref *ledgerpb.BudgetRef, except string) *ledgerpb.Budget {
		return &ledgerpb.Budget{
			Ref: ref, Limit: 1000, Period: ledgerpb.Period_PERIOD_DAY, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
			ExceptUpstream: except,
		}
	}
	own, reserve := day(&ledgerpb.BudgetRef{Name: "daily"}, "spare"), day(&ledgerpb.BudgetRef{Name: "daily", Upstream: "spare"}, "")
	w.PutRoute(&ledgerpb.PutRouteRequest{Route: chat, Consumers: []string{"alice"}, Budgets: []*ledgerpb.Budget{own, reserve}})
	session := w.open()
	response, err := w.proxy.Draw(w.as(ledgertest.Key), &ledgerpb.DrawRequest{Session: session, Sequence: 1, Demands: []*ledgerpb.Demand{
		{Route: chat, Consumer: "alice", Upstream: "spare", AmountNanoUsd: 600},
		{Route: chat, Consumer: "alice", Upstream: "spare", AmountNanoUsd: 1001},
	}})
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]int64{}
	for _, lease := range response.GetAnswers()[0].GetLeases() {
		granted[lease.GetBudget().GetUpstream()+"/"+lease.GetExceptUpstream()] = lease.GetGranted()
	}
	if diff := cmp.Diff(map[string]int64{"/spare": 0, "spare/": 600}, granted); diff != "" {
		t.Errorf("granted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(reserve.GetRef(), response.GetAnswers()[1].GetDenial().GetBudget(), protocmp.Transform()); diff != "" {
		t.Errorf("the budget to blame (-want +got):\n%s", diff)
	}
	_, err = w.proxy.Heartbeat(t.Context(), &ledgerpb.HeartbeatRequest{Session: session, InFlight: []*ledgerpb.InFlight{
		{Route: chat, Consumer: "alice", Upstream: "spare", AmountNanoUsd: 300},
	}})
	if err != nil {
		t.Fatal(err)
	}
	usage := w.Usage("ai", "chat")
	want := map[string]int64{"": 0, "spare": 300}
	got := map[string]int64{"": usage.GetBudgets()[0].GetSpend().GetHeldNanoUsd()}
	for _, one := range usage.GetUpstreams() {
		got[one.GetName()] = one.GetBudgets()[0].GetSpend().GetHeldNanoUsd()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(own, usage.GetBudgets()[0].GetBudget(), protocmp.Transform()); diff != "" {
		t.Errorf("the route's budget (-want +got):\n%s", diff)
	}
}
