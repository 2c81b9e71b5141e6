package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// plainAnswer is what the upstream says to a request that wants no stream: what a short answer of OpenRouter looks like.
var plainAnswer = func() []byte {
	body := `{"id":"gen-bench","object":"chat.completion","created":1795427904,"model":"` + upstreamModel + `","provider":"Bench",` +
		`"choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("Entangled particles share one state. ", 12) +
		`"},"finish_reason":"stop","native_finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":120,"completion_tokens":84,"total_tokens":204,"cost":0.000744}}`
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Generation-Id: gen-bench\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body)
}()

const streamHeader = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Generation-Id: gen-bench\r\n" +
	"Transfer-Encoding: chunked\r\n\r\n"

// fastUpstream answers every request at once: with the plain answer, or with as many frames at such a pace as the prompt asks for.
type fastUpstream struct {
	poller   *poller
	listener int
	sessions map[int32]*session
	// paced are the streams that have frames to come, in the order in which the next are due: all that run at a time have one pace.
	paced  []*stream
	buffer [64 << 10]byte
	out    []byte
}

// session is one connection.
type session struct {
	fd      int
	request []byte
	gone    bool
}

// stream is an answer with frames to come.
type stream struct {
	*session
	next, frames int
	pace         time.Duration
	due          int64
}

// serveFast announces where it listens and serves until the process ends.
func serveFast() error {
	debug.SetGCPercent(-1) // It allocates little, and no collection shall be in any figure.
	debug.SetMemoryLimit(1 << 30)
	u := &fastUpstream{sessions: map[int32]*session{}}
	address, err := u.listen()
	if err != nil {
		return err
	}
	if err := rig.Announce(rig.Addresses{Address: address}); err != nil {
		return err
	}
	for {
		events, err := u.poller.wait(u.patience())
		if err != nil {
			return err
		}
		for _, event := range events {
			if err := u.ready(event.Fd); err != nil {
				return err
			}
		}
		u.sendDue()
	}
}

func (u *fastUpstream) listen() (string, error) {
	var err error
	if u.poller, err = newPoller(); err != nil {
		return "", err
	}
	if u.listener, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return "", fmt.Errorf("making a socket: %w", err)
	}
	if err = syscall.Bind(u.listener, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = syscall.Listen(u.listener, 4096)
	}
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	bound, err := syscall.Getsockname(u.listener)
	at, isIP := bound.(*syscall.SockaddrInet4)
	if err != nil || !isIP {
		return "", fmt.Errorf("finding the port: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.Port), u.poller.add(u.listener)
}

// patience is how long until the next frame is due.
func (u *fastUpstream) patience() time.Duration {
	if len(u.paced) == 0 {
		return -1
	}
	return max(0, time.Duration(u.paced[0].due-now()))
}

func (u *fastUpstream) ready(fd int32) error {
	if int(fd) == u.listener {
		return u.accept()
	}
	s := u.sessions[fd]
	if s == nil {
		return nil
	}
	n, open := readSome(s.fd, u.buffer[:])
	if !open {
		u.close(s)
		return nil
	}
	s.request = append(s.request, u.buffer[:n]...)
	if body, whole := bodyOf(s.request); whole {
		u.answer(s, body)
		s.request = s.request[:0]
	}
	return nil
}

func (u *fastUpstream) accept() error {
	fd, _, err := syscall.Accept4(u.listener, syscall.SOCK_CLOEXEC)
	if err != nil {
		return nil //nolint:nilerr // Whoever connected is gone again.
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	u.sessions[int32(fd)] = &session{fd: fd} //nolint:gosec // Descriptors are small.
	return u.poller.add(fd)
}

func (u *fastUpstream) close(s *session) {
	if !s.gone {
		s.gone = true
		delete(u.sessions, int32(s.fd)) //nolint:gosec // Descriptors are small.
		_ = syscall.Close(s.fd)
	}
}

// bodyOf finds the body of a request, if all of it has come. Requests have a length: whoever forwards them knows it.
func bodyOf(request []byte) ([]byte, bool) {
	head, body, found := bytes.Cut(request, []byte("\r\n\r\n"))
	if !found {
		return nil, false
	}
	_, length, _ := bytes.Cut(bytes.ToLower(head), []byte("\r\ncontent-length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	size, _ := strconv.Atoi(string(length))
	return body, len(body) >= size
}

func (u *fastUpstream) answer(s *session, body []byte) {
	frames, pace := paceOf(body)
	if frames == 0 {
		u.write(s, plainAnswer)
		return
	}
	begun := &stream{session: s, frames: frames, pace: pace, due: now()}
	u.out = append(u.out[:0], streamHeader...)
	u.sendFrame(begun)
}

// sendFrame sends the next frame of a stream, with the end of it if it is the last.
func (u *fastUpstream) sendFrame(s *stream) {
	u.out = appendFrame(u.out, s.next, now())
	if s.next++; s.next == s.frames {
		u.out = appendEnd(u.out, s.frames)
	} else {
		s.due += int64(s.pace)
		u.paced = append(u.paced, s)
	}
	u.write(s.session, u.out)
}

func (u *fastUpstream) sendDue() {
	for len(u.paced) > 0 && u.paced[0].due <= now() {
		next := u.paced[0]
		u.paced = u.paced[1:]
		if !next.gone {
			u.out = u.out[:0]
			u.sendFrame(next)
		}
	}
}

func (u *fastUpstream) write(s *session, content []byte) {
	if writeAll(s.fd, content) != nil {
		u.close(s)
	}
}

// The prompt says what the upstream is to do: "frames=20 pace=2ms." is a stream.
const (
	framesMark = "frames="
	paceMark   = "pace="
)

// paceOf reads how many frames are asked for; none is the plain answer.
func paceOf(body []byte) (frames int, pace time.Duration) {
	frames, _ = strconv.Atoi(wordAfter(body, framesMark))
	pace, _ = time.ParseDuration(wordAfter(body, paceMark))
	return frames, pace
}

func wordAfter(body []byte, mark string) string {
	_, rest, _ := bytes.Cut(body, []byte(mark))
	word, _, _ := bytes.Cut(rest[:min(len(rest), 32)], []byte(";"))
	return string(word)
}
