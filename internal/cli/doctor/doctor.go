// Package doctor is the command doctor: it looks over an install and says what is wrong, and how to mend it.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/shell"
)

const manual = `Looks over the ModelRoute of a cluster and says what is wrong, and how to mend it: the cluster and
its clock, the CRDs, the manager, the ledger and its volume, every ModelRoute, ModelGateway,
ModelKey and TeamBudget that is not ready, webhooks that stand in the way, and what you may do. It
changes nothing.

What you may not look at is "not checked"; who administers the cluster sees all of it.

Exit status: 0 if nothing is wrong, 1 if something is, 2 if it was called wrongly. A warning is
nothing wrong.`

// state is how a check came out.
type state string

const (
	good       state = "ok"
	warning    state = "warning"
	problem    state = "problem"
	notChecked state = "not checked"
)

var colours = map[state]shell.Colour{good: shell.Green, warning: shell.Yellow, problem: shell.Red, notChecked: shell.Grey}

// finding is what a check found.
type finding struct {
	Check string `json:"check"`
	State state  `json:"state"`
	// Says is what is so, and Mend what to do; Mend is empty where there is nothing to do.
	Says string `json:"says"`
	Mend string `json:"mend,omitempty"`
}

// report is what programs read.
type report struct {
	Findings []finding `json:"findings"`
}

// options are what the command is told.
type options struct {
	*shell.Shell
	cluster         cluster.Flags
	systemNamespace string
	output          string
	// own is the context's namespace, for who may not look into all of them.
	own string
}

// New is the command.
func New(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	command := &cobra.Command{
		Use: "doctor", Short: "Check an install, and say what is wrong and how to mend it",
		Long: manual, Example: "  kubectl-modelroute doctor", Args: shell.Words(0, 0, ""),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := shell.OneOf("-o", o.output, "table", "json"); err != nil {
				return err
			}
			found, err := o.cluster.Connect()
			if err != nil {
				return err
			}
			o.own = found.Namespace
			if !command.Flags().Changed("namespace") {
				found.Namespace = ""
			}
			return o.tell(o.look(command.Context(), found))
		},
	}
	o.cluster.Bind(command)
	command.Flags().StringVar(&o.systemNamespace, "system-namespace", "modelroute-system",
		"the `NAMESPACE` where the manager and the ledger run")
	command.Flags().StringVarP(&o.output, "output", "o", "table", "the `FORMAT`: table or json")
	return command
}

// look runs all checks. Without a cluster there is nothing more to look at.
func (o *options) look(ctx context.Context, in *cluster.Cluster) []finding {
	findings, reached := o.checkCluster(ctx, in)
	if !reached {
		return findings
	}
	progress := o.Progress("Checking the CRDs")
	defer progress.End()
	findings = append(findings, checkCRDs(ctx, in)...)
	progress.Say("Checking the manager and the ledger")
	findings = append(findings, o.checkManager(ctx, in))
	findings = append(findings, o.checkLedger(ctx, in)...)
	progress.Say("Checking routes, gateways, keys and teams")
	findings = append(findings, o.checkObjects(ctx, in)...)
	progress.Say("Checking webhooks and rights")
	findings = append(findings, checkWebhooks(ctx, in), o.checkRights(ctx, in))
	return naming(o.systemNamespace, findings)
}

// naming puts the operator's namespace in the place of {system} in what is to be done.
func naming(systemNamespace string, findings []finding) []finding {
	for i := range findings {
		findings[i].Mend = strings.ReplaceAll(findings[i].Mend, "{system}", systemNamespace)
	}
	return findings
}

// tell prints the findings. The error says how many problems there are.
func (o *options) tell(findings []finding) error {
	problems := 0
	for _, one := range findings {
		if one.State == problem {
			problems++
		}
	}
	if o.output == "json" {
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report{Findings: findings}); err != nil {
			return err
		}
	} else if _, err := io.WriteString(o.Out, o.text(findings)); err != nil {
		return err
	}
	switch problems {
	case 0:
		return nil
	case 1:
		return errors.New("there is a problem")
	}
	return fmt.Errorf("there are %d problems", problems)
}

func (o *options) text(findings []finding) string {
	var text strings.Builder
	for _, one := range findings {
		padding := strings.Repeat(" ", len(notChecked)-len(one.State))
		fmt.Fprintf(&text, "%s%s  %-9s  %s\n", o.Paint(colours[one.State], string(one.State)), padding, one.Check, one.Says)
		for line := range strings.Lines(one.Mend) {
			fmt.Fprintf(&text, "%*s→ %s\n", len(notChecked)+13, "", strings.TrimSuffix(line, "\n"))
		}
	}
	return text.String()
}
