package history

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"
)

// Header names the columns of CSV.
var Header = []string{
	"start", "namespace", "route", "consumer", "team", "model", "upstream", "requests", "prompt_tokens", "cached_tokens",
	"cache_write_tokens", "completion_tokens", "reasoning_tokens", "spent_usd", "reported_usd", "priced_usd", "estimated_usd",
	"uncertain_usd",
}

func (e *Entry) cells() []string {
	return []string{
		e.Start.Format(time.RFC3339), e.Namespace, e.Route, e.Consumer, e.Team, e.Model, e.Upstream, count(e.Requests),
		count(e.PromptTokens), count(e.CachedTokens), count(e.CacheWriteTokens), count(e.CompletionTokens), count(e.ReasoningTokens),
		e.Spent.String(), e.Reported.String(), e.Priced.String(), e.Estimated.String(), e.Uncertain.String(),
	}
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// Writer writes entries one by one. What it writes is whole after End, whose error is that of any of the writing.
type Writer interface {
	Write(entry Entry) error
	End() error
}

// NewCSV writes a record for each entry, below Header.
func NewCSV(out io.Writer) Writer {
	return newRecords(out, Header, func(entry Entry) ([]string, error) { return entry.cells(), nil })
}

// records is a Writer of CSV.
type records struct {
	to      *csv.Writer
	cellsOf func(Entry) ([]string, error)
}

func newRecords(out io.Writer, header []string, cellsOf func(Entry) ([]string, error)) *records {
	to := csv.NewWriter(out)
	_ = to.Write(header) // The writer keeps its error for the end.
	return &records{to: to, cellsOf: cellsOf}
}

func (r *records) Write(entry Entry) error {
	cells, err := r.cellsOf(entry)
	if err != nil {
		return err
	}
	return r.to.Write(cells)
}

func (r *records) End() error {
	r.to.Flush()
	return r.to.Error()
}

// NewJSON writes one object with the list "entries".
func NewJSON(out io.Writer) Writer { return &document{to: out, Entries: []Entry{}} }

type document struct {
	to      io.Writer
	Entries []Entry `json:"entries"`
}

func (d *document) Write(entry Entry) error {
	d.Entries = append(d.Entries, entry)
	return nil
}

func (d *document) End() error {
	encoder := json.NewEncoder(d.to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}
