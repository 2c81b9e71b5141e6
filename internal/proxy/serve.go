package proxy

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// defaultRequestBytes bounds a request's body where its route does not say. It is far above what any context length holds as text.
	defaultRequestBytes = 32 << 20
	// heldRetryAfter is what a client is told to wait for when other requests hold the money: about the length of a request.
	heldRetryAfter = 5 * time.Second
)

// serve serves an operation.
func (s *server) serve(operation *openai.Operation) handler {
	return func(w http.ResponseWriter, r *http.Request, current *table, record *record) {
		record.operation = operation.Name
		caller := s.identify(w, r, current, record)
		if caller == nil {
			return
		}
		if refusal := operation.CheckHeader(r.Header); refusal != nil {
			s.refuse(w, record, refusal)
			return
		}
		body, refusal := s.readBody(w, r, caller.mostBytes)
		if refusal != nil {
			s.refuse(w, record, refusal)
			return
		}
		admitting := &admitting{
			server: s, operation: operation, caller: caller, body: body, record: record,
			tries: tries{health: s.health, endpoint: endpointOf(operation)},
		}
		if refusal := admitting.serve(r.Context(), newClientWriter(w, s.now, s.times.Write)); refusal != nil {
			s.refuse(w, record, refusal)
		}
	}
}

// admitting is a request on its way through the attempts at its upstreams.
type admitting struct {
	server    *server
	operation *openai.Operation
	caller    *principal
	body      []byte
	tries     tries
	record    *record
}

// serve tries one upstream after the other until the client has an answer. It returns what the client is to be told if it has none.
func (a *admitting) serve(ctx context.Context, client *clientWriter) *openai.Error {
	var route *routeconfig.Route
	var failed *openai.Error
	var deadline time.Time
	defer client.extend()
	for {
		// Each attempt has its own model, price and key, so the request is made anew from what the client sent.
		admitted, refusal := admit(a.operation, a.caller, a.body, a.tries.next)
		switch {
		case refusal != nil && failed == nil:
			return refusal
		case refusal != nil:
			a.tries.giveUp() // It does not take the request as it is, which is no news of the one that failed.
			if !a.tries.more(ctx, route, deadline, a.server.now()) {
				return failed
			}
			continue
		case route == nil:
			route = admitted.grant.route
			deadline = a.server.now().Add(a.tries.longestTime(route))
		}
		got := a.server.attempt(ctx, client, admitted, deadline, a.record)
		failed = got.refusal
		if !a.goesOn(ctx, admitted, got, deadline) {
			return failed
		}
		forgetRelayed(client.header())
	}
}

// goesOn reports whether the request goes on after an attempt: at another upstream, or after a while at one that had its turn.
func (a *admitting) goesOn(ctx context.Context, admitted *admission, got outcome, deadline time.Time) bool {
	route := admitted.grant.route
	switch {
	case got.exhausted != nil:
		a.tries.giveUp()
		if ctx.Err() == nil && a.tries.goOn(admitted.grant, got.exhausted) && a.tries.more(ctx, route, deadline, a.server.now()) {
			return true
		}
		admitted.grant.meters.denied("exhausted", got.exhausted.Account())
		return false
	case got.refusal == nil || !got.elsewhere && !got.again || ctx.Err() != nil:
		return false
	}
	a.tries.note(got)
	if !a.tries.more(ctx, route, deadline, a.server.now()) {
		return false
	}
	a.server.logger.LogAttrs(ctx, slog.LevelInfo, "An upstream failed; trying again", slog.String("upstream", admitted.upstream.Name),
		slog.String("route", route.Namespace+"/"+route.Name), slog.String("requestId", a.record.requestID),
		slog.String("problem", a.record.toldProblem()))
	return true
}

// attempt holds the worst case of a request and sends it to its upstream.
func (s *server) attempt(
	ctx context.Context, client *clientWriter, admitted *admission, deadline time.Time, record *record,
) outcome {
	record.begin(admitted)
	key, err := s.upstreamKey(admitted.upstream)
	if err != nil {
		record.problem = err.Error()
		return outcome{refusal: noUpstreamKey(), elsewhere: true}
	}
	transport, err := s.transports.of(admitted.upstream)
	if err != nil {
		record.problem = err.Error()
		return outcome{refusal: noAuthorities(), elsewhere: true}
	}
	held, denied := s.reserve(ctx, admitted, record)
	if held == nil {
		return denied
	}
	if admitted.unlimited {
		client.header().Set(limitHeader, strconv.FormatInt(admitted.bound.CompletionTokens, 10))
	}
	held.tellRates(client.header())
	held.tellBudget(client.header())
	exchange := &exchange{
		server: s, admission: admitted, transport: transport, key: key, held: held, record: record, client: client,
		deadline: deadline, watch: s.watch(ctx, admitted, record),
	}
	exchange.observed(ctx)
	endpoint := endpointOf(admitted.request.Operation)
	s.health.note(admitted.grant.route, admitted.upstream, endpoint, exchange.outcome.elsewhere, exchange.outcome.retryAfter)
	return exchange.outcome
}

