package client

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// drawPause is the first pause between two draws for the same requests; it doubles up to drawPauseMax.
	drawPause    = 20 * time.Millisecond
	drawPauseMax = 320 * time.Millisecond
	// maxDemands is how many demands one draw has at most, and maxDrawBytes about how long it is; the ledger accepts more.
	maxDemands   = 200
	maxDrawBytes = 128 << 10
)

// drawUntil draws money for those who wait, and ahead of need, until ctx ends. One draw is under way at a time: what has gathered
// meanwhile goes with the next.
func (c *Client) drawUntil(ctx context.Context) {
	defer c.stopServing()
	for pause := drawPause; ctx.Err() == nil; {
		switch served, waiting := c.drawOnce(ctx); {
		case waiting == 0:
			pause = drawPause
			waitFor(ctx, c.want, idlePause)
		case served:
			pause = drawPause
		default:
			waitFor(ctx, c.want, pause)
			pause = min(2*pause, drawPauseMax)
		}
	}
}

// stopServing refuses those who wait, and everybody who comes.
func (c *Client) stopServing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	c.serveWaiting(c.options.Now(), false)
}

// draw is one question to the ledger, and for whom it is asked.
type draw struct {
	session *session
	request *ledgerpb.DrawRequest
	lacking []*request
	ahead   []spenderKey
	// purse is what the answer is for. A proxy that begins anew has another one.
	purse *purse
	asked time.Time
}

// drawOnce serves those who wait from what is there, and asks the ledger for what is missing. It reports whether anybody was served by
// that, and how many still wait.
func (c *Client) drawOnce(ctx context.Context) (served bool, waiting int) {
	c.drawing <- struct{}{}
	defer func() { <-c.drawing }()
	c.mu.Lock()
	current := c.drawingSession()
	c.serveWaiting(c.options.Now(), current != nil)
	before := len(c.waiting)
	if current == nil || before == 0 && len(c.ahead) == 0 {
		c.mu.Unlock()
		return false, before
	}
	d := c.newDraw(current)
	c.mu.Unlock()

	answers, err := c.callDraw(ctx, d)

	c.mu.Lock()
	c.noteAnswers(d, answers, err)
	now := c.options.Now()
	var returned []charge
	for _, r := range d.lacking {
		returned = append(returned, d.purse.unclaim(now, r.claimed)...)
		r.claimed = nil
	}
	c.serveWaiting(now, true)
	returned = append(returned, d.purse.surrender(now)...)
	after := len(c.waiting)
	c.mu.Unlock()
	c.giveBack(returned)
	return after < before, after
}

// drawingSession is the session to draw in; nil while there is none, or while the past of this proxy is not settled yet: what was drawn
// then would be given back with it. A proxy that ends draws nothing any more, nor does one that goes on under another identity soon. The
// caller holds the mutex.
func (c *Client) drawingSession() *session {
	if !c.settledPast || c.closing || c.renew {
		return nil
	}
	return c.session
}

// newDraw makes the call, and puts aside what there is for each request. A call whose answer did not come may have been heard. So the
// next one has its number: if it was heard, it is answered with what was granted then, and otherwise it counts. The caller holds the
// mutex.
func (c *Client) newDraw(current *session) *draw {
	d := &draw{session: current, purse: c.purse, asked: c.options.Now()}
	// A draw that arrives once the proxy has given everything back must not count: the number tells which came first.
	after := int64(c.book.last()) //nolint:gosec // Records are counted one by one.
	d.request = &ledgerpb.DrawRequest{Session: current.pb, Sequence: current.draws + 1, After: after}
	size := 0
	add := func(demand *ledgerpb.Demand) bool {
		size += proto.Size(demand)
		d.request.Demands = append(d.request.Demands, demand)
		return len(d.request.Demands) < maxDemands && size < maxDrawBytes
	}
	for _, r := range c.longestUnasked() {
		r.asked++
		r.claimed = c.purse.claim(d.asked, r.demand.key(), r.demand.need())
		d.lacking = append(d.lacking, r)
		if !add(c.demand(d.asked, r.demand.key(), r.demand.need(), r.claimed)) {
			return d
		}
	}
	for key := range c.ahead {
		delete(c.ahead, key)
		d.ahead = append(d.ahead, key)
		if !add(c.demand(d.asked, key, budget.Amounts{}, nil)) {
			return d
		}
	}
	return d
}

// longestUnasked returns those who wait, those first for whom the ledger was asked the least often. The caller holds the mutex.
func (c *Client) longestUnasked() []*request {
	if len(c.waiting) < maxDemands {
		return c.waiting
	}
	sorted := slices.Clone(c.waiting)
	slices.SortStableFunc(sorted, func(a, b *request) int { return a.asked - b.asked })
	return sorted
}

func (c *Client) demand(now time.Time, key spenderKey, need budget.Amounts, claimed []charge) *ledgerpb.Demand {
	wanted := c.purse.wants(now, key, need)
	message := &ledgerpb.Demand{
		Route:         &ledgerpb.RouteRef{Namespace: key.route.Namespace, Name: key.route.Name},
		Consumer:      key.consumer,
		Upstream:      key.upstream,
		AmountNanoUsd: need[budget.USD].Nano(),
		Requests:      need[budget.Requests].Nano(),
		Tokens:        need[budget.Tokens].Nano(),
		WantNanoUsd:   wanted[budget.USD].Nano(),
		WantRequests:  wanted[budget.Requests].Nano(),
		WantTokens:    wanted[budget.Tokens].Nano(),
	}
	for _, one := range claimed {
		message.Have = append(message.Have, &ledgerpb.Charge{Lease: one.slice.lease, Amount: one.amount.Nano()})
	}
	return message
}

