package ledger_test

import (
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// spendAt books attempts of alice's that were held at these times, a nano-USD each.
func (w *world) spendAt(times ...time.Time) {
	w.t.Helper()
	request := &ledgerpb.AppendRequest{Session: w.open(), First: 1}
	for _, at := range times {
		request.Records = append(request.Records, &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
			Route: chat, Consumer: "alice", OpenedAt: timestamppb.New(at), AmountNanoUsd: 1, Requests: 1,
			Model: "mixtral", Upstream: "vllm",
			Certainty: ledgerpb.Settlement_CERTAINTY_EXACT, Source: ledgerpb.Settlement_SOURCE_PRICED,
			Used: &ledgerpb.TokenUsage{Prompt: 5, Cached: 2, CacheWrite: 1, Completion: 3},
		}}})
	}
	if _, err := w.proxy.Append(w.t.Context(), request); err != nil {
		w.t.Fatalf("Append: %v", err)
	}
}

// historyOf asks until there is no more, and counts the answers.
func (w *world) historyOf(request *ledgerpb.ListHistoryRequest) (entries []*ledgerpb.HistoryEntry, answers int) {
	w.t.Helper()
	for request.Route = chat; ; {
		answer, err := w.manager.ListHistory(w.as(ledgertest.Key), request)
		if err != nil {
			w.t.Fatalf("ListHistory: %v", err)
		}
		entries = append(entries, answer.GetEntries()...)
		answers++
		if request.From = answer.GetNext(); request.GetFrom() == nil {
			return entries, answers
		}
	}
}

func TestTheHistoryIsSummedUpByTheStepsThatAreAskedFor(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// The day on which the clock is changed has 25 hours.
	day := time.Date(2026, time.October, 25, 0, 0, 0, 0, berlin)
	w.spendAt(day, day.Add(14*time.Minute), day.Add(24*time.Hour+50*time.Minute), day.Add(25*time.Hour), day.AddDate(-2, 0, 0))
	entry := func(start time.Time, consumer string, requests int64) *ledgerpb.HistoryEntry {
		return &ledgerpb.HistoryEntry{
			Start: timestamppb.New(start), Consumer: consumer, Model: "mixtral", Upstream: "vllm", Requests: requests,
			Tokens:        &ledgerpb.TokenUsage{Prompt: 5 * requests, Cached: 2 * requests, CacheWrite: requests, Completion: 3 * requests},
			PricedNanoUsd: requests,
		}
	}
	long := day.AddDate(-2, 0, 0)
	for name, test := range map[string]struct {
		request *ledgerpb.ListHistoryRequest
		want    []*ledgerpb.HistoryEntry
	}{
		"quarters of an hour": {&ledgerpb.ListHistoryRequest{}, []*ledgerpb.HistoryEntry{
			entry(long, "", 1), entry(day, "", 2), entry(day.Add(24*time.Hour+45*time.Minute), "", 1), entry(day.Add(25*time.Hour), "", 1),
		}},
		"days in a zone, of each consumer": {
			&ledgerpb.ListHistoryRequest{Step: ledgerpb.Period_PERIOD_DAY, TimeZone: "Europe/Berlin", By: ledgerpb.ListHistoryRequest_BY_CONSUMER},
			[]*ledgerpb.HistoryEntry{entry(long, "alice", 1), entry(day, "alice", 3), entry(day.Add(25*time.Hour), "alice", 1)},
		},
		"months, of a time": {
			&ledgerpb.ListHistoryRequest{
				Step: ledgerpb.Period_PERIOD_MONTH, TimeZone: "Europe/Berlin", From: timestamppb.New(day),
				To: timestamppb.New(day.Add(25 * time.Hour)),
			},
			[]*ledgerpb.HistoryEntry{entry(time.Date(2026, time.October, 1, 0, 0, 0, 0, berlin), "", 3)},
		},
		"everything": {
			&ledgerpb.ListHistoryRequest{Step: ledgerpb.Period_PERIOD_TOTAL}, []*ledgerpb.HistoryEntry{entry(time.Unix(0, 0), "", 5)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, answers := w.historyOf(test.request)
			if diff := cmp.Diff(test.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if answers > 4 {
				t.Errorf("it took %d answers", answers)
			}
		})
	}
}

func TestAQuestionAboutTheHistoryThatMakesNoSenseIsRefused(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	for name, test := range map[string]struct {
		request *ledgerpb.ListHistoryRequest
		code    connect.Code
	}{
		"no route":      {&ledgerpb.ListHistoryRequest{}, connect.CodeInvalidArgument},
		"another route": {&ledgerpb.ListHistoryRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "other"}}, connect.CodeFailedPrecondition},
		"an odd minute": {&ledgerpb.ListHistoryRequest{Route: chat, From: &timestamppb.Timestamp{Seconds: 60}}, connect.CodeInvalidArgument},
		"before 1970":   {&ledgerpb.ListHistoryRequest{Route: chat, From: &timestamppb.Timestamp{Seconds: -900}}, connect.CodeInvalidArgument},
		"by nothing":    {&ledgerpb.ListHistoryRequest{Route: chat, By: 9}, connect.CodeInvalidArgument},
		"seconds":       {&ledgerpb.ListHistoryRequest{Route: chat, Step: ledgerpb.Period_PERIOD_SECONDS}, connect.CodeInvalidArgument},
		"no such zone": {
			&ledgerpb.ListHistoryRequest{Route: chat, Step: ledgerpb.Period_PERIOD_DAY, TimeZone: "Mars/Phobos"}, connect.CodeInvalidArgument,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.manager.ListHistory(w.as(ledgertest.Key), test.request); connect.CodeOf(err) != test.code {
				t.Errorf("error %v, want %s", err, test.code)
			}
		})
	}
}

