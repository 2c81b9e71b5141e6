package history

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
)

// tagPrefix is how FOCUS wants tags to begin that are not the user's own.
const tagPrefix = "modelroute.dev/"

// charge is an entry as a row of FOCUS.
type charge struct {
	Entry
	// period is the day of the entry, and billing the month that it is in.
	period, billing budget.Window
	tags            string
}

// focusColumns are those of FOCUS 1.2, the FinOps Open Cost and Usage Specification (https://focus.finops.org/focus-specification/v1-2/):
// all that are mandatory, those of the others that can be told, and after them our own, which it wants to begin with x_. What is not known
// is null, which is an empty cell.
var focusColumns = []struct {
	name string
	of   func(charge) string
}{
	// Of the price lists and contracts of upstreams nothing is known, so that all costs are what was spent.
	{"BilledCost", charge.cost},
	{"BillingAccountId", charge.upstream},
	{"BillingAccountName", null},
	{"BillingCurrency", always("USD")},
	{"BillingPeriodEnd", func(c charge) string { return instant(c.billing.End) }},
	{"BillingPeriodStart", func(c charge) string { return instant(c.billing.Start) }},
	{"ChargeCategory", always("Usage")},
	{"ChargeClass", null},
	{"ChargeDescription", charge.description},
	{"ChargeFrequency", always("Usage-Based")},
	{"ChargePeriodEnd", func(c charge) string { return instant(c.period.End) }},
	{"ChargePeriodStart", func(c charge) string { return instant(c.period.Start) }},
	{"ConsumedQuantity", charge.tokens},
	{"ConsumedUnit", always("Tokens")},
	{"ContractedCost", charge.cost},
	{"EffectiveCost", charge.cost},
	{"InvoiceIssuerName", charge.upstream},
	{"ListCost", charge.cost},
	{"PricingQuantity", charge.tokens},
	{"PricingUnit", always("Tokens")},
	{"ProviderName", charge.upstream},
	{"PublisherName", charge.upstream},
	{"ResourceId", func(c charge) string { return c.Namespace + "/" + c.Route }},
	{"ResourceName", func(c charge) string { return c.Route }},
	{"ResourceType", always("ModelRoute")},
	{"ServiceCategory", always("AI and Machine Learning")},
	{"ServiceName", func(c charge) string { return c.Model }},
	{"ServiceSubcategory", always("Generative AI")},
	{"SubAccountId", func(c charge) string { return c.Namespace }},
	{"SubAccountName", func(c charge) string { return c.Namespace }},
	{"Tags", func(c charge) string { return c.tags }},
	{"x_CachedTokens", func(c charge) string { return count(c.CachedTokens) }},
	{"x_CacheWriteTokens", func(c charge) string { return count(c.CacheWriteTokens) }},
	{"x_CompletionTokens", func(c charge) string { return count(c.CompletionTokens) }},
	{"x_PromptTokens", func(c charge) string { return count(c.PromptTokens) }},
	{"x_ReasoningTokens", func(c charge) string { return count(c.ReasoningTokens) }},
	{"x_Requests", func(c charge) string { return count(c.Requests) }},
	{"x_UncertainCost", func(c charge) string { return c.Uncertain.String() }},
}

func null(charge) string { return "" }

func always(text string) func(charge) string { return func(charge) string { return text } }

// instant is a time as FOCUS has it: in UTC, whatever the time zone of the days.
func instant(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// cost is in USD, and has in it what is uncertain.
func (c charge) cost() string { return c.Spent.String() }

// upstream is all that is known of who made the offer, who bills it and to which account: the name that the route has for it.
func (c charge) upstream() string { return c.Upstream }

func (c charge) tokens() string { return count(c.PromptTokens + c.CompletionTokens) }

func (c charge) description() string {
	return fmt.Sprintf("%s at %s, asked by the consumer %s of the route %s/%s", c.Model, c.Upstream, c.Consumer, c.Namespace, c.Route)
}

// NewFOCUS writes a row of FOCUS 1.2, as CSV, for each entry. The entries are those of consumers by the day in the time zone, an IANA name.
func NewFOCUS(out io.Writer, timeZone string) (Writer, error) {
	days, err := budget.NewCalendar(budget.Day, timeZone)
	if err != nil {
		return nil, err
	}
	months, err := budget.NewCalendar(budget.Month, timeZone)
	if err != nil {
		return nil, err
	}
	header := make([]string, 0, len(focusColumns))
	for _, column := range focusColumns {
		header = append(header, column.name)
	}
	return newRecords(out, header, func(entry Entry) ([]string, error) {
		tags, err := tagsOf(entry)
		if err != nil {
			return nil, err
		}
		of := charge{Entry: entry, period: days.WindowAt(entry.Start), billing: months.WindowAt(entry.Start), tags: tags}
		cells := make([]string, 0, len(focusColumns))
		for _, column := range focusColumns {
			cells = append(cells, column.of(of))
		}
		return cells, nil
	}), nil
}

// tagsOf are a JSON object: what a charge is to be attributed to.
func tagsOf(entry Entry) (string, error) {
	tags := map[string]string{tagPrefix + "route": entry.Route}
	if entry.Consumer != "" {
		tags[tagPrefix+"consumer"] = entry.Consumer
	}
	if entry.Team != "" {
		tags[tagPrefix+"team"] = entry.Team
	}
	text, err := json.Marshal(tags)
	return string(text), err
}
