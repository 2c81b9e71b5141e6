package shell

import (
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// progressInterval is how long nobody is told anything, and how often they are told from then on.
const progressInterval = time.Second

// clearLine goes back to where a terminal's line begins, and clears it (ECMA-48: EL).
const clearLine = "\r\x1b[K"

// Progress is one line that says what is being done, to a person for whom it takes longer than a second. It is written over and over, and
// is gone at the end. While there is one, nothing else is to be written to the terminal.
type Progress struct {
	out     io.Writer
	stopped chan struct{}
	writing sync.WaitGroup

	mu    sync.Mutex
	doing string
	shown bool
}

// Progress begins to tell what is being done, if a person reads Diagnostics. The caller ends it.
func (s *Shell) Progress(doing string) *Progress {
	p := &Progress{out: s.Diagnostics, stopped: make(chan struct{}), doing: doing}
	if s.Followed {
		ticker := s.Clock.NewTicker(progressInterval)
		p.writing.Go(func() { p.write(ticker) })
	}
	return p
}

// Say changes what is being done.
func (p *Progress) Say(format string, arguments ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = fmt.Sprintf(format, arguments...)
}

// End clears the line. There may be several ends: what failed halfway ends it as well.
func (p *Progress) End() {
	p.mu.Lock()
	select {
	case <-p.stopped:
	default:
		close(p.stopped)
	}
	p.mu.Unlock()
	p.writing.Wait()
}

func (p *Progress) write(ticker clock.Ticker) {
	defer ticker.Stop()
	for {
		select {
		case <-p.stopped:
			if p.shown {
				fmt.Fprint(p.out, clearLine)
			}
			return
		case <-ticker.C():
			p.mu.Lock()
			doing := p.doing
			p.mu.Unlock()
			fmt.Fprintf(p.out, "%s%s ...", clearLine, doing)
			p.shown = true
		}
	}
}
