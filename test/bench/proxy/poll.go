package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// poller waits until there is something to read from any of many sockets. Load generator and upstream are one thread each on top of it, so
// that of the cores that everything shares they take as little as they can.
type poller struct {
	fd     int
	events [256]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a poller: %w", err)
	}
	return &poller{fd: fd}, nil
}

// add watches a socket, which never blocks from now on.
func (p *poller) add(fd int) error {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("making a socket non-blocking: %w", err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)} //nolint:gosec // Descriptors are small.
	if err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watching a socket: %w", err)
	}
	return nil
}

// wait returns the events that there are, none if there were none for as long as that or a signal came; less than zero is forever.
func (p *poller) wait(patience time.Duration) ([]syscall.EpollEvent, error) {
	milliseconds := -1
	if patience >= 0 {
		milliseconds = int((patience + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := syscall.EpollWait(p.fd, p.events[:], milliseconds)
	if errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for sockets: %w", err)
	}
	return p.events[:n], nil
}

// readSome reads once. It reports false if the other end is gone.
func readSome(fd int, into []byte) (n int, open bool) {
	n, err := syscall.Read(fd, into)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, true
	case err != nil || n <= 0:
		return 0, false
	}
	return n, true
}

// writeAll writes what fits into the socket's buffer, which has to be all: whoever does not read that much is not waited for.
func writeAll(fd int, content []byte) error {
	n, err := syscall.Write(fd, content)
	if err == nil && n < len(content) {
		err = syscall.EAGAIN
	}
	if err != nil {
		return fmt.Errorf("writing %d bytes: %w", len(content), err)
	}
	return nil
}

// now is the time that stamps are made of and compared by, in nanoseconds; it is one clock for all processes.
func now() int64 { return time.Now().UnixNano() }
