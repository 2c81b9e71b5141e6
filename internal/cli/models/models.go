// Package models is the command models: the models that somebody may see, where they are and what they cost.
package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/cli/table"
	"github.com/modelroute/modelroute/internal/compile"
)

const manual = `Lists the ModelRoutes of a cluster that you may see: the model to ask for, the endpoint in the
cluster, what the first upstream costs in USD per million tokens, how many tokens fit into a
conversation, and whether the route is ready.

It is for a cluster. The routes of a run on this machine are in the list that the run begins with.`

const examples = `  kubectl-modelroute models -A
  kubectl-modelroute models -n ai-platform -o json | jq -r '.models[] | select(.ready) | .model'`

// list is what programs read.
type list struct {
	Models []model `json:"models"`
}

// model is a route as those see it who ask it.
type model struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	Model       string `json:"model"`
	DisplayName string `json:"displayName,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
	// ContextLength and MaxCompletionTokens are in tokens; absent: not known, or bounded by the context alone.
	ContextLength       int64 `json:"contextLength,omitempty"`
	MaxCompletionTokens int64 `json:"maxCompletionTokens,omitempty"`
	// Upstream is the first that is asked, and Pricing its price in USD per million tokens; absent: no price is known.
	Upstream string            `json:"upstream,omitempty"`
	Pricing  *v1alpha1.Pricing `json:"pricing,omitempty"`
	Ready    bool              `json:"ready"`
	// Reason and Message say why it is, or is not, ready.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// New is the command.
func New(s *shell.Shell) *cobra.Command {
	var flags cluster.Flags
	var output string
	command := &cobra.Command{
		Use: "models", Short: "List the models of a cluster, with endpoints and prices",
		Long: manual, Example: examples, Args: shell.Words(0, 0, ""),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := shell.OneOf("-o", output, "table", "json"); err != nil {
				return err
			}
			found, err := flags.Connect()
			if err != nil {
				return err
			}
			routes, err := found.Routes(command.Context())
			if err != nil {
				return err
			}
			models := modelsOf(routes)
			switch {
			case output == "json":
				encoder := json.NewEncoder(s.Out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(list{Models: models})
			case len(models) == 0:
				fmt.Fprintln(s.Out, found.None("ModelRoutes"))
				return nil
			}
			return write(s, models)
		},
	}
	flags.Bind(command)
	flags.BindAllNamespaces(command)
	command.Flags().StringVarP(&output, "output", "o", "table", "the `FORMAT`: table or json")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]cobra.Completion{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func modelsOf(routes []v1alpha1.ModelRoute) []model {
	models := make([]model, 0, len(routes))
	for i := range routes {
		models = append(models, modelOf(&routes[i]))
	}
	return models
}

func modelOf(route *v1alpha1.ModelRoute) model {
	one := model{
		Namespace: route.Namespace, Name: route.Name, Model: compile.ModelName(route), DisplayName: route.Spec.Model.DisplayName,
		Endpoint: route.Status.Endpoint, ContextLength: route.Spec.Model.ContextLength,
		MaxCompletionTokens: route.Spec.Model.MaxCompletionTokens,
	}
	if known := route.Status.Model; known != nil {
		one.ContextLength = cmp.Or(known.ContextLength, one.ContextLength)
		one.MaxCompletionTokens = cmp.Or(known.MaxCompletionTokens, one.MaxCompletionTokens)
	}
	one.Upstream, one.Pricing = firstPrice(route)
	if ready := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		one.Ready, one.Reason, one.Message = ready.Status == metav1.ConditionTrue, ready.Reason, ready.Message
	}
	return one
}

// firstPrice is the price that is in force at the first upstream that is asked, or what the route says of it while there is none.
func firstPrice(route *v1alpha1.ModelRoute) (upstream string, price *v1alpha1.Pricing) {
	reserves := reservesOf(route)
	for _, one := range route.Spec.Upstreams {
		if reserves[one.Name] {
			continue
		}
		found := one.Pricing
		for _, status := range route.Status.Upstreams {
			if status.Name == one.Name && status.Pricing != (v1alpha1.Pricing{}) {
				found = status.Pricing
			}
		}
		if found == (v1alpha1.Pricing{}) {
			return one.Name, nil
		}
		return one.Name, &found
	}
	return "", nil
}

// reservesOf are the upstreams that serve only what a budget refuses.
func reservesOf(route *v1alpha1.ModelRoute) map[string]bool {
	budgets := slices.Clone(route.Spec.Budgets)
	for _, consumer := range route.Spec.Consumers {
		budgets = append(budgets, consumer.Budgets...)
	}
	reserves := map[string]bool{}
	for _, one := range budgets {
		reserves[one.WhenExhausted.Upstream] = true
	}
	return reserves
}

var columns = []table.Column{
	{Title: "ROUTE"}, {Title: "MODEL"}, {Title: "PROMPT", Amount: true}, {Title: "COMPLETION", Amount: true},
	{Title: "CONTEXT", Amount: true}, {Title: "READY"}, {Title: "ENDPOINT"},
}

const columnReady = 5

func write(s *shell.Shell, models []model) error {
	rows := make([][]string, 0, len(models))
	for _, one := range models {
		row := []string{one.Namespace + "/" + one.Name, one.Model, table.Nothing, table.Nothing, table.Nothing, "yes",
			cmp.Or(one.Endpoint, table.Nothing)}
		if one.Pricing != nil {
			row[2], row[3] = string(one.Pricing.Prompt), string(one.Pricing.Completion)
		}
		if one.ContextLength > 0 {
			row[4] = strconv.FormatInt(one.ContextLength, 10)
		}
		if !one.Ready {
			row[columnReady] = "no: " + cmp.Or(one.Reason, "not seen by the operator yet")
		}
		rows = append(rows, row)
	}
	return table.Table{Columns: columns, Rows: rows, Paint: func(row []string, column int) string {
		switch {
		case column != columnReady:
			return row[column]
		case row[column] == "yes":
			return s.Paint(shell.Green, row[column])
		}
		return s.Paint(shell.Red, row[column])
	}}.Write(s.Out)
}
