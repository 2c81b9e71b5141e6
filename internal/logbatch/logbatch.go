// Package logbatch writes a log in batches: a line for each request is a system call for each request, and where a container's log is
// collected it wakes the collector each time.
package logbatch

import (
	"io"
	"sync"
	"time"
)

const (
	// delay is how long a line waits for others at most. Whoever follows the log does not notice, and a killed process loses no more.
	delay = 50 * time.Millisecond
	// most is how many bytes wait at most.
	most = 32 << 10
)

// Writer gathers what is written to it, and writes it together. It is safe for concurrent use.
type Writer struct {
	out io.Writer

	mu      sync.Mutex
	waiting []byte
	// timer runs while something waits.
	timer *time.Timer
	// failure is what the last write said; the next writer of a line is told.
	failure error
}

// New returns a Writer to out. Close writes what waits.
func New(out io.Writer) *Writer { return &Writer{out: out} }

// Write takes up a line.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.arm()
	}
	w.waiting = append(w.waiting, line...)
	if len(w.waiting) >= most {
		w.flush()
	}
	err := w.failure
	w.failure = nil
	return len(line), err
}

// arm has what waits written after the delay. The caller holds the mutex.
func (w *Writer) arm() {
	if w.timer != nil {
		w.timer.Reset(delay)
		return
	}
	w.timer = time.AfterFunc(delay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flush()
	})
}

// flush writes what waits. The caller holds the mutex.
func (w *Writer) flush() {
	if len(w.waiting) > 0 {
		_, w.failure = w.out.Write(w.waiting)
		w.waiting = w.waiting[:0]
	}
}

// Close writes what waits, and returns what went wrong with that.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	return w.failure
}
