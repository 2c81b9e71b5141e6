package history_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// day is a day in Berlin, of which UTC is an hour behind.
var day = time.Date(2026, time.November, 1, 0, 0, 0, 0, berlin())

func berlin() *time.Location {
	location, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return location
}

func entry(consumer string, nano int64) history.Entry {
	return history.Entry{
		Start: day, Namespace: "ai", Route: "chat", Consumer: consumer, Team: "research", Model: "mixtral", Upstream: "openrouter",
		Requests: 2, PromptTokens: 100, CachedTokens: 60, CacheWriteTokens: 30, CompletionTokens: 50, ReasoningTokens: 20,
		Spent: money.FromNano(nano), Priced: money.FromNano(nano - 1), Uncertain: money.FromNano(1),
	}
}

func written(t *testing.T, with func(*strings.Builder) (history.Writer, error), entries ...history.Entry) string {
	t.Helper()
	var out strings.Builder
	writer, err := with(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range entries {
		if err := writer.Write(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.End(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func focus(out *strings.Builder) (history.Writer, error) {
	return history.NewFOCUS(out, "Europe/Berlin")
}

// rows reads CSV by the names of its columns.
func rows(t *testing.T, text string) []map[string]string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		found = append(found, row)
	}
	return found
}

func TestARowOfFOCUSHasWhatTheSpecificationWants(t *testing.T) {
	got := rows(t, written(t, focus, entry("alice", 250_000_001)))
	want := []map[string]string{{
		"BilledCost": "0.250000001", "EffectiveCost": "0.250000001", "ListCost": "0.250000001", "ContractedCost": "0.250000001",
		"BillingAccountId": "openrouter", "BillingAccountName": "", "BillingCurrency": "USD",
		// The month and the day are Berlin's, and told in UTC.
		"BillingPeriodStart": "2026-10-31T23:00:00Z", "BillingPeriodEnd": "2026-11-30T23:00:00Z",
		"ChargePeriodStart": "2026-10-31T23:00:00Z", "ChargePeriodEnd": "2026-11-01T23:00:00Z",
		"ChargeCategory": "Usage", "ChargeClass": "", "ChargeFrequency": "Usage-Based",
		"ChargeDescription": "mixtral at openrouter, asked by the consumer alice of the route ai/chat",
		"ConsumedQuantity":  "150", "ConsumedUnit": "Tokens", "PricingQuantity": "150", "PricingUnit": "Tokens",
		"InvoiceIssuerName": "openrouter", "ProviderName": "openrouter", "PublisherName": "openrouter",
		"ResourceId": "ai/chat", "ResourceName": "chat", "ResourceType": "ModelRoute",
		"ServiceCategory": "AI and Machine Learning", "ServiceSubcategory": "Generative AI", "ServiceName": "mixtral",
		"SubAccountId": "ai", "SubAccountName": "ai",
		"Tags":           `{"modelroute.dev/consumer":"alice","modelroute.dev/route":"chat","modelroute.dev/team":"research"}`,
		"x_PromptTokens": "100", "x_CachedTokens": "60", "x_CacheWriteTokens": "30", "x_CompletionTokens": "50", "x_ReasoningTokens": "20",
		"x_Requests": "2", "x_UncertainCost": "0.000000001",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTagsAreAJSONObjectWhateverNamesHave(t *testing.T) {
	odd := entry(`say "hi", <you>`, 5)
	odd.Team = ""
	var tags map[string]string
	if err := json.Unmarshal([]byte(rows(t, written(t, focus, odd))[0]["Tags"]), &tags); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"modelroute.dev/consumer": `say "hi", <you>`, "modelroute.dev/route": "chat"}, tags); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheCostsOfFOCUSAddUpToWhatWasSpent(t *testing.T) {
	entries := []history.Entry{entry("alice", 1), entry("bob", 999_999_999), entry("carol", 12_345_678_901), entry("dave", -7)}
	var spent, billed money.Amount
	for _, one := range entries {
		spent = spent.Add(one.Spent)
	}
	for _, row := range rows(t, written(t, focus, entries...)) {
		billed = billed.Add(amount(t, row["BilledCost"]))
	}
	if !billed.Equal(spent) {
		t.Errorf("BilledCost comes to %s, want %s", billed, spent)
	}
}

// amount reads an amount, which may be negative: upstreams give money back.
func amount(t *testing.T, text string) money.Amount {
	t.Helper()
	digits, isNegative := strings.CutPrefix(text, "-")
	found, err := money.ParseUSD(digits)
	if err != nil {
		t.Fatal(err)
	}
	if isNegative {
		return money.Amount{}.Sub(found)
	}
	return found
}

func TestFOCUSNeedsATimeZone(t *testing.T) {
	if _, err := history.NewFOCUS(&strings.Builder{}, "Europe/Gotham"); err == nil || !strings.Contains(err.Error(), "Europe/Gotham") {
		t.Errorf("error %v", err)
	}
}

func TestWithoutEntriesThereAreHeadersAndAnEmptyList(t *testing.T) {
	for name, test := range map[string]struct {
		with func(*strings.Builder) (history.Writer, error)
		want string
	}{
		"JSON": {func(out *strings.Builder) (history.Writer, error) { return history.NewJSON(out), nil }, "{\n  \"entries\": []\n}\n"},
		"CSV": {
			func(out *strings.Builder) (history.Writer, error) { return history.NewCSV(out), nil },
			strings.Join(history.Header, ",") + "\n",
		},
	} {
		if got := written(t, test.with); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// twoParts is a ledger that tells the history of each route in two parts.
type twoParts struct{}

func (twoParts) ListUsage(context.Context, *ledgerpb.ListUsageRequest) (*ledgerpb.ListUsageResponse, error) {
	return &ledgerpb.ListUsageResponse{Routes: []*ledgerpb.RouteUsage{
		{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}}, {Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "code"}},
	}}, nil
}

func (twoParts) ListHistory(_ context.Context, request *ledgerpb.ListHistoryRequest) (*ledgerpb.ListHistoryResponse, error) {
	if request.GetRoute().GetName() == "gone" {
		return nil, errors.New("there is no such route")
	}
	answer := &ledgerpb.ListHistoryResponse{Entries: []*ledgerpb.HistoryEntry{{
		Start: request.GetFrom(), ReportedNanoUsd: 1, PricedNanoUsd: 2, EstimatedNanoUsd: 3, UncertainNanoUsd: 4,
	}}}
	if request.GetFrom().AsTime().Equal(day) {
		answer.Next = timestamppb.New(day.AddDate(0, 0, 1))
	}
	return answer, nil
}

func TestEveryRouteIsReadToItsEndFromTheSameBeginning(t *testing.T) {
	of := twoParts{}
	routes, err := history.Routes(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	asked := &ledgerpb.ListHistoryRequest{From: timestamppb.New(day)}
	err = history.Read(t.Context(), of, asked, routes, day.Location(), func(one history.Entry) error {
		got = append(got, one.Route+" "+one.Start.Format(time.RFC3339)+" "+one.Spent.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"chat 2026-11-01T00:00:00+01:00 0.00000001", "chat 2026-11-02T00:00:00+01:00 0.00000001",
		"code 2026-11-01T00:00:00+01:00 0.00000001", "code 2026-11-02T00:00:00+01:00 0.00000001",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnErrorSaysWhichRouteItIsOf(t *testing.T) {
	gone := []*ledgerpb.RouteRef{{Namespace: "ai", Name: "gone"}}
	err := history.Read(t.Context(), twoParts{}, &ledgerpb.ListHistoryRequest{}, gone, time.UTC, func(history.Entry) error { return nil })
	if err == nil || err.Error() != "reading the history of ai/gone: there is no such route" {
		t.Errorf("error %v", err)
	}
	full := errors.New("the disk is full")
	routes := []*ledgerpb.RouteRef{{Namespace: "ai", Name: "chat"}}
	err = history.Read(t.Context(), twoParts{}, &ledgerpb.ListHistoryRequest{}, routes, time.UTC, func(history.Entry) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("error %v, want that of the writing", err)
	}
}
