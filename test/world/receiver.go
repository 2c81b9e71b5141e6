package world

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
)

// Received is a request that the upstream got.
type Received struct {
	Header http.Header
	Body   string
}

// receiver remembers what the upstream got.
type receiver struct {
	next http.Handler

	mutex    sync.Mutex
	requests []Received
	// instead answers in the upstream's place where it is set.
	instead http.HandlerFunc
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	r.mutex.Lock()
	r.requests = append(r.requests, Received{Header: request.Header.Clone(), Body: string(body)})
	instead := r.instead
	r.mutex.Unlock()
	if instead != nil {
		instead(w, request)
		return
	}
	r.next.ServeHTTP(w, request)
}

// AnswerWith answers in the upstream's place; nil gives the place back.
func (w *World) AnswerWith(handler http.HandlerFunc) {
	w.received.mutex.Lock()
	defer w.received.mutex.Unlock()
	w.received.instead = handler
}

// Received are the requests that the upstream got.
func (w *World) Received() []Received {
	w.received.mutex.Lock()
	defer w.received.mutex.Unlock()
	return slices.Clone(w.received.requests)
}

// Last is the last request that the upstream got.
func (w *World) Last() Received {
	w.t.Helper()
	all := w.Received()
	if len(all) == 0 {
		w.t.Fatal("the upstream got no request")
	}
	return all[len(all)-1]
}

// connections knows which of the upstream's connections are at work.
type connections struct {
	mutex  sync.Mutex
	active map[net.Conn]bool
}

func newConnections() *connections { return &connections{active: map[net.Conn]bool{}} }

func (c *connections) changed(connection net.Conn, state http.ConnState) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if state == http.StateActive {
		c.active[connection] = true
	} else {
		delete(c.active, connection)
	}
}

// Busy is how many of the upstream's connections have a request.
func (w *World) Busy() int {
	w.busy.mutex.Lock()
	defer w.busy.mutex.Unlock()
	return len(w.busy.active)
}
