package client

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// callTimeout bounds one call to the ledger. It is for a ledger that is there and hangs. One that is away shows much sooner, by a
	// refused or a dead connection (see NewHTTPClient), and one that is slow, since the disk or the processor is busy, gives its answers
	// in the end; giving those up early would turn load into refusals and into more load.
	callTimeout = 20 * time.Second
	// idlePause is how often Run looks for routes to open a session for.
	idlePause = 200 * time.Millisecond
	// retryPause is how long Run waits after a failed opening or heartbeat.
	retryPause = 500 * time.Millisecond
	// leftOutPause is how long Run waits before it asks again for routes that a session is not for.
	leftOutPause = 10 * time.Second
)

// session is what the ledger issued, and for which routes.
type session struct {
	pb       *ledgerpb.Session
	routes   []Route
	interval time.Duration
	// again is when another one is opened, since the ledger has left routes out; zero if it has not.
	again time.Time
	// draws counts the draws; the client's mutex guards it.
	draws int64
}

// ConfigChanged makes Run report the new configuration at once instead of with the next heartbeat.
func (c *Client) ConfigChanged() { wake(c.wake) }

// Ready reports whether the client ever had a session. It stays true while the ledger is away, so that callers are told why they
// are refused.
func (c *Client) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// beat opens a session if none is there for today's routes, else sends a heartbeat. It returns how long to wait before the next.
func (c *Client) beat(ctx context.Context) time.Duration {
	routes := c.options.Routes()
	if len(routes) == 0 {
		return idlePause
	}
	current := c.currentSession()
	if current == nil || !slices.Equal(current.routes, routes) || !current.again.IsZero() && !c.options.Now().Before(current.again) {
		return c.paced(c.openSession(ctx, routes))
	}
	// The ledger had the budgets of a configuration before the proxy had the configuration. So once a heartbeat that began after it was
	// taken up has told of the accounts, it is in force, and not before.
	config := c.options.ConfigHash()
	request := &ledgerpb.HeartbeatRequest{Session: current.pb, ConfigHash: c.announced, InFlight: c.inFlight()}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.rpc.Heartbeat(ctx, request)
	c.dropIfUnknown(current, err)
	if err == nil {
		c.takePulse(response)
		if c.announced != config {
			c.announced = config
			wake(c.wake)
		}
	}
	return c.paced(err)
}

// maxBeatBytes is about how long a heartbeat is at most; the ledger accepts more.
const maxBeatBytes = 128 << 10

// inFlight is what requests under way can cost. It is only shown: what does not fit is left out.
func (c *Client) inFlight() []*ledgerpb.InFlight {
	c.mu.Lock()
	defer c.mu.Unlock()
	var messages []*ledgerpb.InFlight
	bytes := 0
	for key, payer := range c.purse.payers {
		for upstream, at := range payer.spenders {
			if bytes += len(key.route.Namespace) + len(key.route.Name) + len(key.consumer) + len(upstream) + 34; bytes > maxBeatBytes {
				return messages
			}
			if !at.inFlight.IsZero() {
				messages = append(messages, &ledgerpb.InFlight{
					Route:         &ledgerpb.RouteRef{Namespace: key.route.Namespace, Name: key.route.Name},
					Consumer:      key.consumer,
					Upstream:      upstream,
					AmountNanoUsd: min(at.inFlight.Nano(), 2*maxAmount.Nano()-2*money.NanoPerUSD),
				})
			}
		}
	}
	return messages
}

// takePulse does what the ledger's answer to a heartbeat asks for, and gives back what nobody here needs.
func (c *Client) takePulse(response *ledgerpb.HeartbeatResponse) {
	versions := make(map[Route]int64, len(response.GetVersions()))
	for _, one := range response.GetVersions() {
		versions[Route{Namespace: one.GetRoute().GetNamespace(), Name: one.GetRoute().GetName()}] = one.GetVersion()
	}
	owed := c.book.owed()
	c.mu.Lock()
	now := c.options.Now()
	c.hearClock(now, response.GetNow())
	if owed == 0 {
		c.purse.forgetLeases(now)
	}
	var returned []charge //nolint:prealloc // Mostly nothing goes back.
	for _, route := range c.purse.outdated(versions) {
		returned = append(returned, c.purse.forgetRoute(now, route)...)
	}
	for _, lease := range response.GetRecall() {
		returned = append(returned, c.purse.recall(now, lease)...)
	}
	returned = append(returned, c.purse.tidy(now)...)
	c.mu.Unlock()
	c.giveBack(returned)
}

