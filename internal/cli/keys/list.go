package keys

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/cli/table"
)

// keyList is what programs read.
type keyList struct {
	Keys []key `json:"keys"`
}

// key is a key without the key.
type key struct {
	Namespace string `json:"namespace"`
	// Holder is who has it, as the other commands take it: modelkey/NAME or modelroute/ROUTE/CONSUMER.
	Holder string `json:"holder"`
	// KeyID names the key in logs and metrics; absent while there is none.
	KeyID       string                `json:"keyID,omitempty"`
	PreviousKey *v1alpha1.PreviousKey `json:"previousKey,omitempty"`
	LastUseTime *metav1.Time          `json:"lastUseTime,omitempty"`
	ExpireTime  *metav1.Time          `json:"expireTime,omitempty"`
	// Spent is of all time, a decimal in USD.
	Spent  string `json:"spent,omitempty"`
	Secret string `json:"secret,omitempty"`
	// ServiceAccounts is true of those whose pods use their own tokens, in the place of a key.
	ServiceAccounts bool `json:"serviceAccounts,omitempty"`
}

func (o *options) newList() *cobra.Command {
	command := &cobra.Command{
		Use: "list", Short: "List who has keys, with when they were last used and what they spent",
		Long: `Lists the consumers of ModelRoutes and the ModelKeys of a cluster, with the names of their keys,
when something was last spent with them, what they have spent in all, and the Secrets that deliver
them. It prints no keys.`,
		Example: "  kubectl-modelroute keys list -A", Args: shell.Words(0, 0, ""),
		RunE: func(command *cobra.Command, _ []string) error { return o.list(command) },
	}
	o.cluster.BindAllNamespaces(command)
	command.Flags().StringVarP(&o.output, "output", "o", "table", "the `FORMAT`: table or json")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]cobra.Completion{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func (o *options) list(command *cobra.Command) error {
	if err := shell.OneOf("-o", o.output, "table", "json"); err != nil {
		return err
	}
	found, err := o.cluster.Connect()
	if err != nil {
		return err
	}
	routes, err := found.Routes(command.Context())
	if err != nil {
		return err
	}
	modelKeys, err := found.ModelKeys(command.Context())
	if err != nil {
		return err
	}
	keys := append(ofConsumers(routes), ofModelKeys(modelKeys)...)
	switch {
	case o.output == "json":
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(keyList{Keys: keys})
	case len(keys) == 0:
		fmt.Fprintln(o.Out, found.None("consumers and ModelKeys"))
		return nil
	}
	return table.Table{Columns: columns, Rows: rowsOf(keys)}.Write(o.Out)
}

func ofConsumers(routes []v1alpha1.ModelRoute) []key {
	keys := []key{}
	for _, route := range routes {
		seen := map[string]v1alpha1.ConsumerStatus{}
		for _, status := range route.Status.Consumers {
			seen[status.Name] = status
		}
		for _, consumer := range route.Spec.Consumers {
			status := seen[consumer.Name]
			keys = append(keys, key{
				Namespace: route.Namespace, Holder: "modelroute/" + route.Name + "/" + consumer.Name, KeyID: status.KeyID,
				PreviousKey: status.PreviousKey, LastUseTime: status.LastUseTime, Spent: status.Spent, Secret: status.SecretName,
				ServiceAccounts: len(consumer.ServiceAccounts) > 0,
			})
		}
	}
	return keys
}

func ofModelKeys(modelKeys []v1alpha1.ModelKey) []key {
	keys := make([]key, 0, len(modelKeys))
	for _, one := range modelKeys {
		spent := ""
		if one.Status.Spend != nil {
			spent = one.Status.Spend.Total
		}
		keys = append(keys, key{
			Namespace: one.Namespace, Holder: "modelkey/" + one.Name, KeyID: one.Status.KeyID, PreviousKey: one.Status.PreviousKey,
			LastUseTime: one.Status.LastUseTime, ExpireTime: one.Spec.ExpireTime, Spent: spent, Secret: one.Status.SecretName,
			ServiceAccounts: len(one.Spec.ServiceAccounts) > 0,
		})
	}
	return keys
}

var columns = []table.Column{
	{Title: "NAMESPACE"}, {Title: "HOLDER"}, {Title: "KEY"}, {Title: "LAST USE"}, {Title: "SPENT", Amount: true}, {Title: "SECRET"},
	{Title: "OLD KEY UNTIL"}, {Title: "EXPIRES"},
}

func rowsOf(keys []key) [][]string {
	rows := make([][]string, 0, len(keys))
	for _, one := range keys {
		name, old := cmp.Or(one.KeyID, table.Nothing), table.Nothing
		if one.ServiceAccounts {
			name = "(tokens)"
		}
		if one.PreviousKey != nil {
			old = shown(&one.PreviousKey.EndTime)
		}
		rows = append(rows, []string{
			one.Namespace, one.Holder, name, shown(one.LastUseTime), table.Places(one.Spent), cmp.Or(one.Secret, table.Nothing), old,
			shown(one.ExpireTime),
		})
	}
	return rows
}