func TestWhatARouteEverSpentIsToldByUpstream(t *testing.T) {
	w := newWorld(t, ledgertest.Options{})
	w.putChat()
	settlement := func(upstream string, nano int64, certainty ledgerpb.Settlement_Certainty) *ledgerpb.Record {
		return &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
			Route: chat, Consumer: "alice", OpenedAt: timestamppb.New(noon), AmountNanoUsd: nano, Upstream: upstream, Certainty: certainty,
		}}}
	}
	request := &ledgerpb.AppendRequest{Session: w.open(), First: 1, Records: []*ledgerpb.Record{
		settlement("vllm", 5, ledgerpb.Settlement_CERTAINTY_EXACT),
		settlement("openrouter", 3, ledgerpb.Settlement_CERTAINTY_EXACT),
		settlement("openrouter", 2, ledgerpb.Settlement_CERTAINTY_UNCERTAIN),
	}}
	if _, err := w.proxy.Append(t.Context(), request); err != nil {
		t.Fatalf("Append: %v", err)
	}
	got, err := w.manager.ListUpstreamSpend(w.as(ledgertest.Key), &ledgerpb.ListUpstreamSpendRequest{Route: chat})
	if err != nil {
		t.Fatalf("ListUpstreamSpend: %v", err)
	}
	want := &ledgerpb.ListUpstreamSpendResponse{Upstreams: []*ledgerpb.UpstreamSpend{
		{Name: "openrouter", SettledNanoUsd: 3, UncertainNanoUsd: 2}, {Name: "vllm", SettledNanoUsd: 5},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("the spend by upstream (-want +got):\n%s", diff)
	}
	for reason, refused := range map[string]struct {
		token string
		route *ledgerpb.RouteRef
		code  connect.Code
	}{
		"no route":      {ledgertest.Key, nil, connect.CodeInvalidArgument},
		"another route": {ledgertest.Key, &ledgerpb.RouteRef{Namespace: "ai", Name: "other"}, connect.CodeFailedPrecondition},
		"no token":      {"", chat, connect.CodeUnauthenticated},
	} {
		_, err := w.manager.ListUpstreamSpend(w.as(refused.token), &ledgerpb.ListUpstreamSpendRequest{Route: refused.route})
		if connect.CodeOf(err) != refused.code {
			t.Errorf("%s: error %v, want %s", reason, err, refused.code)
		}
	}
}
