package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfFlagsHasTheHelpOfEachCommand(t *testing.T) {
	var helps []string
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		if command.Hidden || command.Name() == "help" {
			return
		}
		var help strings.Builder
		command.InitDefaultHelpFlag()
		command.SetOut(&help)
		if err := command.Help(); err != nil {
			t.Fatal(err)
		}
		heading := ""
		if command.HasParent() {
			heading = "### " + strings.Replace(command.CommandPath(), "-", " ", 1) + "\n\n"
		}
		helps = append(helps, fmt.Sprintf("%s```\n%s```\n", heading, help.String()))
		for _, below := range command.Commands() {
			visit(below)
		}
	}
	visit(newRoot(&shell.Shell{}, "unknown"))
	pagetest.Check(t, "flags.md", map[string]string{"help of kubectl modelroute": strings.Join(helps, "\n")})
}