// hearClock notes the ledger's clock. The caller holds the mutex.
func (c *Client) hearClock(now time.Time, said *timestamppb.Timestamp) {
	if said != nil {
		c.clock, c.heardAt = said.AsTime(), now
	}
}

// paced turns the outcome of a heartbeat or an opening into the pause before the next, and logs the first failure and the recovery.
func (c *Client) paced(err error) time.Duration {
	if err != nil {
		if !c.failing {
			c.logger.Warn("the ledger does not answer; trying again", slog.Any("error", err))
		}
		c.failing = true
		return retryPause
	}
	if c.failing {
		c.logger.Info("the ledger answers again")
	}
	c.failing = false
	if current := c.currentSession(); current != nil {
		return current.interval
	}
	return 0
}

// openSession opens a session and announces what is served right away, so that the ledger never has to wait a heartbeat to know it.
func (c *Client) openSession(ctx context.Context, routes []Route) error {
	response, err := c.callOpen(ctx, c.journal.ProxyID(), routes)
	if err != nil {
		return err
	}
	var again time.Time
	if left := response.GetLeftOut(); len(left) > 0 {
		again = c.options.Now().Add(leftOutPause)
		c.logger.Warn("the ledger has left routes out, since it is not told yet that this proxy serves them",
			slog.Int("routes", len(left)), slog.String("first", left[0].GetNamespace()+"/"+left[0].GetName()))
	}
	applied := uint64(max(response.GetApplied(), 0))
	if err := c.book.startAt(applied); err != nil {
		return c.astray(err, applied)
	}
	opened := &session{
		pb: response.GetSession(), routes: slices.Clone(routes), interval: response.GetHeartbeatInterval().AsDuration(), again: again,
	}
	c.mu.Lock()
	c.hearClock(c.options.Now(), response.GetNow())
	c.mu.Unlock()
	c.setSession(opened)
	c.logger.Info("session with the ledger opened", slog.Int64("epoch", opened.pb.GetEpoch()))
	wake(c.wake)
	wake(c.owe)
	wake(c.want)
	return nil
}

func (c *Client) callOpen(ctx context.Context, proxyID string, routes []Route) (*ledgerpb.OpenSessionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	authorized, err := c.authorized(ctx)
	if err != nil {
		return nil, err
	}
	request := &ledgerpb.OpenSessionRequest{ProxyId: proxyID, Instance: c.options.Instance}
	for _, route := range routes {
		request.Routes = append(request.Routes, &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name})
	}
	response, err := c.rpc.OpenSession(authorized, request)
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	return response, nil
}

// authorized returns ctx with the bearer token that OpenSession and Draw need.
func (c *Client) authorized(ctx context.Context) (context.Context, error) {
	token, err := c.options.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the token for the ledger: %w", err)
	}
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+token)
	return ctx, nil
}

func (c *Client) currentSession() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// awaitSession returns the current session, or waits for Run to open one.
func (c *Client) awaitSession(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		current, changed := c.session, c.sessionChanged
		c.mu.Unlock()
		if current != nil {
			return current, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a session with the ledger: %w", ctx.Err())
		case <-changed:
		}
	}
}

func (c *Client) setSession(next *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = next
	c.opened = c.opened || next != nil
	close(c.sessionChanged)
	c.sessionChanged = make(chan struct{})
}

// dropIfUnknown forgets a session that the ledger no longer knows, so that Run opens another.
func (c *Client) dropIfUnknown(used *session, err error) {
	if connect.CodeOf(err) != connect.CodeNotFound || c.currentSession() != used {
		return
	}
	c.logger.Warn("the ledger does not know the session any more; opening another", slog.Any("error", err))
	c.setSession(nil)
	wake(c.wake)
}
