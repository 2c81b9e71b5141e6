package main

import (
	"testing"

	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfFlagsHasThoseOfThePortal(t *testing.T) {
	pagetest.Check(t, "flags.md", map[string]string{"table portal": pagetest.Flags(new(flags).set())})
}
