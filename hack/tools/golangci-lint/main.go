// Command golangci-lint is golangci-lint with the Kubernetes linters built in, so that one binary, pinned by this module's go.mod, runs them all:
// kubeapilinter checks the API types against the Kubernetes API conventions, and logcheck the use of structured, contextual logging.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"

	_ "sigs.k8s.io/kube-api-linter"             // Registers kubeapilinter.
	_ "sigs.k8s.io/logtools/logcheck/gclplugin" // Registers logcheck.
)

const golangciModule = "github.com/golangci/golangci-lint/v2"

func main() {
	if err := commands.Execute(buildInfo()); err != nil {
		fmt.Fprintf(os.Stderr, "golangci-lint: %v\n", err)
		os.Exit(exitcodes.Failure)
	}
}

// buildInfo reports the version of golangci-lint that go.mod pins.
func buildInfo() commands.BuildInfo {
	info := commands.BuildInfo{Version: "unknown", GoVersion: "unknown"}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	info.GoVersion = build.GoVersion
	for _, dependency := range build.Deps {
		if dependency.Path == golangciModule {
			info.Version = strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return info
}
