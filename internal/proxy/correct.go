package proxy

import (
	"context"
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
	// maxGenerationBytes bounds an answer.
	maxGenerationBytes = 1 << 20
)

// corrector finds out what attempts cost whose settlement is uncertain: OpenRouter tells for the id of each generation.
type corrector struct {
	transport http.RoundTripper
	metrics   *metrics
	logger    *slog.Logger
	// after is the pause before the first question; it doubles. Negative means never to ask.
	after time.Duration
	// queue is of those that nobody asks for yet; slots has an entry for each that is queued or asked for.
	queue chan doubt
	slots chan struct{}
}

// doubt is an attempt whose cost is not known.
type doubt struct {
	hold       *client.Hold
	grant      *grant
	key        string
	generation string
}

func newCorrector(transport http.RoundTripper, metrics *metrics, logger *slog.Logger, after time.Duration) *corrector {
	if after == 0 {
		after = DefaultCorrectAfter
	}
	return &corrector{
		transport: transport, metrics: metrics, logger: logger, after: after,
		queue: make(chan doubt, maxCorrections), slots: make(chan struct{}, maxCorrections),
	}
}

// add takes up a doubt, if the upstream is one that tells.
func (c *corrector) add(one doubt) {
	if c.after < 0 || one.generation == "" || one.grant.upstream().Provider != routeconfig.OpenRouter {
		return
	}
	select {
	case c.slots <- struct{}{}:
		c.queue <- one
	default:
		c.metrics.corrected(one.grant, "dropped")
	}
}

// run asks until ctx ends. What is not known by then stays uncertain.
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
	ctx, cancel := context.WithTimeout(ctx, correctPatience)
	defer cancel()
	var last error
	for pause := c.after; ; pause = min(2*pause, correctPauseMax) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			c.metrics.corrected(one.grant, "unknown")
			c.logger.LogAttrs(ctx, slog.LevelWarn, "What an attempt cost stays uncertain",
				slog.String("generation", one.generation), slog.Any("error", last))
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

func (c *corrector) book(ctx context.Context, one doubt, cost money.Amount) {
	if err := one.hold.Correct(cost); err != nil {
		c.logger.LogAttrs(ctx, slog.LevelError, "A correction is not in the journal yet", slog.Any("error", err))
	}
	c.metrics.corrected(one.grant, "exact")
	c.logger.LogAttrs(ctx, slog.LevelInfo, "What an attempt cost is known now",
		slog.String("generation", one.generation), slog.Int64("costNanoUSD", cost.Nano()))
}

// ask asks once.
func (c *corrector) ask(ctx context.Context, one doubt) (money.Amount, error) {
	ctx, cancel := context.WithTimeout(ctx, correctTimeout)
	defer cancel()
	address := one.grant.upstream().BaseURL + "/generation?id=" + url.QueryEscape(one.generation)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking for generation %s: %w", one.generation, err)
	}
	request.Header = requestHeader(one.key, false)
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking for generation %s: %w", one.generation, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := readAll(response.Body, maxGenerationBytes)
	if err != nil {
		return money.Amount{}, err
	}
	if response.StatusCode != http.StatusOK {
		return money.Amount{}, fmt.Errorf("asking for generation %s: status %d", one.generation, response.StatusCode)
	}
	return openai.GenerationCost(body)
}
