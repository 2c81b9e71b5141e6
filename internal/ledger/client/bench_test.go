package client_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// warm returns a client whose slice covers what a benchmark holds, since the least that is drawn ahead of need is four times the last hold.
func warm(b *testing.B) (*client.Client, *ledgertest.Ledger) {
	b.Helper()
	l := ledgertest.Start(b)
	put(l, 999_999_999_999_999_999)
	kept, replay, err := journal.Open(journal.Options{Directory: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	c := client.New(client.Options{
		URL: l.URL, HTTPClient: l.HTTPClient(), Token: l.Token, Journal: kept, Replay: replay, Instance: "pod",
		Routes:     func() []client.Route { return []client.Route{route} },
		ConfigHash: func() string { return "" },
		Now:        time.Now,
		Logger:     slog.New(slog.DiscardHandler),
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(b.Context())
	}()
	b.Cleanup(func() {
		<-ended
		if err := kept.Close(); err != nil {
			b.Error(err)
		}
	})
	holdAndSettle(b, c, 1_000_000_000)
	return c, l
}

func holdAndSettle(b *testing.B, c *client.Client, nano int64) {
	hold, err := c.Reserve(b.Context(), demand(nano))
	if err != nil {
		b.Error(err)
		return
	}
	if err := hold.Settle(client.Cost{Amount: money.FromNano(nano), Certainty: client.Exact}); err != nil {
		b.Error(err)
	}
}

// BenchmarkReserveAndSettle is a hold and its settlement on a warm slice, each written to the journal, with the reports to a real ledger
// going on beside it.
func BenchmarkReserveAndSettle(b *testing.B) {
	c, _ := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		holdAndSettle(b, c, 1000)
	}
}

func BenchmarkReserveAndSettleParallel(b *testing.B) {
	c, _ := warm(b)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			holdAndSettle(b, c, 1000)
		}
	})
}

// BenchmarkReserveAndSettleAlone is the same with the ledger away, so that only what the proxy itself does and allocates is counted.
func BenchmarkReserveAndSettleAlone(b *testing.B) {
	c, l := warm(b)
	l.Stop()
	b.ReportAllocs()
	for b.Loop() {
		holdAndSettle(b, c, 1000)
	}
}

// BenchmarkReserve is the part that a request waits for before it is sent.
func BenchmarkReserve(b *testing.B) {
	c, _ := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		hold, err := c.Reserve(b.Context(), demand(1000))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := hold.Settle(client.Cost{Amount: money.FromNano(1000), Certainty: client.Exact}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
