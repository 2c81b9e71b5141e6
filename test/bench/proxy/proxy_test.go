package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets this program be started again in a role, as the benchmark does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		main()
		return
	}
	m.Run()
}

func TestTheBenchmarkRunsToItsEndAndWritesItsSection(t *testing.T) {
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	var said bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-out", page}, &said); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range rows {
		if !strings.Contains(string(written), "\n| "+one.what) {
			t.Errorf("the page has no row %q:\n%s", one.what, written)
		}
	}
	frames := fmt.Sprintf(" %d (%[1]d – %[1]d) |", quickSizes.streams*quickSizes.frames)
	if got := strings.Count(string(written), frames); got != 4 {
		t.Errorf("%d of 4 ways brought all %d frames:\n%s", got, quickSizes.streams*quickSizes.frames, written)
	}
}

// chunked is an answer as the upstream gives it.
func chunked(frames int) []byte {
	out := []byte(streamHeader)
	for number := range frames {
		out = appendFrame(out, number, int64(1_000_000_000_000_000_000+number))
	}
	return appendEnd(out, frames)
}

func TestAnAnswerIsReadInWhateverPiecesItComes(t *testing.T) {
	const frames = 3
	for _, size := range []int{1, 2, 7, 100, 1 << 20} {
		t.Run(fmt.Sprintf("pieces of %d bytes", size), func(t *testing.T) {
			var a answer
			var reader frameReader
			var sent []int64
			whole := chunked(frames)
			done := false
			for len(whole) > 0 {
				piece := whole[:min(size, len(whole))]
				whole = whole[len(piece):]
				var err error
				done, err = a.feed(piece, func(part []byte) { reader.feed(part, func(at int64) { sent = append(sent, at) }) })
				if err != nil {
					t.Fatal(err)
				}
			}
			want := []int64{1_000_000_000_000_000_000, 1_000_000_000_000_000_001, 1_000_000_000_000_000_002}
			if diff := cmp.Diff(want, sent); diff != "" || !done || !reader.done || reader.wrong != 0 || a.status != 200 {
				t.Errorf("done %t, %t, %d wrong, status %d, frames (-want +got):\n%s", done, reader.done, reader.wrong, a.status, diff)
			}
		})
	}
}

func TestAPlainAnswerEndsByItsLength(t *testing.T) {
	var a answer
	got := 0
	done, err := a.feed(plainAnswer, func(part []byte) { got += len(part) })
	if err != nil || !done || got == 0 {
		t.Errorf("done %t, %v, %d bytes", done, err, got)
	}
	a.reset()
	if _, err := a.feed(append(slices.Clip(plainAnswer), 'x'), func([]byte) {}); err == nil {
		t.Error("a byte too many is not noticed")
	}
}

func TestFramesThatAreMissingOrOutOfOrderAreNoticed(t *testing.T) {
	var body []byte
	var a answer
	if _, err := a.feed(chunked(3), func(part []byte) { body = append(body, part...) }); err != nil {
		t.Fatal(err)
	}
	events := strings.SplitAfter(string(body), "\n\n")
	cases := map[string]string{
		"one is missing":  events[0] + events[2] + events[3],
		"two are swapped": events[1] + events[0] + events[2],
		"one comes twice": events[0] + events[0] + events[1] + events[2],
	}
	for reason, stream := range cases {
		t.Run(reason, func(t *testing.T) {
			var reader frameReader
			reader.feed([]byte(stream), func(int64) {})
			if reader.wrong == 0 {
				t.Error("nothing was noticed")
			}
		})
	}
}

func TestTheUpstreamReadsWhatToDoFromThePrompt(t *testing.T) {
	body, whole := bodyOf(requestOf(job{Address: "a", Frames: 20, Pace: shortPace}))
	if frames, pace := paceOf(body); !whole || frames != 20 || pace != shortPace {
		t.Errorf("%d frames, one each %s, from %q", frames, pace, body)
	}
	body, _ = bodyOf(requestOf(job{Address: "a"}))
	if frames, _ := paceOf(body); frames != 0 {
		t.Errorf("%d frames, want none", frames)
	}
	if _, whole := bodyOf([]byte("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1234")); whole {
		t.Error("a part of a body counts as all of it")
	}
}

func TestNonsenseOnTheCommandLineIsRefused(t *testing.T) {
	for _, arguments := range [][]string{{"-rounds", "-1"}, {"surprise"}, {"-surprise"}} {
		if _, err := parse(arguments, io.Discard); err == nil {
			t.Errorf("%q is accepted", arguments)
		}
	}
}
