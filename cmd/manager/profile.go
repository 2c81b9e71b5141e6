//go:build profile

package main

import (
	"net/http"
	_ "net/http/pprof" // Profiles are for whoever builds this on purpose, on the machine itself.
)

// profileAddress is where a manager built with -tags profile shows its profiles.
const profileAddress = "127.0.0.1:6061"

func init() {
	go func() { _ = http.ListenAndServe(profileAddress, nil) }() //nolint:gosec // It ends with the process.
}
