package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/table"
	"github.com/modelroute/modelroute/internal/local"
	"github.com/modelroute/modelroute/internal/money"
)

// ofRun shows what a run on this machine has spent: all of it in one, or one side as of a cluster.
func (o *options) ofRun(ctx context.Context, oneSide bool) error {
	found, err := local.ReadUsage(ctx, o.dataDir, o.Clock)
	if err != nil {
		return err
	}
	if found.Unreported {
		fmt.Fprintln(o.Diagnostics, "Note: the last run was killed. What it had not reported yet is counted when the next run begins.")
	}
	switch {
	case oneSide, o.output == outputCSV: // All in one has no form as records.
		return o.writeReport(runAccounts(o.by, found), nothingServed)
	case o.output == outputJSON:
		return writeJSON(o.Out, found)
	}
	return writeRun(o.Out, found)
}

// nothingServed is said of a run that has no such accounts.
const nothingServed = "Nothing was served here yet."

// runAccounts are those of one side of a run.
func runAccounts(by string, found local.Usage) []account {
	accounts := []account{}
	switch by {
	case byTeam:
		for _, team := range found.Teams {
			accounts = append(accounts, account{Name: team.Name, Spent: team.Spent.String(), Budgets: runBudgets(team.Budgets)})
		}
	case byKey:
		for _, key := range found.ModelKeys {
			namespace, name, _ := strings.Cut(key.Name, "/")
			accounts = append(accounts, account{
				Namespace: namespace, Name: name, Spent: key.Spent.String(), Budgets: runBudgets(key.Budgets),
			})
		}
	default:
		for _, route := range found.Routes {
			accounts = append(accounts, accountsOfRoute(by, route)...)
		}
	}
	return accounts
}

// accountsOfRoute are the route, or its consumers.
func accountsOfRoute(by string, route local.RouteUsage) []account {
	if by == byRoute {
		return []account{{
			Namespace: route.Namespace, Name: route.Name, Spent: route.Spent.String(), Budgets: runBudgets(route.Budgets),
		}}
	}
	accounts := make([]account, 0, len(route.Consumers))
	for _, consumer := range route.Consumers {
		accounts = append(accounts, account{
			Namespace: route.Namespace, Name: route.Name, Consumer: consumer.Name, Spent: consumer.Spent.String(),
			Budgets: runBudgets(consumer.Budgets),
		})
	}
	return accounts
}

func runBudgets(budgets []local.BudgetUsage) []accountBudget {
	shown := make([]accountBudget, 0, len(budgets))
	for _, one := range budgets {
		shown = append(shown, accountBudget{
			Name: one.Name, Limit: one.Limit.String(), Spent: one.Spent.String(), Uncertain: one.Uncertain.String(),
			Held: one.Held.String(), Remaining: one.Remaining.String(), PercentUsed: one.Spent.PercentOf(one.Limit),
			WindowStart: one.WindowStart, ResetTime: one.ResetTime, State: v1alpha1.BudgetState(one.State), timeZone: one.TimeZone,
		})
	}
	return shown
}

func writeJSON(out io.Writer, found any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(found)
}

var runColumns = []table.Column{
	{Title: "ROUTE"}, {Title: "CONSUMER"}, {Title: "BUDGET"},
	{Title: "SPENT", Amount: true}, {Title: "UNCERTAIN", Amount: true, Optional: true}, {Title: "HELD", Amount: true},
	{Title: "REMAINING", Amount: true}, {Title: "LIMIT", Amount: true}, {Title: "USED", Amount: true},
	{Title: "STATE"}, {Title: "RESETS"},
}

const everybody = "(all)"

// writeRun writes a line for each budget, and one for each route and consumer that has none.
func writeRun(out io.Writer, found local.Usage) error {
	if len(found.Routes) == 0 {
		_, err := fmt.Fprintln(out, nothingServed)
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
		rows = append(rows, under(route.Namespace+"/"+route.Name, lines)...)
	}
	for _, team := range found.Teams {
		rows = append(rows, under("(all routes)", linesOf("team "+team.Name, team.Spent, team.Budgets))...)
	}
	for _, key := range found.ModelKeys {
		rows = append(rows, under("(all routes)", linesOf(key.Name, key.Spent, key.Budgets))...)
	}
	return table.Table{Columns: runColumns, Rows: rows}.Write(out)
}

// under puts a name before the first of some lines, and nothing before the others.
func under(name string, lines [][]string) [][]string {
	rows := make([][]string, 0, len(lines))
	for _, line := range lines {
		rows = append(rows, append([]string{name}, line...))
		name = ""
	}
	return rows
}

func linesOf(who string, spent money.Amount, budgets []local.BudgetUsage) [][]string {
	if len(budgets) == 0 {
		return [][]string{append([]string{who, table.Nothing, table.Places(spent.String())}, nothings(7)...)}
	}
	lines := make([][]string, 0, len(budgets))
	for _, budget := range budgets {
		lines = append(lines, []string{
			budget.Name, table.Places(budget.Spent.String()), table.Places(budget.Uncertain.String()), table.Places(budget.Held.String()),
			table.Places(budget.Remaining.String()), budget.Limit.String(), fmt.Sprintf("%d%%", budget.Spent.PercentOf(budget.Limit)),
			string(budget.State), resets(budget.ResetTime, budget.TimeZone),
		})
	}
	return under(who, lines)
}

// nothings are cells that have nothing to say.
func nothings(cells int) []string {
	row := make([]string, cells)
	for i := range row {
		row[i] = table.Nothing
	}
	return row
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
