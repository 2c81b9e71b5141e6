// Package keys is the command keys: who has keys, and how they are replaced, revoked and read.
package keys

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/cli/table"
)

const manual = `Keys of a cluster: who has them, and how they are replaced, revoked and read. A key belongs to a
ModelKey (modelkey/NAME) or to a consumer of a ModelRoute (modelroute/ROUTE/CONSUMER), in the
namespace of the context or of --namespace.

Only "env" prints a key.`

// options are what the commands are told.
type options struct {
	*shell.Shell
	cluster cluster.Flags
	output  string
	yes     bool
}

// New is the command.
func New(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	command := &cobra.Command{
		Use: "keys COMMAND", Short: "List, replace, revoke and read the keys of a cluster", Long: manual,
		Args: shell.Words(1, 0, "a command: list, rotate, revoke or env"),
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	o.cluster.Bind(command)
	command.AddCommand(o.newList(), o.newRotate(), o.newRevoke(), o.newEnv())
	return command
}

// rotatable are who is given a new key by an annotation.
const rotatable = "modelkey/NAME or modelroute/ROUTE"

func (o *options) newRotate() *cobra.Command {
	return &cobra.Command{
		Use: "rotate modelkey/NAME | modelroute/ROUTE", Short: "Ask for a new key, and let the old one end after its overlap",
		Long: `Asks the operator for a new key: of a ModelKey, or of all consumers of a ModelRoute. It sets the
annotation modelroute.dev/rotate. The old key is accepted until the overlap is over:
rotation.overlapHours, or a day.`,
		Example:           "  kubectl-modelroute keys rotate modelkey/crawler -n search",
		Args:              shell.Words(1, 1, rotatable),
		ValidArgsFunction: o.cluster.CompleteHolders,
		RunE: func(command *cobra.Command, words []string) error {
			who, err := parse(words[0], rotatable)
			if err != nil {
				return err
			}
			if who.consumer != "" {
				return shell.Misused("keys of one consumer are not replaced alone: modelroute/%s replaces those of all, and\n"+
					"keys revoke %s ends this one at once", who.route, words[0])
			}
			found, err := o.cluster.Connect()
			if err != nil {
				return err
			}
			return o.rotate(command, found, who)
		},
	}
}

func (o *options) rotate(command *cobra.Command, in *cluster.Cluster, who holder) error {
	var object client.Object
	var err error
	kind, whose := "ModelKey", "A new key is"
	if who.modelKey != "" {
		object, err = in.ModelKey(command.Context(), who.modelKey)
	} else {
		kind, whose = "ModelRoute", "New keys of all its consumers are"
		object, err = in.Route(command.Context(), who.route)
	}
	if err != nil {
		return err
	}
	before := object.DeepCopyObject().(client.Object)
	annotations := maps.Clone(object.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationRotate] = o.Clock.Now().UTC().Format(time.RFC3339Nano)
	object.SetAnnotations(annotations)
	if err := in.Patch(command.Context(), object, client.MergeFrom(before)); err != nil {
		return cluster.Explain(err, fmt.Sprintf("annotate the %s %s", kind, object.GetName()))
	}
	fmt.Fprintf(o.Out, "%s %s/%s: %s on the way. The old is accepted until its overlap is over; keys list shows until when.\n",
		kind, object.GetNamespace(), object.GetName(), whose)
	return nil
}

func (o *options) newRevoke() *cobra.Command {
	command := &cobra.Command{
		Use: "revoke modelkey/NAME | modelroute/ROUTE/CONSUMER", Short: "Refuse a key at once, everywhere; a new one takes its place",
		Long: `Deletes the Secret that delivers a key. The key, and one that it replaced, is refused everywhere
within a second, and the operator makes a new one soon, in a Secret of the same name. To end access
for good, delete the ModelKey or take the consumer out of the route.`,
		Example: "  kubectl-modelroute keys revoke modelroute/mixtral-8x22b-instruct/trial -n ai-platform",
		Args:    shell.Words(1, 1, forms), ValidArgsFunction: o.cluster.CompleteHolders,
		RunE: o.withSecret(o.revoke),
	}
	command.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return command
}

// withSecret has a command's one word name a holder, and does something with the Secret that delivers its key.
func (o *options) withSecret(
	do func(*cobra.Command, *cluster.Cluster, holder, *corev1.Secret) error,
) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, words []string) error {
		who, err := parseOne(words[0])
		if err != nil {
			return err
		}
		in, err := o.cluster.Connect()
		if err != nil {
			return err
		}
		secret, err := who.secret(command.Context(), in)
		if err != nil {
			return err
		}
		return do(command, in, who, secret)
	}
}

func (o *options) revoke(command *cobra.Command, in *cluster.Cluster, who holder, secret *corev1.Secret) error {
	if !o.yes && !o.confirmed(fmt.Sprintf("Refuse the key of the %s at once?", who)) {
		return shell.Misused("nothing is revoked: say yes, with --yes where nobody can be asked")
	}
	// What was looked at is what is deleted, and not a Secret that has come in its place.
	if err := in.Delete(command.Context(), secret, client.Preconditions{UID: &secret.UID}); err != nil {
		return cluster.Explain(err, "delete the Secret "+secret.Name)
	}
	fmt.Fprintf(o.Out, "The key of the %s is refused from now on. A new one will be in the Secret %s/%s.\n",
		who, secret.Namespace, secret.Name)
	return nil
}

// confirmed asks, if there is somebody to ask.
func (o *options) confirmed(question string) bool {
	if !o.Interactive {
		return false
	}
	fmt.Fprintf(o.Diagnostics, "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(o.In, &answer) // No answer is one as well.
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

func (o *options) newEnv() *cobra.Command {
	return &cobra.Command{
		Use: "env modelkey/NAME | modelroute/ROUTE/CONSUMER", Short: "Print a key as exports for a shell",
		Long: `Prints what the Secret of a key has, as exports for a shell: OPENAI_API_KEY, OPENAI_BASE_URL, MODEL.
You need the right to read that Secret. The base URL is one in the cluster; "chat" reaches it from
anywhere.`,
		Example: `  eval "$(kubectl-modelroute keys env modelkey/crawler -n search)"`,
		Args:    shell.Words(1, 1, forms), ValidArgsFunction: o.cluster.CompleteHolders,
		RunE: o.withSecret(func(_ *cobra.Command, _ *cluster.Cluster, _ holder, secret *corev1.Secret) error {
			_, err := fmt.Fprint(o.Out, exports(secret.Data))
			return err
		}),
	}
}

var variable = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

// exports writes variables as a shell reads them, whatever their values have in them.
func exports(values map[string][]byte) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if variable.MatchString(name) {
			text.WriteString("export " + name + "='" + strings.ReplaceAll(string(values[name]), "'", `'\''`) + "'\n")
		}
	}
	return text.String()
}

// shown is a time as tables show it.
func shown(at *metav1.Time) string {
	if at == nil || at.IsZero() {
		return table.Nothing
	}
	return at.UTC().Format("2006-01-02 15:04 MST")
}
