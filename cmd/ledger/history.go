package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
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
		if routes, err = found.routes(ctx); err != nil {
			return err
		}
	}
	for _, route := range routes {
		request.Route = route
		if err := found.historyOf(ctx, request, question.location, writer.write); err != nil {
			return err
		}
	}
	return writer.end()
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

// routes names every route that was ever put.
func (s *services) routes(ctx context.Context) ([]*ledgerpb.RouteRef, error) {
	usage, err := s.manager.ListUsage(callAs(ctx, ""), &ledgerpb.ListUsageRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing the routes: %w", told(err))
	}
	routes := make([]*ledgerpb.RouteRef, 0, len(usage.GetRoutes()))
	for _, one := range usage.GetRoutes() {
		routes = append(routes, one.GetRoute())
	}
	return routes, nil
}

// historyOf reads the history of a route, part after part.
func (s *services) historyOf(
	ctx context.Context, request *ledgerpb.ListHistoryRequest, location *time.Location, write func(entryShown) error,
) error {
	from := request.GetFrom()
	defer func() { request.From = from }()
	for {
		part, err := s.manager.ListHistory(callAs(ctx, ""), request)
		if err != nil {
			return fmt.Errorf("reading the history of %s/%s: %w", request.GetRoute().GetNamespace(), request.GetRoute().GetName(),
				told(err))
		}
		for _, entry := range part.GetEntries() {
			if err := write(showEntry(request.GetRoute(), entry, location)); err != nil {
				return err
			}
		}
		if request.From = part.GetNext(); request.From == nil {
			return nil
		}
	}
}

// entryShown is an entry as it is printed. Amounts are in USD.
type entryShown struct {
	Start            time.Time    `json:"start"`
	Namespace        string       `json:"namespace"`
	Route            string       `json:"route"`
	Consumer         string       `json:"consumer,omitempty"`
	Team             string       `json:"team,omitempty"`
	Model            string       `json:"model"`
	Upstream         string       `json:"upstream"`
	Requests         int64        `json:"requests"`
	PromptTokens     int64        `json:"promptTokens"`
	CachedTokens     int64        `json:"cachedTokens"`
	CacheWriteTokens int64        `json:"cacheWriteTokens"`
	CompletionTokens int64        `json:"completionTokens"`
	ReasoningTokens  int64        `json:"reasoningTokens"`
	Spent            money.Amount `json:"spent"`
	Reported         money.Amount `json:"reported"`
	Priced           money.Amount `json:"priced"`
	Estimated        money.Amount `json:"estimated"`
	Uncertain        money.Amount `json:"uncertain"`
}

func showEntry(route *ledgerpb.RouteRef, entry *ledgerpb.HistoryEntry, location *time.Location) entryShown {
	shown := entryShown{
		Start: entry.GetStart().AsTime().In(location), Namespace: route.GetNamespace(), Route: route.GetName(),
		Consumer: entry.GetConsumer(), Team: entry.GetTeam(),
		Model: entry.GetModel(), Upstream: entry.GetUpstream(), Requests: entry.GetRequests(),
		PromptTokens: entry.GetTokens().GetPrompt(), CachedTokens: entry.GetTokens().GetCached(),
		CacheWriteTokens: entry.GetTokens().GetCacheWrite(),
		CompletionTokens: entry.GetTokens().GetCompletion(), ReasoningTokens: entry.GetTokens().GetReasoning(),
		Reported: money.FromNano(entry.GetReportedNanoUsd()), Priced: money.FromNano(entry.GetPricedNanoUsd()),
		Estimated: money.FromNano(entry.GetEstimatedNanoUsd()), Uncertain: money.FromNano(entry.GetUncertainNanoUsd()),
	}
	shown.Spent = shown.Reported.Add(shown.Priced).Add(shown.Estimated).Add(shown.Uncertain)
	return shown
}

// cells are the columns of CSV.
func (e *entryShown) cells() []string {
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		e.Start.Format(time.RFC3339), e.Namespace, e.Route, e.Consumer, e.Team, e.Model, e.Upstream,
		count(e.Requests),
		count(e.PromptTokens), count(e.CachedTokens), count(e.CacheWriteTokens), count(e.CompletionTokens), count(e.ReasoningTokens),
		e.Spent.String(), e.Reported.String(), e.Priced.String(), e.Estimated.String(), e.Uncertain.String(),
	}
}

var historyHeader = []string{
	"start", "namespace", "route", "consumer", "team", "model", "upstream", "requests", "prompt_tokens", "cached_tokens",
	"cache_write_tokens", "completion_tokens", "reasoning_tokens", "spent_usd", "reported_usd", "priced_usd", "estimated_usd",
	"uncertain_usd",
}

// historyWriter prints entries.
type historyWriter struct {
	write func(entryShown) error
	end   func() error
}

// writer makes what prints in the format that is asked for.
func (q *historyQuestion) writer(out io.Writer) (historyWriter, error) {
	switch q.format {
	case "table":
		return historyTable(out), nil
	case "csv":
		records := csv.NewWriter(out)
		err := records.Write(historyHeader)
		return historyWriter{
			write: func(e entryShown) error { return errors.Join(err, records.Write(e.cells())) },
			end: func() error {
				records.Flush()
				return records.Error()
			},
		}, nil
	case "json":
		entries := []entryShown{}
		return historyWriter{
			write: func(e entryShown) error {
				entries = append(entries, e)
				return nil
			},
			end: func() error {
				encoder := json.NewEncoder(out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(map[string][]entryShown{"entries": entries})
			},
		}, nil
	}
	return historyWriter{}, fmt.Errorf("-o is %q, must be table, csv or json", q.format)
}

func historyTable(out io.Writer) historyWriter {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "START\tROUTE\tCONSUMER\tTEAM\tMODEL\tUPSTREAM\tREQUESTS\tPROMPT\tCOMPLETION\tSPENT (USD)\tUNCERTAIN (USD)")
	return historyWriter{
		write: func(e entryShown) error {
			_, err := fmt.Fprintf(table, "%s\t%s/%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n",
				e.Start.Format("2006-01-02 15:04"), e.Namespace, e.Route, orNone(e.Consumer), orNone(e.Team), e.Model, e.Upstream,
				e.Requests, e.PromptTokens, e.CompletionTokens, e.Spent, e.Uncertain)
			return err
		},
		end: table.Flush,
	}
}

func orNone(name string) string {
	if name == "" {
		return "-"
	}
	return name
}
