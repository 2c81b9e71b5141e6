package plainhttp

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"time"
)

// host has the connections to one address that are kept, the oldest in front.
type host struct {
	kept []*connection
	// swept is true while a sweep is to come.
	swept bool
}

// keep puts a connection aside for the next request.
func (t *Transport) keep(c *connection) {
	c.freeAt = t.Now()
	t.mutex.Lock()
	defer t.mutex.Unlock()
	found := t.idle[c.address]
	if found == nil {
		found = &host{}
		if t.idle == nil {
			t.idle = map[string]*host{}
		}
		t.idle[c.address] = found
	}
	if len(found.kept) >= t.MaxIdle {
		c.close()
		return
	}
	found.kept = append(found.kept, c)
	if !found.swept {
		found.swept = true
		time.AfterFunc(t.IdleLife, func() { t.sweep(c.address) })
	}
}

// kept returns the connection to an address that was put aside last and is still good; nil if there is none.
func (t *Transport) kept(address string) *connection {
	for {
		last := t.take(address)
		if last == nil || t.Now().Sub(last.freeAt) < t.IdleLife && last.alive() {
			return last
		}
		last.close()
	}
}

func (t *Transport) take(address string) *connection {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	found := t.idle[address]
	if found == nil || len(found.kept) == 0 {
		return nil
	}
	end := len(found.kept) - 1
	last := found.kept[end]
	found.kept[end] = nil
	found.kept = found.kept[:end]
	return last
}

// sweep closes what was kept for too long, and comes back for what is still kept.
func (t *Transport) sweep(address string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	found, now := t.idle[address], t.Now()
	if found == nil {
		return
	}
	old := 0
	for old < len(found.kept) && now.Sub(found.kept[old].freeAt) >= t.IdleLife {
		found.kept[old].close()
		old++
	}
	found.kept = slices.Delete(found.kept, 0, old)
	if len(found.kept) == 0 {
		delete(t.idle, address)
		return
	}
	time.AfterFunc(t.IdleLife-now.Sub(found.kept[0].freeAt), func() { t.sweep(address) })
}

// CloseIdleConnections closes the connections that are kept.
func (t *Transport) CloseIdleConnections() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, found := range t.idle {
		for _, c := range found.kept {
			c.close()
		}
	}
	t.idle = nil
}

// errUnasked means that the other side said something that nobody asked for.
var errUnasked = errors.New("something came without a request")

// alive reports whether the other side has neither closed the connection nor said anything. It does not wait.
func (c *connection) alive() bool {
	socket, is := c.socket.(syscall.Conn)
	if !is {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var state error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil && n == 0:
			state = io.EOF
		case err == nil:
			state = errUnasked
		case !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			state = err
		}
		return true
	})
	return err == nil && state == nil
}