// readBody reads the whole body of a request, of at most so many bytes.
func (s *server) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *openai.Error) {
	if encoded(r.Header) {
		return nil, compressed(r.Header.Get("Content-Encoding"))
	}
	control := http.NewResponseController(w)
	// Where the connection has no deadlines the server's own timeouts have to do.
	_ = control.SetReadDeadline(s.now().Add(s.times.Body))
	body, err := readWhole(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	if err == nil {
		// Of a body that was not read to its end net/http reads the rest before it answers: it must not wait for it.
		_ = control.SetReadDeadline(time.Time{})
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, openai.TooLarge(limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, slowBody(s.times.Body)
	}
	if err != nil {
		return nil, openai.InvalidRequest("", "The body could not be read to its end.")
	}
	return body, nil
}

// upstreamKey reads the key of an upstream; one without a file asks for none.
func (s *server) upstreamKey(upstream *routeconfig.Upstream) (string, error) {
	path := upstream.APIKeyFile
	if path == "" {
		return "", nil
	}
	return s.keys.read(path)
}

// limitHeader tells a client that named no completion limit which one its budgets left it, in tokens.
const limitHeader = "X-Modelroute-Max-Completion-Tokens"

// reserve holds the worst case of a request, and seals it. Where that cannot be, there is no holding. Waiting for the money ends when the
// client goes away.
func (s *server) reserve(ctx context.Context, admitted *admission, record *record) (*holding, outcome) {
	granted := admitted.grant
	demand := client.Demand{Namespace: granted.route.Namespace, Route: granted.route.Name, Consumer: granted.consumer.Name}
	if !record.counted {
		demand.Requests = 1 // However many upstreams it takes.
	}
	demand.Model, demand.Upstream = granted.route.Model.Name, admitted.upstream.Name
	demand.Team = granted.consumer.Team
	queuedBefore := record.queued
	demand.Queued = &record.queued
	hold, err := s.hold(ctx, admitted, demand)
	granted.meters.waited(record.queued - queuedBefore)
	s.traceWait(ctx, record.queued-queuedBefore)
	if err == nil {
		record.counted = true
		admitted.seal()
		return &holding{server: s, hold: hold, record: record}, outcome{}
	}
	return nil, s.denied(ctx, admitted, record, err)
}

// hold holds the worst case of a request. One whose client named no limit gets its fair share of what is left, and if not even that is
// there, what a budget or a rate limit still has.
func (s *server) hold(ctx context.Context, admitted *admission, demand client.Demand) (*client.Hold, error) {
	if admitted.unlimited {
		share, err := s.ledger.Share(ctx, demand)
		if err != nil {
			return nil, err
		}
		admitted.within(share.Amount)
		admitted.withinTokens(share.Tokens)
	}
	for {
		demand.Amount, demand.Tokens = admitted.worst(), admitted.mostTokens()
		hold, err := s.ledger.Reserve(ctx, demand)
		denied, isDenied := errors.AsType[*client.DeniedError](err)
		// What is left is less than the share was, since others have spent meanwhile. Each turn asks for less.
		if !isDenied || denied.Reason != client.Exhausted || !admitted.withinRemaining(denied) {
			return hold, err
		}
	}
}

// withinRemaining lowers the completion limit to what is left where a request was denied.
func (a *admission) withinRemaining(denied *client.DeniedError) bool {
	switch denied.Unit {
	case budget.USD:
		return a.within(denied.Remaining)
	case budget.Tokens:
		return a.withinTokens(denied.Remaining.Nano())
	case budget.Requests:
	}
	return false
}

// denied says to a client why its request is not served.
func (s *server) denied(ctx context.Context, admitted *admission, record *record, err error) outcome {
	granted := admitted.grant
	record.clientGone = ctx.Err() != nil
	denied, isDenied := errors.AsType[*client.DeniedError](err)
	if !isDenied {
		record.problem = err.Error()
		// A client that hangs up says nothing of the ledger.
		if !record.clientGone {
			granted.meters.denied("unavailable", "")
		}
		return outcome{refusal: openai.LedgerUnavailable()}
	}
	if denied.Unit != budget.USD {
		granted.meters.denied("rate_limited", denied.Account())
		return outcome{refusal: s.rateLimited(denied, admitted, record.dialect)}
	}
	denial := openai.Denial{
		Budget:    denied.Budget,
		Upstream:  denied.Upstream,
		Owner:     denied.Owner.Words(),
		Limit:     denied.Limit,
		Remaining: denied.Remaining,
		Needed:    admitted.worst(),
		ResetsIn:  denied.ResetsIn,
	}
	if denied.Reason == client.Held {
		granted.meters.denied("held", denied.Account())
		return outcome{refusal: openai.BudgetHeld(denial, retryAfter(denied.ResetsIn))}
	}
	return outcome{refusal: openai.BudgetExhausted(denial), exhausted: denied}
}

// retryAfter is when a client may try again for money that others hold: soon, and not after the window's end, when the budget is full
// again.
func retryAfter(resetsIn time.Duration) time.Duration {
	if resetsIn <= 0 {
		resetsIn = math.MaxInt64
	}
	return max(min(heldRetryAfter, resetsIn), time.Second)
}
