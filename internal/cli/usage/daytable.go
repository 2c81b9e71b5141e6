package usage

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/cli/table"
	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/money"
)

// dayTable is a history.Writer for people: a line for each day, route, consumer, model and upstream, in this order.
type dayTable struct {
	shell   *shell.Shell
	nothing string
	entries []history.Entry
}

func (t *dayTable) Write(entry history.Entry) error {
	t.entries = append(t.entries, entry)
	return nil
}

// End writes the table. The ledger tells route by route, and people look for days.
func (t *dayTable) End() error {
	if len(t.entries) == 0 {
		_, err := fmt.Fprintln(t.shell.Out, t.nothing)
		return err
	}
	slices.SortStableFunc(t.entries, func(a, b history.Entry) int { return a.Start.Compare(b.Start) })
	return table.Table{Columns: t.columns(), Rows: t.rows()}.Write(t.shell.Out)
}

func (t *dayTable) columns() []table.Column {
	columns := []table.Column{
		{Title: "DAY"}, {Title: "ROUTE"}, {Title: "CONSUMER"}, {Title: "TEAM", Optional: true}, {Title: "MODEL"}, {Title: "UPSTREAM"},
		{Title: "REQUESTS", Amount: true}, {Title: "PROMPT", Amount: true}, {Title: "COMPLETION", Amount: true},
		{Title: "SPENT", Amount: true}, {Title: "UNCERTAIN", Amount: true, Optional: true},
	}
	if t.shell.Watched {
		columns = append(columns, table.Column{Title: "BAR"})
	}
	return columns
}

// rows names a day once. Bars compare what was spent with the line on which it was most.
func (t *dayTable) rows() [][]string {
	most := slices.MaxFunc(t.entries, func(a, b history.Entry) int { return a.Spent.Cmp(b.Spent) }).Spent
	rows := make([][]string, 0, len(t.entries))
	last := ""
	for _, one := range t.entries {
		day := one.Start.Format(time.DateOnly)
		row := []string{
			day, one.Namespace + "/" + one.Route, one.Consumer, orNothing(one.Team), one.Model, orNothing(one.Upstream),
			count(one.Requests), count(one.PromptTokens), count(one.CompletionTokens),
			table.Places(one.Spent.String()), table.Places(one.Uncertain.String()),
		}
		if day == last {
			row[0] = ""
		}
		if t.shell.Watched {
			row = append(row, shareBar(one.Spent, most))
		}
		last, rows = day, append(rows, row)
	}
	return rows
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// shareBar is the bar of an amount among others, of which one is the most. What is not nothing shows.
func shareBar(amount, most money.Amount) string {
	if amount.IsZero() || amount.IsNegative() {
		return bar(0)
	}
	return bar(max(1, amount.PercentOf(most)))
}
