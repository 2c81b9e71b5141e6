package main

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// link is the state of the network between a proxy and the ledger.
type link int

const (
	linkUp link = iota
	// linkCut breaks connections and lets none be made.
	linkCut
	// linkStalled keeps connections and lets nothing through, as a network that drops packets does. What was sent arrives later.
	linkStalled
	// linkDeaf lets calls through and loses their answers. Connections break when it ends.
	linkDeaf
)

// relay is the network between one proxy and the ledgers.
type relay struct {
	listener net.Listener
	// target says where a new connection goes; empty for nowhere.
	target func() string

	mu    sync.Mutex
	state link
	// changed is closed when the state changes.
	changed     chan struct{}
	connections map[net.Conn]struct{}
	running     sync.WaitGroup
}

func newRelay(ctx context.Context, target func() string) (*relay, error) {
	listener, err := rig.Listen(ctx)
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, target: target, changed: make(chan struct{}), connections: map[net.Conn]struct{}{}}
	r.running.Go(func() { r.accept(ctx) })
	return r, nil
}

func (r *relay) accept(ctx context.Context) {
	for {
		from, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.running.Go(func() { r.join(ctx, from) })
		}
	}
}

// join carries one connection.
func (r *relay) join(ctx context.Context, from net.Conn) {
	defer from.Close()
	address := r.target()
	if address == "" || !r.add(from) {
		return
	}
	defer r.drop(from)
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	if !r.add(to) {
		return
	}
	defer r.drop(to)
	var calls sync.WaitGroup
	calls.Go(func() { r.carry(from, to, false) })
	r.carry(to, from, true)
	calls.Wait()
}

// carry moves bytes one way until either end is gone, which ends the other way as well.
func (r *relay) carry(from, to net.Conn, answers bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && r.pass(answers) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the link is stalled, and reports whether what was read goes on.
func (r *relay) pass(answers bool) bool {
	for {
		r.mu.Lock()
		state, changed := r.state, r.changed
		r.mu.Unlock()
		switch state {
		case linkUp:
			return true
		case linkDeaf:
			return !answers
		case linkCut:
			return false
		case linkStalled:
			<-changed
		}
	}
}

func (r *relay) add(connection net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == linkCut {
		return false
	}
	r.connections[connection] = struct{}{}
	return true
}

func (r *relay) drop(connection net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.connections, connection)
}

// set changes the state of the network.
func (r *relay) set(state link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if state == linkCut || r.state == linkDeaf {
		for connection := range r.connections {
			connection.Close()
		}
	}
	r.state = state
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *relay) close() {
	r.listener.Close()
	r.set(linkCut)
	r.running.Wait()
}
