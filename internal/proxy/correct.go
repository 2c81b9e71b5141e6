package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// DefaultCorrectAfter is when an upstream is first asked what an attempt cost: OpenRouter knows it a second or so after the end.
const DefaultCorrectAfter = 2 * time.Second

const (
	// maxCorrections is how many attempts are asked for at the same time; beyond that they stay uncertain.
	maxCorrections = 1000
	// correctPauseMax is the longest pause between two questions for the same attempt. OpenRouter knows an answer that was cut only
	// after a while.
	correctPauseMax = time.Minute
	// correctPatience is how long an attempt is asked for.
	correctPatience = 15 * time.Minute
	// correctTimeout bounds one question.
	correctTimeout = 30 * time.Second
	// pastPause is the pause between two attempts of an earlier process that are taken up.
	pastPause = 10 * time.Millisecond
	// maxGenerationBytes bounds an answer.
	maxGenerationBytes = 1 << 20
)

// errPatience ends the asking for an attempt.
var errPatience = errors.New("the upstream was asked for long enough")

// corrector finds out what attempts cost whose settlement is uncertain: OpenRouter tells for the id of each generation.
type corrector struct {
	transports *transports
	keys       *keyFiles
	metrics    *metrics
	logger     *slog.Logger
	// after is the pause before the first question; it doubles. Negative means never to ask.
	after time.Duration
	// queue is of those that nobody asks for yet; slots has an entry for each that is queued or asked for.
	queue chan doubt
	slots chan struct{}
}

// doubt is an attempt whose cost is not known.
type doubt struct {
	hold *client.Hold
	// route is the one that the attempt was made for, upstream the one to ask.
	route    *routeconfig.Route
	upstream *routeconfig.Upstream
	// key is the upstream's key by which the attempt was made; empty if an earlier process made it, and then the one of now is used.
	key        string
	generation string
}

func newCorrector(
	transports *transports, keys *keyFiles, metrics *metrics, logger *slog.Logger, after time.Duration,
) *corrector {
	if after == 0 {
		after = DefaultCorrectAfter
	}
	return &corrector{
		transports: transports, keys: keys, metrics: metrics, logger: logger, after: after,
		queue: make(chan doubt, maxCorrections), slots: make(chan struct{}, maxCorrections),
	}
}

// add takes up a doubt, if the upstream is one that tells.
func (c *corrector) add(one doubt) {
	if c.after < 0 || one.generation == "" || one.upstream.Provider != routeconfig.OpenRouter {
		one.hold.GiveUp()
		return
	}
	select {
	case c.slots <- struct{}{}:
		c.queue <- one
	default:
		one.hold.GiveUp()
		c.metrics.corrected(one.route, "dropped")
	}
}

// addPast takes up what earlier processes left, spread over a while: after a crash there may be a thousand at once.
func (c *corrector) addPast(ctx context.Context, past []client.Doubt, find func(client.Route) *routeconfig.Route) {
	spread := time.NewTicker(pastPause)
	defer spread.Stop()
	for _, one := range past {
		route := find(one.Route)
		var upstream *routeconfig.Upstream
		if route != nil {
			upstream = route.Upstream(one.Upstream)
		}
		if upstream == nil {
			c.logger.LogAttrs(ctx, slog.LevelWarn, "What an attempt cost stays uncertain: its route or upstream is gone",
				slog.String("route", one.Route.Namespace+"/"+one.Route.Name), slog.String("generation", one.Generation))
			one.GiveUp()
			continue
		}
		c.add(doubt{hold: one.Hold, route: route, upstream: upstream, generation: one.Generation})
		select {
		case <-ctx.Done():
			return
		case <-spread.C:
		}
	}
}

// run asks until ctx ends. What is not known by then is left to the next process with the same journal.
func (c *corrector) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case one := <-c.queue:
			asking.Go(func() {
				defer func() { <-c.slots }()
				c.settle(ctx, one)
			})
		}
	}
}

// settle asks for one attempt until it is known what it cost, and corrects what was booked.
func (c *corrector) settle(ctx context.Context, one doubt) {
	ctx, cancel := context.WithTimeoutCause(ctx, correctPatience, errPatience)
	defer cancel()
	var last error
	for pause := c.after; ; pause = min(2*pause, correctPauseMax) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			c.leave(ctx, one, last)
			return
		case <-timer.C:
		}
		var cost money.Amount
		if cost, last = c.ask(ctx, one); last == nil {
			c.book(ctx, one, cost)
			return
		}
	}
}

// leave ends the asking for an attempt whose cost is not known.
func (c *corrector) leave(ctx context.Context, one doubt, last error) {
	if !errors.Is(context.Cause(ctx), errPatience) {
		return
	}
	one.hold.GiveUp()
	c.metrics.corrected(one.route, "unknown")
	c.logger.LogAttrs(ctx, slog.LevelWarn, "What an attempt cost stays uncertain",
		slog.String("generation", one.generation), slog.Any("error", last))
}

func (c *corrector) book(ctx context.Context, one doubt, cost money.Amount) {
	if err := one.hold.Correct(cost); err != nil {
		c.logger.LogAttrs(ctx, slog.LevelError, "A correction is not in the journal yet", slog.Any("error", err))
	}
	c.metrics.corrected(one.route, "exact")
	c.logger.LogAttrs(ctx, slog.LevelInfo, "What an attempt cost is known now",
		slog.String("generation", one.generation), slog.Int64("costNanoUSD", cost.Nano()))
}

// ask asks once.
func (c *corrector) ask(ctx context.Context, one doubt) (money.Amount, error) {
	ctx, cancel := context.WithTimeout(ctx, correctTimeout)
	defer cancel()
	key := one.key
	if key == "" {
		var err error
		if key, err = c.keys.read(one.upstream.APIKeyFile); err != nil {
			return money.Amount{}, fmt.Errorf("asking for generation %s: %w", one.generation, err)
		}
	}
	address := one.upstream.BaseURL + "/generation?id=" + url.QueryEscape(one.generation)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking for generation %s: %w", one.generation, err)
	}
	request.Header = requestHeader(key, false)
	transport, err := c.transports.of(one.upstream)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking for generation %s: %w", one.generation, err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking for generation %s: %w", one.generation, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := readAll(response.Body, response.ContentLength, maxGenerationBytes)
	if err != nil {
		return money.Amount{}, err
	}
	if response.StatusCode != http.StatusOK {
		return money.Amount{}, fmt.Errorf("asking for generation %s: status %d", one.generation, response.StatusCode)
	}
	return openai.GenerationCost(body)
}
