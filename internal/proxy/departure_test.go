package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// onDisconnect sets what becomes of streams whose clients have gone.
func onDisconnect(what routeconfig.OnDisconnect) func(*routeconfig.Config) {
	return func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].OnDisconnect = what }
}

// servedByOpenAI has the route's model served by a provider that stops when it is hung up.
func servedByOpenAI(config *routeconfig.Config) {
	upstream := &config.Routes[0].Upstreams[0]
	upstream.OnDisconnect, upstream.Model = routeconfig.CancelAsServed, "openai/gpt-4o"
	upstream.Pricing = routeconfig.Pricing{PromptPicoUSD: 2_500_000, CompletionPicoUSD: 10_000_000}
}

// counted waits until so much was done for clients that left.
func (w *world) counted(what string) {
	w.t.Helper()
	line := `modelroute_proxy_disconnects_total{namespace="ai-platform",result="` + what + `",route="mixtral-8x22b-instruct"} 1` + "\n"
	w.eventually("one attempt was "+what, func() bool { return strings.Contains(w.metrics(), line) })
}

func TestAStreamThatIsHungUpIsBookedForWhatWasProducedAndThenForWhatItCost(t *testing.T) {
	cases := map[string]struct {
		edit  func(*routeconfig.Config)
		fault string
	}{
		"because the route says so":                       {onDisconnect(routeconfig.Cancel), "cancellable,answer=400,chunk-delay=5ms"},
		"because it serves that stops":                    {servedByOpenAI, "answer=400,chunk-delay=5ms"},
		"whose usage is told with every chunk":            {onDisconnect(routeconfig.Cancel), "cancellable,usage=every,answer=400,chunk-delay=5ms"},
		"whose usage is told too early, and is too small": {onDisconnect(routeconfig.Cancel), "cancellable,usage=first,answer=400,chunk-delay=5ms"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, setup{
				budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, correctAfter: 500 * time.Millisecond,
				edit: func(config *routeconfig.Config) {
					test.edit(config)
					config.Routes[0].Model.SupportedParameters = []string{"max_tokens", "stop"}
				},
			})
			w.leaveAfter(20, asking(test.fault, `,"max_tokens":500,"stream":true`))
			w.counted("cancelled")
			booked := w.routeSpend()
			w.eventually("the upstream has stopped", func() bool { return w.upstream.Billed(upstream.Filter{}).Count == 1 })
			billed := w.upstream.Billed(upstream.Filter{})
			if one := billed.Requests[0]; !one.Cancelled || one.CompletionTokens >= 400 {
				t.Errorf("the upstream was not hung up: %+v", one)
			}
			whole := int64(500 * 10_000)
			if booked.Settled+booked.Uncertain < billed.TotalNanoUSD || booked.Settled+booked.Uncertain >= whole {
				t.Errorf("booked %+v, billed %d", booked, billed.TotalNanoUSD)
			}
			w.untilCorrected("1")
			w.booksAgree()
		})
	}
}

// What a model reasons is billed, and need not be in the stream.
func TestAStreamThatIsHungUpIsBookedInFullWhereTheModelMayReasonInHiding(t *testing.T) {
	const most = 500
	cases := map[string]struct {
		supported []string
		provider  routeconfig.Provider
		members   string
		full      bool
	}{
		"because it supports it":                          {[]string{"reasoning_effort", "stop"}, routeconfig.OpenAI, "", true},
		"because the route does not say what it supports": {nil, routeconfig.OpenAI, "", true},
		"because its server may not know what none is":    {nil, routeconfig.OpenAICompatible, `,"reasoning_effort":"none"`, true},
		"and not where it was asked to reason nothing":    {[]string{"reasoning_effort"}, routeconfig.OpenAI, `,"reasoning_effort":"none"`, false},
		"and not where it cannot":                         {[]string{"stop"}, routeconfig.OpenAICompatible, "", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var upstream *routeconfig.Upstream
			w := begin(t, setup{
				budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)},
				edit: func(config *routeconfig.Config) {
					upstream = &config.Routes[0].Upstreams[0]
					upstream.Provider, upstream.OnDisconnect, upstream.Parameters = test.provider, routeconfig.Cancel, nil
					config.Routes[0].Model.SupportedParameters = test.supported
				},
			})
			w.leaveAfter(20, asking("cancellable,answer=400,chunk-delay=5ms", fmt.Sprintf(`,"max_tokens":%d,"stream":true%s`, most, test.members)))
			w.counted("cancelled")
			booked := w.routeSpend()
			whole := most * upstream.Pricing.CompletionPicoUSD / 1000
			if booked.Settled != 0 || (booked.Uncertain > whole) != test.full {
				t.Errorf("booked %+v; the completion alone could cost %d nano-USD", booked, whole)
			}
		})
	}
}

func TestAStreamIsReadToItsEndWhereHangingUpDoesNotStopTheBill(t *testing.T) {
	cases := map[string]struct {
		what routeconfig.OnDisconnect
		// after so many events the client leaves.
		after int
		body  string
	}{
		"because the route says so":       {routeconfig.Drain, 5, asking("answer=40,chunk-delay=5ms", short+streamed)},
		"because it serves that goes on":  {routeconfig.CancelAsServed, 5, asking("answer=40,chunk-delay=5ms", short+streamed)},
		"because the answer is no stream": {routeconfig.Cancel, -1, asking("delay=200ms", short)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, edit: onDisconnect(test.what)})
			w.leaveAfter(test.after, test.body)
			w.counted("drained")
			w.booksAgree()
		})
	}
}

func TestAClientThatLeavesBeforeAStreamBeginsIsBookedForThePromptAtLeast(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, edit: onDisconnect(routeconfig.Cancel)})
	w.leaveAfter(-1, asking("cancellable,delay=5s", short+streamed))
	w.counted("cancelled")
	booked := w.routeSpend()
	if booked.Settled != 0 || booked.Uncertain == 0 {
		t.Errorf("booked %+v", booked)
	}
}

func TestBeyondTheBoundsOfDrainingTheHoldIsBookedAndCorrectedLater(t *testing.T) {
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, edit: onDisconnect(routeconfig.Drain), maxDrains: 1,
		correctAfter: 20 * time.Millisecond,
	})
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan struct{})
	go func() {
		defer close(first)
		if response, err := w.client.Do(w.chat(ctx, asking("delay=2s", short))); err == nil {
			_ = response.Body.Close()
		}
	}()
	w.eventually("the upstream has the first request", func() bool { return len(w.received.all()) == 1 })
	leave()
	<-first
	w.eventually("its answer is being drained", func() bool {
		return strings.Contains(w.metrics(), "\nmodelroute_proxy_drains_in_flight 1\n")
	})
	w.leaveAfter(3, asking("answer=40,chunk-delay=5ms", short+streamed))
	w.counted("abandoned")
	w.untilCorrected("1")
	w.counted("drained")
	w.booksAgree()
}
