package proxy

import (
	"cmp"
	"time"
)

// ClientTimes bound how long clients may take, so that none of them can keep what others need. A 0 is the default.
type ClientTimes struct {
	// Header is for a request's header; by default 10 seconds.
	Header time.Duration
	// Body is for a request's whole body; by default 2 minutes.
	Body time.Duration
	// Write is for a client to accept what is sent to it, before it counts as gone; by default 30 seconds.
	Write time.Duration
	// Idle is how long a connection is kept without a request; by default 5 minutes: longer than the load balancers before us keep theirs,
	// so that they close it and do not send into a connection that closes.
	Idle time.Duration
}

func (t ClientTimes) orDefault() ClientTimes {
	return ClientTimes{
		Header: cmp.Or(t.Header, 10*time.Second),
		Body:   cmp.Or(t.Body, 2*time.Minute),
		Write:  cmp.Or(t.Write, 30*time.Second),
		Idle:   cmp.Or(t.Idle, 5*time.Minute),
	}
}
