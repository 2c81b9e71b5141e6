package proxy

import (
	"net/http"
	"time"
)

// clientWriter sends an answer to a client that may go away at any time. Once it has gone, writing does nothing.
type clientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	// patience is how long the client may take to accept what is sent to it.
	patience time.Duration
	begun    bool
	gone     bool
	// left is called when the client turns out to have gone.
	left func()
}

func newClientWriter(w http.ResponseWriter, now func() time.Time, patience time.Duration) *clientWriter {
	return &clientWriter{w: w, control: http.NewResponseController(w), now: now, patience: patience, left: func() {}}
}

// header is the answer's header, which can be changed until begin.
func (c *clientWriter) header() http.Header { return c.w.Header() }

// begin sends the header.
func (c *clientWriter) begin(status int) {
	c.begun = true
	c.extend()
	c.w.WriteHeader(status)
}

// send passes content on at once.
func (c *clientWriter) send(content []byte) {
	if c.gone || len(content) == 0 {
		return
	}
	c.extend()
	_, err := c.w.Write(content)
	if err == nil {
		err = c.control.Flush()
	}
	if err != nil {
		c.gone = true
		c.left()
	}
}

// extend gives the client its time for the next write. net/http clears the deadline after the request.
func (c *clientWriter) extend() {
	// A connection without deadlines is bounded by the server's own timeouts.
	_ = c.control.SetWriteDeadline(c.now().Add(c.patience))
}
