package ledger_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

const search = "team/search"

// daily is a budget of a shared owner.
func daily(limit int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref: &ledgerpb.BudgetRef{Owner: search, Name: "daily"}, Limit: limit,
		Period: ledgerpb.Period_PERIOD_DAY, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

func TestTheBudgetsOfASharedOwnerGoOverTheWire(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.PutShared(&ledgerpb.PutSharedRequest{Owner: search, Budgets: []*ledgerpb.Budget{daily(1000)}})
	w.PutRoute(&ledgerpb.PutRouteRequest{
		Route: chat, Consumers: []string{"alice"}, Members: []*ledgerpb.Member{{Consumer: "alice", Owner: search}},
	})
	session := w.open()
	response, err := w.proxy.Draw(w.as(ledgertest.Key), &ledgerpb.DrawRequest{Session: session, Sequence: 1, Demands: []*ledgerpb.Demand{
		{Route: chat, Consumer: "alice", AmountNanoUsd: 600}, {Route: chat, Consumer: "alice", AmountNanoUsd: 1001},
	}})
	if err != nil {
		t.Fatal(err)
	}
	granted, denied := response.GetAnswers()[0], response.GetAnswers()[1]
	if granted.GetTeam() != "search" || len(granted.GetLeases()) != 1 || granted.GetLeases()[0].GetGranted() != 600 {
		t.Errorf("the first answer is %v", granted)
	}
	for _, ref := range []*ledgerpb.BudgetRef{granted.GetLeases()[0].GetBudget(), denied.GetDenial().GetBudget()} {
		if diff := cmp.Diff(daily(0).GetRef(), ref, protocmp.Transform()); diff != "" {
			t.Errorf("the budget (-want +got):\n%s", diff)
		}
	}
	listed, err := w.manager.ListProxies(w.as(ledgertest.Key), &ledgerpb.ListProxiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	out := []*ledgerpb.Outstanding{{Budget: daily(0).GetRef(), AmountNanoUsd: 600}}
	if diff := cmp.Diff(out, listed.GetProxies()[0].GetOut(), protocmp.Transform()); diff != "" {
		t.Errorf("what is out (-want +got):\n%s", diff)
	}
	_, err = w.proxy.Append(t.Context(), &ledgerpb.AppendRequest{Session: session, First: 1, Records: []*ledgerpb.Record{{
		Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
			Route: chat, Consumer: "alice", AmountNanoUsd: 500, Certainty: ledgerpb.Settlement_CERTAINTY_EXACT, Team: "search",
			Charges: []*ledgerpb.Charge{{Lease: granted.GetLeases()[0].GetId(), Amount: 600}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	spent := &ledgerpb.Spend{SettledNanoUsd: 500}
	got := w.Shared(search)
	want := &ledgerpb.SharedUsage{
		Owner: search, Spend: spent, Routes: []*ledgerpb.RouteSpend{{Route: chat, Spend: spent}},
		Budgets: []*ledgerpb.BudgetUsage{{
			Budget: daily(1000), Spend: spent,
			WindowStart: got.GetBudgets()[0].GetWindowStart(), WindowEnd: got.GetBudgets()[0].GetWindowEnd(),
		}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestARouteIsNotPutBeforeTheOwnersThatItNames(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	_, err := w.manager.PutRoute(w.as(ledgertest.Key), &ledgerpb.PutRouteRequest{
		Route: chat, Consumers: []string{"alice"}, Members: []*ledgerpb.Member{{Consumer: "alice", Owner: search}},
	})
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), search) {
		t.Errorf("error %v, want a failed precondition that names the team", err)
	}
	if w.Usage("ai", "chat") != nil {
		t.Error("the route is there")
	}
}

func TestWrongFieldsOfSharedOwnersAreNamed(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	share := func(change func(*ledgerpb.PutSharedRequest, *ledgerpb.Budget)) func() error {
		return func() error {
			one := daily(1)
			request := &ledgerpb.PutSharedRequest{Owner: search, Budgets: []*ledgerpb.Budget{one}}
			change(request, one)
			_, err := w.manager.PutShared(w.as(ledgertest.Key), request)
			return err
		}
	}
	join := func(members ...*ledgerpb.Member) func() error {
		return func() error {
			_, err := w.manager.PutRoute(w.as(ledgertest.Key), &ledgerpb.PutRouteRequest{
				Route: chat, Consumers: []string{"alice"}, Members: members,
			})
			return err
		}
	}
	alice := &ledgerpb.Member{Consumer: "alice", Owner: search}
	for field, call := range map[string]func() error{
		`owner: is "search", must be`:    share(func(r *ledgerpb.PutSharedRequest, _ *ledgerpb.Budget) { r.Owner = "search" }),
		"owner: is longer":               share(func(r *ledgerpb.PutSharedRequest, _ *ledgerpb.Budget) { r.Owner += strings.Repeat("x", 1000) }),
		"budgets[0].ref.owner: is team/": share(func(_ *ledgerpb.PutSharedRequest, b *ledgerpb.Budget) { b.Ref.Owner = "team/ads" }),
		"budgets[0].ref.consumer: bob":   share(func(_ *ledgerpb.PutSharedRequest, b *ledgerpb.Budget) { b.Ref.Consumer = "bob" }),
		"budgets[0]: a shared budget":    share(func(_ *ledgerpb.PutSharedRequest, b *ledgerpb.Budget) { b.Ref.Upstream = "main" }),
		"budgets[1].ref.name: daily is":  share(func(r *ledgerpb.PutSharedRequest, b *ledgerpb.Budget) { r.Budgets = append(r.Budgets, b) }),
		"members[0].owner: is \"\"":      join(&ledgerpb.Member{Consumer: "alice"}),
		`members[0].consumer: "bob" is`:  join(&ledgerpb.Member{Consumer: "bob", Owner: search}),
		`members[0].consumer: "" is`:     join(&ledgerpb.Member{Owner: search}),
		"members[1]: alice draws on":     join(alice, alice),
		"alice draws on the teams":       join(alice, &ledgerpb.Member{Consumer: "alice", Owner: "team/ads"}),
		"budgets[0].ref.owner: a shared": func() error {
			_, err := w.manager.PutRoute(w.as(ledgertest.Key), &ledgerpb.PutRouteRequest{Route: chat, Budgets: []*ledgerpb.Budget{daily(1)}})
			return err
		},
	} {
		t.Run(field, func(t *testing.T) {
			err := call()
			if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), field) {
				t.Errorf("error %v, want invalid argument that names %s", err, field)
			}
		})
	}
}
