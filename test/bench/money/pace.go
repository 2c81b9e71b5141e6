package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// pace is how fast things are when nothing goes wrong and money is plenty.
type pace struct {
	store storeKind
	// direct and proxied are latencies of the same request, sorted.
	direct, proxied []time.Duration
	// perSecond is how many requests three proxies hold and settle at full load.
	perSecond float64
	// reserve is how long a reservation on a warm slice takes, and allocations how many it makes.
	reserve     time.Duration
	allocations float64
}

func quantile(sorted []time.Duration, part float64) time.Duration {
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))].Round(time.Microsecond)
}

// String is for people at a terminal.
func (p pace) String() string {
	return fmt.Sprintf("%s: a request takes p50 %s, p99 %s directly and p50 %s, p99 %s through a proxy; %.0f requests/s at full load;\n"+
		"    a reservation on a warm slice takes %d ns and %.1f allocations\n", p.store, quantile(p.direct, 0.5), quantile(p.direct, 0.99),
		quantile(p.proxied, 0.5), quantile(p.proxied, 0.99), p.perSecond, p.reserve.Nanoseconds(), p.allocations)
}

// sentences are for the page.
func (p pace) sentences() string {
	return fmt.Sprintf(pagePace, len(p.direct),
		quantile(p.direct, 0.5), quantile(p.direct, 0.99), quantile(p.proxied, 0.5), quantile(p.proxied, 0.99),
		quantile(p.proxied, 0.5)-quantile(p.direct, 0.5), quantile(p.proxied, 0.99)-quantile(p.direct, 0.99),
		p.perSecond, p.reserve.Nanoseconds(), p.allocations)
}

// measurePace measures in a world with much money and an upstream that answers at once.
func measurePace(ctx context.Context, s settings, on *database) (pace, error) {
	p := pace{store: on.kind}
	w, err := newWorld(ctx, on, 0, pacing{}, limitsOf(money.FromNano(1_000_000*money.NanoPerUSD)))
	if err != nil {
		return p, err
	}
	defer w.remove()
	defer w.close()
	crowd := newLoad(w, mix{streamed: 50})
	defer crowd.client.CloseIdleConnections()
	requests, length := 3000, 5*time.Second
	if s.quick {
		requests, length = 500, time.Second
	}
	if err := p.compare(ctx, w, crowd.client, requests); err != nil {
		return p, err
	}
	p.saturate(ctx, crowd, length)
	err = p.measureReserve(ctx, w, 20*requests)
	return p, err
}

// compare makes the same request in turn directly and through a proxy.
func (p *pace) compare(ctx context.Context, w *world, httpClient *http.Client, requests int) error {
	body := fmt.Sprintf(`{"model":%q,"max_completion_tokens":16,"messages":[{"role":"user","content":"Explain quantum entanglement."}]}`,
		upstreamModel)
	key, err := rig.ReadFile(filepath.Join(w.dir, upstreamKeyFile))
	if err != nil {
		return err
	}
	upstreamURL, proxyURL := "http://"+w.upstream.At.Address+"/api", "http://"+w.slots[0].replica().At.Address
	proxied := strings.Replace(body, upstreamModel, routeName, 1)
	for i := range requests + requests/10 {
		direct, err := timed(ctx, httpClient, upstreamURL, key, body)
		if err != nil {
			return err
		}
		through, err := timed(ctx, httpClient, proxyURL, w.keys["c2"], proxied)
		if err != nil {
			return err
		}
		if i >= requests/10 { // The first ones warm up.
			p.direct, p.proxied = append(p.direct, direct), append(p.proxied, through)
		}
	}
	slices.Sort(p.direct)
	slices.Sort(p.proxied)
	return nil
}

// timed makes one request.
func timed(ctx context.Context, httpClient *http.Client, base, key, body string) (time.Duration, error) {
	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := httpClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("asking %s: %w", base, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %.200s", base, response.StatusCode, answer)
	}
	return time.Since(began), err
}

// saturate lets clients that do not think spend for a while.
func (p *pace) saturate(ctx context.Context, crowd *load, length time.Duration) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	crowd.start(ctx, 64)
	crowd.running.Wait()
	p.perSecond = float64(crowd.tally.served) / time.Since(began).Seconds()
}

// measureReserve measures what a proxy's request waits for before it is sent, in this process.
func (p *pace) measureReserve(ctx context.Context, w *world, holds int) error {
	kept, replay, err := journal.Open(journal.Options{Directory: filepath.Join(w.dir, "journal-of-the-benchmark")})
	if err != nil {
		return err
	}
	defer func() { _ = kept.Close() }()
	key, err := rig.ReadFile(filepath.Join(w.dir, rig.LedgerKeyFile))
	if err != nil {
		return err
	}
	spender := client.New(client.Options{
		URL: "https://" + w.ledgerAddress(), HTTPClient: w.manager, Token: func(context.Context) (string, error) { return key, nil },
		Journal: kept, Replay: replay, Instance: "the benchmark", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Routes:     func() []client.Route { return []client.Route{{Namespace: routeNamespace, Name: routeName}} },
		ConfigHash: func() string { return "" },
	})
	running, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { spender.Run(running) })
	defer ended.Wait()
	defer stop()
	// A first large hold makes the slice large enough for all that follow, since some times as much is drawn ahead of need.
	if _, _, err := reserve(ctx, spender, 1, money.FromNano(100*money.NanoPerUSD)); err != nil {
		return err
	}
	const batch = 100
	var took time.Duration
	var allocated uint64
	for range holds / batch {
		one, objects, err := reserve(ctx, spender, batch, money.FromNano(1_000_000))
		if err != nil {
			return err
		}
		took, allocated = took+one, allocated+objects
	}
	p.reserve = took / time.Duration(holds/batch*batch)
	p.allocations = float64(allocated) / float64(holds/batch*batch)
	return nil
}

// reserve makes holds, settles them, and returns how long the holding took and how many allocations this process made meanwhile.
func reserve(ctx context.Context, spender *client.Client, count int, amount money.Amount) (time.Duration, uint64, error) {
	demand := client.Demand{Namespace: routeNamespace, Route: routeName, Consumer: consumers[2], Amount: amount}
	holds := make([]*client.Hold, 0, count)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for range count {
		hold, err := spender.Reserve(ctx, demand)
		if err != nil {
			return 0, 0, fmt.Errorf("reserving: %w", err)
		}
		holds = append(holds, hold)
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	for _, hold := range holds {
		if err := hold.Settle(client.Cost{Amount: amount, Certainty: client.Exact}); err != nil {
			return 0, 0, err
		}
	}
	return took, after.Mallocs - before.Mallocs, nil
}
