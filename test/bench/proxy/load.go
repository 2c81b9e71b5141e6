package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// job is what the load generator is told to do.
type job struct {
	Address string `json:"address"`
	Key     string `json:"key"`
	// Connections are how many clients there are; each makes one request after the other.
	Connections int `json:"connections"`
	// Frames and Pace are those of streams; without frames plain answers are asked for.
	Frames int           `json:"frames"`
	Pace   time.Duration `json:"pace"`
	// WarmUp is how long requests are made that do not count, Length how long those are begun that do. A length of zero is one request for
	// each connection, all of which count; Ramp is over how long they begin.
	WarmUp time.Duration `json:"warmUp"`
	Length time.Duration `json:"length"`
	Ramp   time.Duration `json:"ramp"`
}

// outcome is what came of a job.
type outcome struct {
	// Requests were answered as they should, in Elapsed; Failures were not, of which Example is one.
	Requests int           `json:"requests"`
	Elapsed  time.Duration `json:"elapsed"`
	Failures int           `json:"failures"`
	Example  string        `json:"example,omitempty"`
	// Latency is from the sending of a request to the end of its answer, First to the first frame, and Delay from the upstream's sending of
	// a frame to its coming, but for first frames.
	Latency quantiles `json:"latency"`
	First   quantiles `json:"first"`
	Delay   quantiles `json:"delay"`
	// Frames came, Lost did not, or in the wrong order.
	Frames int `json:"frames"`
	Lost   int `json:"lost"`
}

// quantiles are in nanoseconds.
type quantiles struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
}

func quantilesOf(samples []int64) quantiles {
	if len(samples) == 0 {
		return quantiles{}
	}
	slices.Sort(samples)
	return quantiles{P50: samples[len(samples)/2], P99: samples[len(samples)*99/100]}
}

// loader is the load generator.
type loader struct {
	job     job
	poller  *poller
	clients map[int32]*caller
	request []byte
	// counting is when requests begin to count, until when none begin any more; both 0 if each client makes one.
	counting, until       int64
	latency, first, delay []int64
	outcome               outcome
	buffer                [64 << 10]byte
}

// caller is one connection.
type caller struct {
	fd     int
	began  int64
	answer answer
	frames frameReader
	got    int
}

// runLoad does the job that comes as JSON, and says what came of it.
func runLoad(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(-1) // It ends soon, and no collection shall be in any figure.
	debug.SetMemoryLimit(1 << 30)
	l := &loader{clients: map[int32]*caller{}}
	if err := json.NewDecoder(in).Decode(&l.job); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	l.request = requestOf(l.job)
	var err error
	if l.poller, err = newPoller(); err != nil {
		return err
	}
	if err := l.run(); err != nil {
		return err
	}
	l.outcome.Latency, l.outcome.First, l.outcome.Delay = quantilesOf(l.latency), quantilesOf(l.first), quantilesOf(l.delay)
	return json.NewEncoder(out).Encode(l.outcome)
}

// requestOf is the request that every client makes.
func requestOf(j job) []byte {
	task, stream := "Explain quantum entanglement in one sentence.", ""
	if j.Frames > 0 {
		task += fmt.Sprintf(" %s%d; %s%s;", framesMark, j.Frames, paceMark, j.Pace)
		stream = `"stream":true,`
	}
	body := fmt.Sprintf(`{"model":%q,%s"temperature":0.7,"top_p":0.9,"max_completion_tokens":256,"stop":["\n\n\n"],"messages":[`+
		`{"role":"system","content":"You are a patient teacher of physics. %s"},{"role":"user","content":"%s"}]}`,
		routeName, stream, strings.Repeat("You answer briefly, exactly and in plain words. ", 8), task)
	head := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n",
		j.Address, j.Key, len(body))
	return []byte(head + body)
}

// patience is how long nothing may come before the rest counts as failed.
const patience = 20 * time.Second

