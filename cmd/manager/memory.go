package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// roomForGarbage is how much garbage there may be before it is collected, in bytes, while that is not more than what is in use, nor
	// less than leastGarbage of it, in percent. Most of what is in use are caches, which grow with the number of routes: as much garbage
	// again, as is usual, would be too much with thousands of them, and looking for little of it among much else takes time.
	roomForGarbage = 48 << 20
	leastGarbage   = 30
	// memoryShare is the part of the container's memory limit near which it is collected whatever that costs.
	memoryShare = 0.9
	// paceInterval is how often it is decided anew how much garbage there may be.
	paceInterval = 2 * time.Second
)

// keepSmall tells Go how much memory to use until ctx ends, where GOGC and GOMEMLIMIT do not.
func keepSmall(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		go paceGarbage(ctx)
	}
	// Where there is no limit there is none to keep to.
	_, _ = memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup))
}

func paceGarbage(ctx context.Context) {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(paceInterval)
	defer ticker.Stop()
	for set := 0; ; {
		metrics.Read(inUse)
		if percent := garbagePercent(inUse[0].Value.Uint64()); percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// garbagePercent is how much garbage there may be, in percent of the bytes that are in use.
func garbagePercent(inUse uint64) int {
	if inUse <= roomForGarbage {
		return 100
	}
	return max(leastGarbage, int(roomForGarbage*100/inUse)) //nolint:gosec // Less than 100.
}
