package gcpace

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// floor is that of a proxy.
const floor = 24 << 20

func TestAProgramThatUsesLittleMayHaveMuchGarbageAndOneThatUsesMuchLittle(t *testing.T) {
	cases := map[string]struct {
		live uint64
		want int
	}{
		"nothing yet":        {0, most},
		"an idle proxy":      {4 << 20, most},
		"a busy proxy":       {12 << 20, 200},
		"a thousand streams": {80 << 20, least},
		"a million streams":  {48 << 30, least},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			if got := percent(floor, test.live); got != test.want {
				t.Errorf("%d bytes in use: %d %%, want %d %%", test.live, got, test.want)
			}
		})
	}
}

// current is the percentage that is in force.
func current() int {
	now := debug.SetGCPercent(-1)
	debug.SetGCPercent(now)
	return now
}

func TestThePaceFollowsWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(current())
	Keep(floor)
	if got := current(); got != most {
		t.Fatalf("at first %d %%, want %d %%", got, most)
	}
	used := make([]byte, 96<<20)
	for deadline := 0; current() != least; deadline++ {
		if deadline == 1000 {
			t.Fatalf("with %d bytes in use it stays at %d %%, want %d %%", len(used), current(), least)
		}
		runtime.GC()
		runtime.Gosched()
	}
	runtime.KeepAlive(used)
}

func TestWhatTheEnvironmentSaysIsLeftAlone(t *testing.T) {
	before := current()
	t.Setenv("GOGC", "123")
	Keep(floor)
	if got := current(); got != before {
		t.Errorf("it was %d %% and is %d %%", before, got)
	}
}