func (l *loader) run() error {
	if err := l.connectAll(); err != nil {
		return err
	}
	began := now()
	if l.job.Length > 0 {
		l.counting = began + int64(l.job.WarmUp)
		l.until = l.counting + int64(l.job.Length)
	}
	waiting := make([]*caller, 0, len(l.clients))
	for _, one := range l.clients {
		waiting = append(waiting, one)
	}
	heard := began
	for total := len(waiting); len(l.clients) > 0; {
		wait := time.Second
		if len(waiting) > 0 {
			due := began + int64(l.job.Ramp)*int64(total-len(waiting))/int64(total)
			if wait = time.Duration(due - now()); wait <= 0 {
				l.begin(waiting[0])
				waiting = waiting[1:]
				wait = 0
			}
		}
		events, err := l.poller.wait(wait)
		if err != nil {
			return err
		}
		if len(events) > 0 || len(waiting) > 0 {
			heard = now()
		}
		if time.Duration(now()-heard) > patience {
			return fmt.Errorf("%d clients wait in vain", len(l.clients))
		}
		for _, event := range events {
			l.ready(l.clients[event.Fd])
		}
	}
	l.outcome.Elapsed = time.Duration(now() - max(began, l.counting))
	return nil
}

func (l *loader) connectAll() error {
	at, err := net.ResolveTCPAddr("tcp4", l.job.Address)
	if err != nil {
		return fmt.Errorf("reading the address: %w", err)
	}
	for range l.job.Connections {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("making a socket: %w", err)
		}
		if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
			return fmt.Errorf("connecting to %s: %w", l.job.Address, err)
		}
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		if err := l.poller.add(fd); err != nil {
			return err
		}
		l.clients[int32(fd)] = &caller{fd: fd} //nolint:gosec // Descriptors are small.
	}
	return nil
}

// begin makes a client's next request.
func (l *loader) begin(c *caller) {
	c.answer.reset()
	c.frames.reset()
	c.got = 0
	c.began = now()
	if err := writeAll(c.fd, l.request); err != nil {
		l.fail(c, err)
	}
}

// ready reads what has come for a client.
func (l *loader) ready(c *caller) {
	if c == nil {
		return
	}
	n, open := readSome(c.fd, l.buffer[:])
	if !open {
		l.fail(c, errors.New("the connection broke"))
		return
	}
	done, err := c.answer.feed(l.buffer[:n], func(part []byte) { l.read(c, part) })
	switch {
	case err != nil:
		l.fail(c, err)
	case done:
		l.end(c)
	}
}

// counts says whether a client's request is one that counts.
func (l *loader) counts(c *caller) bool { return c.began >= l.counting }

// read takes up a part of an answer's body.
func (l *loader) read(c *caller, part []byte) {
	if l.job.Frames == 0 {
		c.got += len(part)
		return
	}
	came := now()
	c.frames.feed(part, func(sent int64) {
		c.got++
		switch {
		case !l.counts(c):
		case c.got == 1:
			l.first = append(l.first, came-c.began)
		default:
			l.delay = append(l.delay, came-sent)
		}
	})
}

// end takes up an answer, and makes the client's next request if there is to be one.
func (l *loader) end(c *caller) {
	ended := now()
	if err := l.judge(c); err != nil {
		l.fail(c, err)
		return
	}
	if l.counts(c) {
		l.outcome.Requests++
		l.outcome.Frames += c.frames.next
		l.latency = append(l.latency, ended-c.began)
	}
	if ended >= l.until {
		l.leave(c)
		return
	}
	l.begin(c)
}

// judge says what is wrong with an answer.
func (l *loader) judge(c *caller) error {
	switch {
	case c.answer.status != 200:
		return fmt.Errorf("the answer has status %d", c.answer.status)
	case l.job.Frames == 0 && c.got == 0:
		return errors.New("the answer is empty")
	case l.job.Frames > 0 && (c.got != l.job.Frames || c.frames.wrong > 0 || !c.frames.done):
		return fmt.Errorf("%d of %d frames came, %d in the wrong order, and the end: %t",
			c.got, l.job.Frames, c.frames.wrong, c.frames.done)
	}
	return nil
}

func (l *loader) fail(c *caller, err error) {
	l.outcome.Failures++
	l.outcome.Example = err.Error()
	l.outcome.Frames += c.got
	l.outcome.Lost += max(0, l.job.Frames-c.got) + c.frames.wrong
	l.leave(c)
}

func (l *loader) leave(c *caller) {
	_ = syscall.Close(c.fd)
	delete(l.clients, int32(c.fd)) //nolint:gosec // Descriptors are small.
}
