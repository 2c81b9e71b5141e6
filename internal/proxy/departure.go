package proxy

import (
	"cmp"
	"errors"
	"strings"
	"sync"

	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// DefaultMaxDrains is how many answers are read to their end at a time for nothing but the bill, because their clients have gone. Each
// costs a connection and, if it is no stream, the memory for the answer.
const DefaultMaxDrains = 256

var (
	// errCancelled ends an attempt whose client has gone where hanging up stops the bill.
	errCancelled = errors.New("the client left, and the upstream stops when we hang up")
	// errAbandoned ends one that would have been read to its end, but too many are.
	errAbandoned = errors.New("the client left, and too many answers are being read for clients that have")
)

// clientLeft reports whether an attempt was ended because its client had gone, which says nothing of the upstream.
func clientLeft(cause error) bool {
	return errors.Is(cause, errCancelled) || errors.Is(cause, errAbandoned)
}

// stopsBilling has the providers at OpenRouter that stop, and bill no more, when a stream is hung up, by the names that answers have,
// in lower case. From OpenRouter's page on streaming. Of all others it has to be taken that they produce, and bill, the whole answer.
var stopsBilling = map[string]bool{
	"openai": true, "azure": true, "anthropic": true, "fireworks": true, "mancer": true, "recursal": true, "anyscale": true,
	"lepton": true, "octoai": true, "novita": true, "novitaai": true, "deepinfra": true, "together": true, "cohere": true,
	"hyperbolic": true, "infermatic": true, "avian": true, "xai": true, "cloudflare": true, "sfcompute": true, "nineteen": true,
	"liquid": true, "friendli": true, "chutes": true, "deepseek": true,
}

// drains counts the answers that are read for the bill alone.
type drains struct {
	slots   chan struct{}
	metrics *metrics
}

// newDrains allows so many at a time; 0 is DefaultMaxDrains.
func newDrains(most int, metrics *metrics) *drains {
	return &drains{slots: make(chan struct{}, cmp.Or(most, DefaultMaxDrains)), metrics: metrics}
}

// begin takes a slot; it returns false if there is none.
func (d *drains) begin() bool {
	select {
	case d.slots <- struct{}{}:
		d.metrics.drains.Inc()
		return true
	default:
		return false
	}
}

func (d *drains) end() {
	<-d.slots
	d.metrics.drains.Dec()
}

// departure is what becomes of one attempt when its client goes away: the answer is read to its end for the bill, or the upstream is hung
// up.
type departure struct {
	drains *drains
	// cancel ends the attempt.
	cancel func(cause error)

	mu sync.Mutex
	// stops says that hanging up stops the bill.
	stops bool
	// left is true once the client has gone, draining while the answer is read for the bill alone, over once the attempt has ended.
	left, draining, over bool
	// done says what was done when the client went away.
	done string
}

// departureFrom returns what becomes of an attempt at the upstream; streamed says that a stream was asked for. An answer that is not
// streamed is billed as a whole everywhere.
func departureFrom(upstream *routeconfig.Upstream, streamed bool, drains *drains, cancel func(error)) *departure {
	return &departure{drains: drains, cancel: cancel, stops: streamed && upstream.OnDisconnect == routeconfig.Cancel}
}

// leave notes that the client has gone. It may be called any number of times, by anybody.
func (d *departure) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left || d.over {
		return
	}
	d.left = true
	switch {
	case d.stops:
		d.done = "cancelled"
		d.cancel(errCancelled)
	case d.drains.begin():
		d.done = "drained"
		d.draining = true
	default:
		d.done = "abandoned"
		d.cancel(errAbandoned)
	}
}

// servedBy notes which provider's answer it is that OpenRouter passes on.
func (d *departure) servedBy(upstream *routeconfig.Upstream, provider string) {
	if upstream.OnDisconnect != routeconfig.CancelAsServed || !stopsBilling[strings.ToLower(provider)] {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stops = true
	if d.draining {
		d.done = "cancelled"
		d.cancel(errCancelled)
	}
}

// answeredWhole notes that the answer is no stream after all.
func (d *departure) answeredWhole() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stops = false
}

// end is called when the attempt has ended. It says for the metrics what was done when the client went away; nothing if it stayed.
func (d *departure) end() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.draining {
		d.draining = false
		d.drains.end()
	}
	return d.done
}

// mayHide reports whether the upstream may produce, and bill, what a stream does not show: a model that reasons may keep all of that to
// itself, and what is shown of it may be a summary. That a request asks for none can be relied on only where the provider is known to take
// it at its word.
func (a *admission) mayHide() bool {
	if !openai.MayReason(a.grant.route.Model.SupportedParameters) {
		return false
	}
	return providerOf(a.upstream.Provider) == openai.Compatible || !a.request.ForgoesReasoning()
}

// inFlight is how many tokens of a choice an upstream may have produced that we had not got when we hung up.
const inFlight = 64

// settleProduced books what the upstream had produced when it was told to stop: so many bytes of text, which are at least as many tokens,
// behind a prompt that the upstream counted if there is a usage, and was bounded before if there is none. Where some of it may be hidden,
// only the hold is certain to be enough.
func (x *exchange) settleProduced(usage *pricing.Usage, bytes int64) {
	if x.mayHide() {
		known := cmp.Or(usage, &pricing.Usage{})
		x.held.atLeast(x.costOf(known), known)
		return
	}
	produced := pricing.Usage{PromptTokens: x.bound.PromptTokens, CompletionTokens: bytes + inFlight*x.choices, CacheInDoubt: true}
	if usage != nil {
		produced.PromptTokens, produced.CacheInDoubt = usage.PromptTokens, usage.CacheInDoubt
		produced.CachedTokens, produced.CacheWriteTokens = usage.CachedTokens, usage.CacheWriteTokens
		produced.CompletionTokens = max(produced.CompletionTokens, usage.CompletionTokens)
	}
	x.held.produced(pricing.Cost(produced, x.prices, false), &produced)
}
