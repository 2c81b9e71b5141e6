package usage

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/local"
)

// maxDays bounds the days of --since: a hundred years, far from where a time overflows.
const maxDays = 36500

// question is what is asked about days.
type question struct {
	request *ledgerpb.ListHistoryRequest
	// namespace is the one whose routes are meant; empty for all of them.
	namespace string
	calendar  budget.Calendar
}

// ask checks what was asked about days.
func (o *options) ask() (question, error) {
	calendar, err := budget.NewCalendar(budget.Day, o.timeZone)
	if err != nil {
		return question{}, shell.Misused("--time-zone is %q, which is no IANA name such as Europe/Berlin", o.timeZone)
	}
	from, err := beginning(o.since, calendar, o.Clock.Now())
	if err != nil {
		return question{}, err
	}
	return question{calendar: calendar, request: &ledgerpb.ListHistoryRequest{
		From: timestamppb.New(from), Step: ledgerpb.Period_PERIOD_DAY, TimeZone: o.timeZone, By: ledgerpb.ListHistoryRequest_BY_CONSUMER,
	}}, nil
}

// beginning is when the first day begins: that of the date, or that of so many days, of which today is the last.
func beginning(since string, calendar budget.Calendar, now time.Time) (time.Time, error) {
	if date, err := time.Parse(time.DateOnly, since); err == nil && date.Unix() >= 0 {
		year, month, day := date.Date()
		return calendar.WindowAt(time.Date(year, month, day, 12, 0, 0, 0, calendar.Location())).Start, nil
	}
	days, err := strconv.Atoi(since)
	if err != nil || days < 1 || days > maxDays {
		return time.Time{}, shell.Misused("--since is %q, must be a date such as 2026-11-01, or a number of days such as 30", since)
	}
	year, month, day := now.In(calendar.Location()).Date()
	return calendar.WindowAt(time.Date(year, month, day-days+1, 12, 0, 0, 0, calendar.Location())).Start, nil
}

// daysOfCluster shows what the routes of a cluster spent on each day, as its ledger has it.
func (o *options) daysOfCluster(ctx context.Context) error {
	asked, err := o.ask()
	if err != nil {
		return err
	}
	in, err := o.cluster.Connect()
	if err != nil {
		return err
	}
	asked.namespace = in.Namespace
	books, stop, err := reachLedger(ctx, in, o.systemNamespace)
	if err != nil {
		return err
	}
	defer stop()
	return o.tellDays(ctx, asked, books, in.None("ModelRoutes that spent anything then"))
}

// daysOfRun shows what a run on this machine spent on each day.
func (o *options) daysOfRun(ctx context.Context) error {
	asked, err := o.ask()
	if err != nil {
		return err
	}
	_, err = local.ReadBooks(ctx, o.dataDir, o.Clock, func(books history.Service) error {
		return o.tellDays(ctx, asked, books, "Nothing was spent here then.")
	})
	return err
}

// tellDays reads what is asked and writes it, or that there is nothing.
func (o *options) tellDays(ctx context.Context, asked question, books history.Service, nothing string) error {
	writer, err := o.dayWriter(nothing)
	if err != nil {
		return err
	}
	progress := o.Progress("Asking the ledger for its routes")
	defer progress.End()
	if o.Watched && o.output != outputTable && o.output != outputJSON {
		progress.End() // What is written as it comes tells enough, and would be in the midst of the line.
	}
	known, err := history.Routes(ctx, books)
	if err != nil {
		return err
	}
	var routes []*ledgerpb.RouteRef
	for _, route := range known {
		if asked.namespace == "" || asked.namespace == route.GetNamespace() {
			routes = append(routes, route)
		}
	}
	for i := range routes {
		progress.Say("Reading the ledger: route %d of %d", i+1, len(routes))
		err := history.Read(ctx, books, asked.request, routes[i:i+1], asked.calendar.Location(), writer.Write)
		if err != nil {
			return err
		}
	}
	progress.End()
	return writer.End()
}

// dayWriter writes days in the format that was asked for. Programs are told of nothing in their own way.
func (o *options) dayWriter(nothing string) (history.Writer, error) {
	switch o.output {
	case outputJSON:
		return history.NewJSON(o.Out), nil
	case outputCSV:
		return history.NewCSV(o.Out), nil
	case outputFOCUS:
		writer, err := history.NewFOCUS(o.Out, o.timeZone)
		if err != nil {
			return nil, fmt.Errorf("writing FOCUS: %w", err)
		}
		return writer, nil
	}
	return &dayTable{shell: o.Shell, nothing: nothing}, nil
}
