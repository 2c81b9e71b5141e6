package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/modelroute/modelroute/internal/local"
	"github.com/modelroute/modelroute/internal/money"
)

// usage shows what was spent.
func (c *command) usage(ctx context.Context) error {
	var format string
	c.flags.StringVar(&c.dataDir, "data-dir", defaultDataDir, "")
	c.flags.StringVar(&format, "o", "table", "")
	if err := c.parse(0); err != nil {
		return err
	}
	write := map[string]func(io.Writer, local.Usage) error{"table": writeTable, "json": writeJSON}[format]
	switch {
	case write == nil:
		return usageError{fmt.Errorf("-o is %q, must be table or json", format)}
	case c.dataDir == "":
		return usageError{errors.New("--data-dir must not be empty")}
	}
	found, err := local.ReadUsage(ctx, c.dataDir, c.clock)
	if err != nil {
		return err
	}
	if found.Unreported {
		fmt.Fprintln(c.diagnostics, "Note: the last run was killed. What it had not reported yet is counted when the next run begins.")
	}
	return write(c.out, found)
}

func writeJSON(out io.Writer, found local.Usage) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(found)
}

// column is a column of the table. Amounts stand with their ends below each other, words with their beginnings.
type column struct {
	title  string
	amount bool
	// optional columns are left out where all cells are zero.
	optional bool
}

var columns = []column{
	{title: "ROUTE"}, {title: "CONSUMER"}, {title: "BUDGET"},
	{title: "SPENT", amount: true}, {title: "UNCERTAIN", amount: true, optional: true}, {title: "HELD", amount: true},
	{title: "REMAINING", amount: true}, {title: "LIMIT", amount: true}, {title: "USED", amount: true},
	{title: "STATE"}, {title: "RESETS"},
}

const (
	nothing   = "-"
	everybody = "(all)"
)

// writeTable writes a line for each budget, and one for each route and consumer that has none.
func writeTable(out io.Writer, found local.Usage) error {
	if len(found.Routes) == 0 {
		_, err := fmt.Fprintln(out, "Nothing was served here yet.")
		return err
	}
	var rows [][]string
	for _, route := range found.Routes {
		lines := linesOf(everybody, route.Spent, route.Budgets)
		for _, upstream := range route.Upstreams {
			lines = append(lines, linesOf(fmt.Sprintf("(at %s)", upstream.Name), money.Amount{}, upstream.Budgets)...)
		}
		for _, consumer := range route.Consumers {
			lines = append(lines, linesOf(consumer.Name, consumer.Spent, consumer.Budgets)...)
		}
		for i, line := range lines {
			name := ""
			if i == 0 {
				name = route.Namespace + "/" + route.Name
			}
			rows = append(rows, append([]string{name}, line...))
		}
	}
	for _, team := range found.Teams {
		rows = append(rows, sharedRows("(all routes)", "team "+team.Name, team)...)
	}
	for _, key := range found.ModelKeys {
		rows = append(rows, sharedRows("(all routes)", key.Name, key)...)
	}
	return writeRows(out, rows)
}

func sharedRows(where, who string, shared local.SharedUsage) [][]string {
	lines := linesOf(who, shared.Spent, shared.Budgets)
	rows := make([][]string, 0, len(lines))
	for i, line := range lines {
		if i > 0 {
			where = ""
		}
		rows = append(rows, append([]string{where}, line...))
	}
	return rows
}

func linesOf(who string, spent money.Amount, budgets []local.BudgetUsage) [][]string {
	if len(budgets) == 0 {
		return [][]string{{who, nothing, places(spent), nothing, nothing, nothing, nothing, nothing, nothing, nothing}}
	}
	lines := make([][]string, 0, len(budgets))
	for i, budget := range budgets {
		owner := who
		if i > 0 {
			owner = ""
		}
		lines = append(lines, []string{
			owner, budget.Name, places(budget.Spent), places(budget.Uncertain), places(budget.Held), places(budget.Remaining),
			budget.Limit.String(), fmt.Sprintf("%d%%", budget.Spent.PercentOf(budget.Limit)), string(budget.State),
			resets(budget.ResetTime, budget.TimeZone),
		})
	}
	return lines
}

// places writes an amount with six decimals, so that points stand below each other, and with all nine where it has them.
func places(amount money.Amount) string {
	text := amount.String()
	point := strings.IndexByte(text, '.')
	for len(text)-point-1 < 6 {
		text += "0"
	}
	return text
}

// resets is when a window ends, by the clock of the budget's time zone.
func resets(at *time.Time, zone string) string {
	if at == nil {
		return "never"
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		location = time.UTC
	}
	return at.In(location).Format("2006-01-02 15:04 MST")
}

func writeRows(out io.Writer, rows [][]string) error {
	const gap = "   "
	var table strings.Builder
	header := make([]string, 0, len(columns))
	for _, column := range columns {
		header = append(header, column.title)
	}
	all := append([][]string{header}, rows...)
	for _, row := range all {
		var line strings.Builder
		for i, column := range columns {
			if column.optional && allZero(rows, i) {
				continue
			}
			padding := strings.Repeat(" ", width(all, i)-utf8.RuneCountInString(row[i]))
			if column.amount {
				line.WriteString(padding + row[i] + gap)
			} else {
				line.WriteString(row[i] + padding + gap)
			}
		}
		table.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(out, table.String())
	return err
}

func width(rows [][]string, column int) int {
	widest := slices.MaxFunc(rows, func(a, b []string) int {
		return utf8.RuneCountInString(a[column]) - utf8.RuneCountInString(b[column])
	})
	return utf8.RuneCountInString(widest[column])
}

func allZero(rows [][]string, column int) bool {
	return !slices.ContainsFunc(rows, func(row []string) bool { return strings.Trim(row[column], "0.-") != "" })
}
