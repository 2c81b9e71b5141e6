package usage

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/cli/table"
)

// owners are the titles of the columns that say whose spend it is.
var owners = map[string][]string{
	byRoute: {"ROUTE"}, byConsumer: {"ROUTE", "CONSUMER"}, byTeam: {"TEAM"}, byKey: {"MODELKEY"},
}

// writeAccounts writes a line for each budget, and one for each account that has none.
func writeAccounts(s *shell.Shell, by string, accounts []account) error {
	var columns []table.Column
	for _, title := range owners[by] {
		columns = append(columns, table.Column{Title: title})
	}
	columns = append(columns,
		table.Column{Title: "TOTAL", Amount: true}, table.Column{Title: "BUDGET"}, table.Column{Title: "SPENT", Amount: true},
		table.Column{Title: "UNCERTAIN", Amount: true, Optional: true}, table.Column{Title: "HELD", Amount: true},
		table.Column{Title: "REMAINING", Amount: true}, table.Column{Title: "LIMIT", Amount: true},
		table.Column{Title: "USED", Amount: true})
	if s.Watched {
		columns = append(columns, table.Column{Title: "BAR"})
	}
	columns = append(columns, table.Column{Title: "STATE"}, table.Column{Title: "RESETS"})
	rows := make([][]string, 0, len(accounts))
	for _, one := range accounts {
		rows = append(rows, rowsOf(one, by, s.Watched)...)
	}
	return table.Table{Columns: columns, Rows: rows, Paint: painter(s, len(columns))}.Write(s.Out)
}

// rowsOf are the lines of one account, with a bar for each budget if somebody looks on.
func rowsOf(one account, by string, bars bool) [][]string {
	owner := []string{one.Name}
	if one.Namespace != "" {
		owner = []string{one.Namespace + "/" + one.Name}
	}
	if by == byConsumer {
		owner = append(owner, one.Consumer)
	}
	owner = append(owner, table.Places(one.Spent))
	if len(one.Budgets) == 0 {
		cells := 9
		if bars {
			cells++
		}
		return [][]string{append(owner, nothings(cells)...)}
	}
	rows := make([][]string, 0, len(one.Budgets))
	for _, budget := range one.Budgets {
		row := append(append([]string{}, owner...), budget.Name, table.Places(budget.Spent), table.Places(budget.Uncertain),
			table.Places(budget.Held), table.Places(budget.Remaining), orNothing(budget.Limit), fmt.Sprintf("%d%%", budget.PercentUsed))
		if bars {
			row = append(row, bar(budget.PercentUsed))
		}
		rows = append(rows, append(row, orNothing(string(budget.State)), resets(budget.ResetTime, budget.timeZone)))
		owner = make([]string, len(owner)) // The account is named once.
	}
	return rows
}

func orNothing(text string) string {
	if text == "" {
		return table.Nothing
	}
	return text
}

// barWidth is how many cells a bar has.
const barWidth = 10

// bar shows how much of a budget is used. What is not nothing shows, and what is not all leaves room.
func bar(percent int32) string {
	filled := int(min(max(percent, 0), 100)) * barWidth / 100
	if filled == 0 && percent > 0 {
		filled = 1
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", barWidth-filled)
}

// stateColours are the colours of how full budgets are.
var stateColours = map[string]shell.Colour{
	string(budget.WithinBudget): shell.Green, string(budget.Warning): shell.Yellow, string(budget.Exhausted): shell.Red,
}

// painter colours the state, which is the last column but one, and the bar before it.
func painter(s *shell.Shell, columns int) func(row []string, column int) string {
	state := columns - 2
	return func(row []string, column int) string {
		if column == state || s.Watched && column == state-1 {
			return s.Paint(stateColours[row[state]], row[column])
		}
		return row[column]
	}
}

var csvHeader = []string{
	"namespace", "name", "consumer", "total", "budget", "limit", "spent", "uncertain", "held", "remaining", "percent_used",
	"window_start", "reset_time", "state",
}

// writeCSV writes a record for each budget, and one for each account that has none.
func writeCSV(out io.Writer, accounts []account) error {
	writer := csv.NewWriter(out)
	records := [][]string{csvHeader}
	for _, one := range accounts {
		owner := []string{one.Namespace, one.Name, one.Consumer, one.Spent}
		if len(one.Budgets) == 0 {
			records = append(records, append(owner, make([]string, len(csvHeader)-len(owner))...))
		}
		for _, budget := range one.Budgets {
			records = append(records, append(slices.Clip(owner), budget.Name, budget.Limit, budget.Spent, budget.Uncertain,
				budget.Held, budget.Remaining, strconv.Itoa(int(budget.PercentUsed)), stamp(budget.WindowStart), stamp(budget.ResetTime),
				string(budget.State)))
		}
	}
	return writer.WriteAll(records)
}

func stamp(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}
