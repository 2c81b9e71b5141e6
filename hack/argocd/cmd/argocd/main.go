// Command argocd is the two components of Argo CD that the end-to-end tests sync with, in one binary. It picks the component by the
// name that it was started under.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

// components maps the name of a component to its command.
var components = map[string]func() *cobra.Command{
	"argocd-application-controller": controller.NewCommand,
	"argocd-repo-server":            reposerver.NewCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	command, ok := components[name]
	if !ok {
		known := slices.Sorted(maps.Keys(components))
		fmt.Fprintf(os.Stderr, "%s: not a component; link this binary under one of these names: %s\n", name, strings.Join(known, ", "))
		os.Exit(2)
	}
	if command().Execute() != nil { // Which has printed the error.
		os.Exit(1)
	}
}