// callDraw makes one call.
func (c *Client) callDraw(ctx context.Context, d *draw) ([]*ledgerpb.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	authorized, err := c.authorized(ctx)
	if err != nil {
		return nil, err
	}
	response, err := c.rpc.Draw(authorized, d.request)
	if err != nil {
		c.dropIfUnknown(d.session, err)
		return nil, fmt.Errorf("drawing: %w", err)
	}
	if len(response.GetAnswers()) != len(d.request.GetDemands()) {
		return nil, fmt.Errorf("drawing: %d answers to %d demands", len(response.GetAnswers()), len(d.request.GetDemands()))
	}
	return response.GetAnswers(), nil
}

// noteAnswers takes up what the ledger said. The caller holds the mutex.
func (c *Client) noteAnswers(d *draw, answers []*ledgerpb.Answer, err error) {
	switch {
	case c.purse != d.purse || c.releasedAll:
		return // The identity that was asked for is no more, or it has given everything back.
	case err != nil:
		c.noteSilence(d, err)
		return
	}
	c.unsure = false
	d.session.draws++
	now := c.options.Now()
	for i, answer := range answers {
		var key spenderKey
		if i < len(d.lacking) {
			key = d.lacking[i].demand.key()
			d.lacking[i].note(now, answer)
		} else {
			key = d.ahead[i-len(d.lacking)]
		}
		leases := leasesOf(d.asked, answer)
		if answer.GetProblem() == "" && answer.GetDenial() == nil && c.purse.learn(now, key, answer.GetVersion(), leases) {
			c.purse.payers[key.payerKey].team = teamOf{now: answer.GetTeam(), former: answer.GetFormerTeams()}
		}
		c.purse.heed(now, leases)
	}
}

// noteSilence notes that a draw was not answered. It may have been heard: the ledger is asked of the same spenders again, also if nobody
// waits for them any more, so that no money lies here that nobody knows of. The caller holds the mutex.
func (c *Client) noteSilence(d *draw, err error) {
	if connect.CodeOf(err) == connect.CodeAborted {
		c.released()
	}
	if len(d.lacking) > 0 && !c.unsure {
		c.logger.Warn("the ledger cannot be asked for money", slog.Any("error", err))
	}
	c.unsure = true
	now := c.options.Now()
	for _, r := range d.lacking {
		c.ahead[r.demand.key()] = struct{}{}
		if r.lostSince.IsZero() {
			r.lostSince = now
		}
	}
	for _, key := range d.ahead {
		c.ahead[key] = struct{}{}
	}
}

// note takes up the answer to a request that waits.
func (r *request) note(now time.Time, answer *ledgerpb.Answer) {
	r.lostSince = time.Time{}
	if problem := answer.GetProblem(); problem != "" {
		r.refused = fmt.Errorf("%w: it refuses the request: %s", ErrUnavailable, problem)
		return
	}
	r.denied = deniedError(answer.GetDenial())
	if r.denied != nil && r.heldSince.IsZero() {
		r.heldSince = now
	}
}

// leasesOf reads the leases of an answer. How long they are good for is counted from when the ledger was asked, so that they end no later
// than it thinks.
func leasesOf(asked time.Time, answer *ledgerpb.Answer) []granted {
	leases := make([]granted, 0, len(answer.GetLeases()))
	for _, one := range answer.GetLeases() {
		covered := budget.Coverage{Upstream: one.GetBudget().GetUpstream(), Except: one.GetExceptUpstream()}
		lease := granted{lease: one.GetId(), unit: unitOf(one.GetBudget()), coverage: covered, amount: money.FromNano(one.GetGranted())}
		lease.told = account{
			limit:     money.FromNano(one.GetLimit()),
			remaining: money.FromNano(one.GetRemaining()),
			free:      money.FromNano(one.GetFree()),
			sharers:   int64(max(one.GetSharers(), 1)),
		}
		lease.budget = nameOf(one.GetBudget())
		lease.recalled = one.GetRecalled()
		if one.GetValidFor() != nil {
			lease.ends = asked.Add(one.GetValidFor().AsDuration())
		}
		leases = append(leases, lease)
	}
	return leases
}

// unitOf is what an account counts.
func unitOf(ref *ledgerpb.BudgetRef) budget.Unit {
	switch ref.GetUnit() {
	case ledgerpb.Unit_UNIT_REQUESTS:
		return budget.Requests
	case ledgerpb.Unit_UNIT_TOKENS:
		return budget.Tokens
	case ledgerpb.Unit_UNIT_UNSPECIFIED:
	}
	return budget.USD
}

func deniedError(denial *ledgerpb.Denial) *DeniedError {
	if denial == nil {
		return nil
	}
	reason := Exhausted
	if denial.GetReason() == ledgerpb.Denial_REASON_HELD {
		reason = Held
	}
	return &DeniedError{
		Reason:    reason,
		Owner:     budget.Owner(denial.GetBudget().GetOwner()),
		Consumer:  denial.GetBudget().GetConsumer(),
		Upstream:  denial.GetBudget().GetUpstream(),
		Budget:    denial.GetBudget().GetName(),
		Unit:      unitOf(denial.GetBudget()),
		Limit:     money.FromNano(denial.GetLimit()),
		Remaining: money.FromNano(denial.GetRemaining()),
		ResetsIn:  denial.GetResetsIn().AsDuration(),
	}
}

// waitFor returns when ctx ends, when wake fires or when the pause is over.
func waitFor(ctx context.Context, wake <-chan struct{}, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}
