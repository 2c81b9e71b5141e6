package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// historySteps are the words for what is summed up.
var historySteps = map[string]ledgerpb.Period{
	"quarter": ledgerpb.Period_PERIOD_UNSPECIFIED,
	"hour":    ledgerpb.Period_PERIOD_HOUR,
	"day":     ledgerpb.Period_PERIOD_DAY,
	"week":    ledgerpb.Period_PERIOD_WEEK,
	"month":   ledgerpb.Period_PERIOD_MONTH,
	"year":    ledgerpb.Period_PERIOD_YEAR,
	"total":   ledgerpb.Period_PERIOD_TOTAL,
}

// historyBy are the words for what there is a line for.
var historyBy = map[string]ledgerpb.ListHistoryRequest_By{
	"route":    ledgerpb.ListHistoryRequest_BY_UNSPECIFIED,
	"consumer": ledgerpb.ListHistoryRequest_BY_CONSUMER,
	"team":     ledgerpb.ListHistoryRequest_BY_TEAM,
}

// historyQuestion is what is asked of the history.
type historyQuestion struct {
	route, from, to, step, zone, by, format string
	location                                *time.Location
}

// history tells what was spent over time.
func (c *command) history(ctx context.Context) error {
	var question historyQuestion
	c.flags.StringVar(&question.route, "route", "", "")
	c.flags.StringVar(&question.from, "from", "", "")
	c.flags.StringVar(&question.to, "to", "", "")
	c.flags.StringVar(&question.step, "step", "day", "")
	c.flags.StringVar(&question.zone, "time-zone", "", "")
	c.flags.StringVar(&question.by, "by", "route", "")
	c.flags.StringVar(&question.format, "o", "table", "")
	if _, err := c.parse(0, 0, ""); err != nil {
		return err
	}
	request, err := question.request()
	if err != nil {
		return usageError{err}
	}
	writer, err := question.writer(c.out)
	if err != nil {
		return usageError{err}
	}
	found, err := c.reachRunning(ctx)
	if err != nil {
		return err
	}
	routes := []*ledgerpb.RouteRef{request.GetRoute()}
	if request.GetRoute() == nil {
		if routes, err = history.Routes(ctx, found.manager); err != nil {
			return fmt.Errorf("listing the routes: %w", told(err))
		}
	}
	if err := history.Read(ctx, found.manager, request, routes, question.location, writer.Write); err != nil {
		return fmt.Errorf("reading the history: %w", told(err))
	}
	return writer.End()
}

// request checks the question and makes the call of it, for no route yet if it is about all of them.
func (q *historyQuestion) request() (*ledgerpb.ListHistoryRequest, error) {
	step, known := historySteps[q.step]
	if !known {
		return nil, fmt.Errorf("--step is %q, must be quarter, hour, day, week, month, year or total", q.step)
	}
	by, known := historyBy[q.by]
	if !known {
		return nil, fmt.Errorf("--by is %q, must be route, consumer or team", q.by)
	}
	var err error
	if q.location, err = time.LoadLocation(q.zone); err != nil || q.zone == "Local" {
		return nil, fmt.Errorf("--time-zone is %q, which is no IANA name such as Europe/Berlin", q.zone)
	}
	request := &ledgerpb.ListHistoryRequest{Step: step, TimeZone: q.zone, By: by}
	if q.route != "" {
		namespace, name, isRoute := strings.Cut(q.route, "/")
		if !isRoute || namespace == "" || name == "" {
			return nil, fmt.Errorf("--route is %q, must be NAMESPACE/NAME", q.route)
		}
		request.Route = &ledgerpb.RouteRef{Namespace: namespace, Name: name}
	}
	if request.From, err = q.instant("--from", q.from); err != nil {
		return nil, err
	}
	request.To, err = q.instant("--to", q.to)
	return request, err
}

// instant reads a day in the question's zone, or a time.
func (q *historyQuestion) instant(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, q.location)
	if err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is %q, must be a day such as 2026-11-01 or a time such as 2026-11-01T06:15:00Z", flag, text)
	}
	return timestamppb.New(at), nil
}

// writer makes what prints in the format that is asked for.
func (q *historyQuestion) writer(out io.Writer) (history.Writer, error) {
	switch q.format {
	case "table":
		return newHistoryTable(out), nil
	case "csv":
		return history.NewCSV(out), nil
	case "json":
		return history.NewJSON(out), nil
	}
	return nil, fmt.Errorf("-o is %q, must be table, csv or json", q.format)
}

// historyTable is for people.
type historyTable struct{ to *tabwriter.Writer }

func newHistoryTable(out io.Writer) historyTable {
	table := historyTable{tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	fmt.Fprintln(table.to, "START\tROUTE\tCONSUMER\tTEAM\tMODEL\tUPSTREAM\tREQUESTS\tPROMPT\tCOMPLETION\tSPENT (USD)\tUNCERTAIN (USD)")
	return table
}

func (t historyTable) Write(e history.Entry) error {
	_, err := fmt.Fprintf(t.to, "%s\t%s/%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n",
		e.Start.Format("2006-01-02 15:04"), e.Namespace, e.Route, orNone(e.Consumer), orNone(e.Team), e.Model, e.Upstream,
		e.Requests, e.PromptTokens, e.CompletionTokens, e.Spent, e.Uncertain)
	return err
}

func (t historyTable) End() error { return t.to.Flush() }

func orNone(name string) string {
	if name == "" {
		return "-"
	}
	return name
}
