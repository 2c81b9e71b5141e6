//go:build profile

package main

import (
	"net/http"
	_ "net/http/pprof" // Profiles are for whoever builds this on purpose, on the machine itself.
	"runtime"
)

// profileAddress is where a proxy built with -tags profile shows its profiles.
const profileAddress = "127.0.0.1:6060"

func init() {
	runtime.SetMutexProfileFraction(100)
	go func() { _ = http.ListenAndServe(profileAddress, nil) }() //nolint:gosec // It ends with the process.
}
