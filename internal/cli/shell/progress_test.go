package shell

import (
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// terminal hands over what is written to it, piece by piece.
type terminal chan string

func (t terminal) Write(text []byte) (int, error) {
	t <- string(text)
	return len(text), nil
}

func newFollowed() (*Shell, terminal, *testclock.FakeClock) {
	screen, clock := make(terminal, 10), testclock.NewFakeClock(time.Unix(0, 0))
	return &Shell{Diagnostics: screen, Clock: clock, Followed: true}, screen, clock
}

func TestWhoWaitsIsToldWhatIsBeingDoneAndTheLineIsGoneAtTheEnd(t *testing.T) {
	s, screen, clock := newFollowed()
	progress := s.Progress("Reading")
	clock.Step(time.Second)
	if got := <-screen; got != "\r\x1b[KReading ..." {
		t.Errorf("after a second the line is %q", got)
	}
	progress.Say("Reading route %d of %d", 7, 9)
	clock.Step(time.Second)
	if got := <-screen; got != "\r\x1b[KReading route 7 of 9 ..." {
		t.Errorf("after another one it is %q", got)
	}
	progress.End()
	progress.End()
	if got := <-screen; got != "\r\x1b[K" || len(screen) > 0 {
		t.Errorf("at the end %q is written, and %d more", got, len(screen))
	}
}

func TestWhatIsQuickHasNoProgress(t *testing.T) {
	s, screen, clock := newFollowed()
	progress := s.Progress("Reading")
	clock.Step(time.Second - 1)
	progress.End()
	if len(screen) > 0 {
		t.Errorf("%q is written", <-screen)
	}
}

func TestWhereNobodyReadsThereIsNoProgress(t *testing.T) {
	s, screen, clock := newFollowed()
	s.Followed = false
	progress := s.Progress("Reading")
	progress.Say("Reading on")
	if clock.HasWaiters() {
		t.Error("it waits for a time to write")
	}
	progress.End()
	if len(screen) > 0 {
		t.Errorf("%q is written", <-screen)
	}
}
