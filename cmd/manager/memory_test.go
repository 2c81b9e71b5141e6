package main

import "testing"

func TestThereMayBeAsMuchGarbageAsThereIsRoomFor(t *testing.T) {
	for inUse, want := range map[uint64]int{
		0: 100, 1 << 20: 100, roomForGarbage: 100, 2 * roomForGarbage: 50, 3 * roomForGarbage: 33, 100 * roomForGarbage: leastGarbage,
	} {
		if got := garbagePercent(inUse); got != want {
			t.Errorf("with %d bytes in use there may be %d percent, want %d", inUse, got, want)
		}
	}
}
