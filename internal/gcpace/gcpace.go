// Package gcpace decides how much garbage a program may have before it is collected. By Go's default that is as much as is in use: a proxy
// that has little in use, and makes kilobytes of garbage with each request, collects dozens of times a second for nothing, and one that
// holds thousands of streams has as much garbage as streams.
package gcpace

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// floor is the garbage, in bytes, that there may be however little is in use.
	floor = 24 << 20
	// least is the garbage that there may be however much is in use, in percent of that, and most the other bound.
	least, most = 33, 400
)

// Keep keeps the pace from now on, until the process ends. It does nothing where the environment sets GOGC, whose meaning stays.
func Keep() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(most)
	follow(most)
}

// follow sets the pace anew after each collection, by what that left in use.
func follow(now int) {
	// The cleanup runs once a collection has found that nobody has this.
	runtime.AddCleanup(&struct{ self *int }{}, func(now int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		// To set it stops the world for a moment, so it is not done for a trifle.
		if next := percent(live[0].Value.Uint64()); next < now*9/10 || next > now*11/10 {
			debug.SetGCPercent(next)
			now = next
		}
		follow(now)
	}, now)
}

// percent is how much garbage there may be beside so many bytes in use, in percent of these.
func percent(live uint64) int {
	return int(min(max(floor*100/max(live, 1), least), most))
}
