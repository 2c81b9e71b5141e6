package main

import (
	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/modelroute/modelroute/internal/gcpace"
)

const (
	// garbage is how much of it, in bytes, there may be before it is collected, however little is in use. Most of what is in use are
	// caches, which grow with the number of routes.
	garbage = 48 << 20
	// memoryShare is the part of the container's memory limit near which it is collected whatever that costs.
	memoryShare = 0.9
)

// keepSmall tells Go how much memory to use, where GOGC and GOMEMLIMIT do not.
func keepSmall() {
	gcpace.Keep(garbage)
	// Where there is no limit there is none to keep to.
	_, _ = memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup))
}
