// Package gcpace decides how much garbage a program may have before it is collected. By Go's default that is as much as is in use: a proxy
// that has little in use, and makes kilobytes of garbage with each request, collects dozens of times a second for nothing, and one that
// holds thousands of streams has as much garbage as streams. So it is with a manager, its work and its caches.
package gcpace

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// least is the garbage that there may be however much is in use, in percent of that, and most the other bound.
const least, most = 33, 400

// Keep keeps the pace from now on, until the process ends: floor is the garbage, in bytes, that there may be however little is in use. It
// does nothing where the environment sets GOGC, whose meaning stays.
func Keep(floor uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(most)
	follow(pace{floor: floor, now: most})
}

// pace is the percentage that is in force, and what it is decided by.
type pace struct {
	floor uint64
	now   int
}

// follow sets the pace anew after each collection, by what that left in use.
func follow(at pace) {
	// The cleanup runs once a collection has found that nobody has this.
	runtime.AddCleanup(&struct{ self *int }{}, func(at pace) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		// To set it stops the world for a moment, so it is not done for a trifle.
		if next := percent(at.floor, live[0].Value.Uint64()); next < at.now*9/10 || next > at.now*11/10 {
			debug.SetGCPercent(next)
			at.now = next
		}
		follow(at)
	}, at)
}

// percent is how much garbage there may be beside so many bytes in use, in percent of these.
func percent(floor, live uint64) int {
	return int(min(max(floor*100/max(live, 1), least), most))
}
