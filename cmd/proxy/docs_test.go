package main

import (
	"testing"

	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfFlagsHasThoseOfTheProxy(t *testing.T) {
	pagetest.Check(t, "flags.md", map[string]string{"table proxy": pagetest.Flags(new(flags).set())})
}
