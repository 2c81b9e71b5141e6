package logbatch

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelroute/modelroute/internal/syncbuffer"
)

func TestLinesThatComeTogetherAreWrittenTogetherAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &syncbuffer.Buffer{}
		w := New(log)
		for _, line := range []string{"one\n", "two\n"} {
			if _, err := w.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(delay - time.Millisecond)
		synctest.Wait()
		if log.String() != "" {
			t.Errorf("%q is written at once", log.String())
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := log.String(); got != "one\ntwo\n" {
			t.Errorf("after the delay the log is %q", got)
		}
		_, _ = w.Write([]byte("three\n"))
		time.Sleep(delay)
		synctest.Wait()
		if got := log.String(); got != "one\ntwo\nthree\n" {
			t.Errorf("after another line the log is %q", got)
		}
	})
}

func TestALogThatGrowsFastDoesNotWait(t *testing.T) {
	var log bytes.Buffer
	w := New(&log)
	_, _ = w.Write(bytes.Repeat([]byte("x"), most))
	if log.Len() != most {
		t.Errorf("%d of %d bytes are written", log.Len(), most)
	}
}

func TestNoLineIsLostOrTornWhenManyWrite(t *testing.T) {
	log := &syncbuffer.Buffer{}
	w := New(log)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 1000 {
				_, _ = w.Write([]byte("a line of a log\n"))
			}
		})
	}
	writers.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "a line of a log\n"); got != 8000 {
		t.Errorf("%d of 8000 lines came", got)
	}
}

type full struct{ io.Writer }

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestWhoeverClosesIsToldThatTheLastLinesAreLost(t *testing.T) {
	w := New(full{})
	_, _ = w.Write([]byte("line\n"))
	if w.Close() == nil {
		t.Error("nothing is said of it")
	}
}
