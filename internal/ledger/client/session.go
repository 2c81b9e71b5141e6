package client

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
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
)

// session is what the ledger issued, and for which routes.
type session struct {
	pb       *ledgerpb.Session
	routes   []Route
	interval time.Duration
}

// Run keeps a session with the ledger open, says that the proxy lives and sends what is owed, until ctx ends. Without it no money
// can be held. It is called once.
func (c *Client) Run(ctx context.Context) {
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		c.settleUntil(ctx)
	}()
	defer func() { <-settled }()
	for ctx.Err() == nil {
		pause := c.beat(ctx)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-time.After(pause):
		}
	}
}

// ConfigChanged makes Run report the new configuration at once instead of with the next heartbeat.
func (c *Client) ConfigChanged() { c.wakeRun() }

func (c *Client) wakeRun() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

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
	if current == nil || !slices.Equal(current.routes, routes) {
		return c.paced(c.open(ctx, routes))
	}
	request := &ledgerpb.HeartbeatRequest{Session: current.pb, ConfigHash: c.options.ConfigHash(), SettledBelow: c.settledBelow()}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Heartbeat(ctx, request)
	c.dropIfUnknown(current, err)
	return c.paced(err)
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

// open asks for a session and announces what is served right away, so that the ledger never has to wait a heartbeat to know it.
func (c *Client) open(ctx context.Context, routes []Route) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	authorized, err := c.authorized(ctx)
	if err != nil {
		return err
	}
	request := &ledgerpb.OpenSessionRequest{ProxyId: c.options.ProxyID, Instance: c.options.Instance}
	for _, route := range routes {
		request.Routes = append(request.Routes, &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name})
	}
	response, err := c.rpc.OpenSession(authorized, request)
	if err != nil {
		return fmt.Errorf("opening a session: %w", err)
	}
	opened := &session{pb: response.GetSession(), routes: slices.Clone(routes), interval: response.GetHeartbeatInterval().AsDuration()}
	c.setSession(opened)
	c.logger.Info("session with the ledger opened", slog.Int64("epoch", opened.pb.GetEpoch()))
	c.wakeRun()
	return nil
}

// authorized returns ctx with the bearer token that OpenSession and Reserve need.
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
	c.wakeRun()
}
