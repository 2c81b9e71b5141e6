package cluster

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionTimeout is how long a shell waits for names.
const completionTimeout = 3 * time.Second

// CompleteRoutes completes the first word of a command with the names of the namespace's routes. A cluster that does not answer is no
// reason to say anything: the shell is in the middle of a line.
func (f *Flags) CompleteRoutes(command *cobra.Command, words []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(words) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.complete(command, "")
}

// CompleteHolders completes the first word with the ModelKeys and the consumers of the namespace, as keys names them.
func (f *Flags) CompleteHolders(command *cobra.Command, words []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(words) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.complete(command, "modelroute/")
}

func (f *Flags) complete(command *cobra.Command, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
	defer cancel()
	found, err := f.Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	routes, _ := found.Routes(ctx)
	for _, route := range routes {
		if prefix == "" {
			names = append(names, route.Name)
		}
		for _, consumer := range route.Spec.Consumers {
			if prefix != "" {
				names = append(names, prefix+route.Name+"/"+consumer.Name)
			}
		}
	}
	if prefix != "" {
		modelKeys, _ := found.ModelKeys(ctx)
		for _, key := range modelKeys {
			names = append(names, "modelkey/"+key.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
