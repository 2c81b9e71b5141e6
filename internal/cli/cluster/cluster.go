// Package cluster is a command's way to a cluster: kubectl's own flags and files say which one, and errors say what to do next.
package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// Flags are kubectl's flags that say which cluster is meant, as whom, and which namespace.
type Flags struct {
	rules         *clientcmd.ClientConfigLoadingRules
	overrides     clientcmd.ConfigOverrides
	allNamespaces bool
	names         []string
}

// Bind gives a command these flags, and all commands below it. What they leave out is in the file of KUBECONFIG or in ~/.kube/config.
func (f *Flags) Bind(command *cobra.Command) {
	f.rules = clientcmd.NewDefaultClientConfigLoadingRules()
	own := pflag.NewFlagSet("cluster", pflag.ContinueOnError)
	own.StringVar(&f.rules.ExplicitPath, "kubeconfig", "", "a `FILE` that says where clusters are, in the place of KUBECONFIG's")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	// kubectl has these neither: who still has such a cluster says it in the file.
	names.AuthOverrideFlags.Username.LongName, names.AuthOverrideFlags.Password.LongName = "", ""
	names.CurrentContext.Description = "the `CONTEXT` of that file to use"
	names.ContextOverrideFlags.Namespace.Description = "the `NAMESPACE` to look into, else the context's"
	clientcmd.BindOverrideFlags(&f.overrides, own, names)
	own.VisitAll(func(flag *pflag.Flag) {
		f.names = append(f.names, flag.Name)
		// The others work as well. They would bury those that people use.
		flag.Hidden = flag.Name != "kubeconfig" && flag.Name != clientcmd.FlagContext && flag.Name != clientcmd.FlagNamespace
	})
	command.PersistentFlags().AddFlagSet(own)
}

// BindAllNamespaces gives a command the flag for all namespaces.
func (f *Flags) BindAllNamespaces(command *cobra.Command) {
	command.Flags().BoolVarP(&f.allNamespaces, "all-namespaces", "A", false, "look into all namespaces")
	f.names = append(f.names, "all-namespaces")
}

// Given reports whether any of the flags was given to the command.
func (f *Flags) Given(command *cobra.Command) bool {
	for _, name := range f.names {
		if command.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// Cluster is a cluster as somebody may see it.
type Cluster struct {
	client.Client
	Config *rest.Config
	// Namespace is the namespace that is meant; empty for all of them.
	Namespace string
}

// Connect finds out which cluster is meant. It asks it nothing yet.
func (f *Flags) Connect() (*Cluster, error) {
	found := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(f.rules, &f.overrides)
	config, err := found.ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			err = errors.New("no cluster is configured")
		}
		return nil, fmt.Errorf("%w: set KUBECONFIG, or name the file and the context with --kubeconfig and --context", err)
	}
	namespace, _, err := found.Namespace()
	if err != nil {
		return nil, fmt.Errorf("finding the namespace of the context: %w", err)
	}
	if f.allNamespaces {
		namespace = ""
	}
	config.QPS, config.Burst = 50, 100 // A person waits; client-go's own pace is for controllers.
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	kube, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("preparing to ask the cluster: %w", err)
	}
	return &Cluster{Client: kube, Config: config, Namespace: namespace}, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	return scheme, err
}

// Routes are the ModelRoutes of the namespace, or of all, in the order of their names.
func (c *Cluster) Routes(ctx context.Context) ([]v1alpha1.ModelRoute, error) {
	var list v1alpha1.ModelRouteList
	if err := c.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		return nil, Explain(err, "list ModelRoutes"+c.where())
	}
	return list.Items, nil
}

// Route is one ModelRoute of the namespace.
func (c *Cluster) Route(ctx context.Context, name string) (*v1alpha1.ModelRoute, error) {
	var route v1alpha1.ModelRoute
	if err := c.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, &route); err != nil {
		return nil, Explain(err, fmt.Sprintf("read the ModelRoute %s%s", name, c.where()))
	}
	return &route, nil
}

// ModelKeys are the ModelKeys of the namespace, or of all, in the order of their names.
func (c *Cluster) ModelKeys(ctx context.Context) ([]v1alpha1.ModelKey, error) {
	var list v1alpha1.ModelKeyList
	if err := c.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		return nil, Explain(err, "list ModelKeys"+c.where())
	}
	return list.Items, nil
}

// ModelKey is one ModelKey of the namespace.
func (c *Cluster) ModelKey(ctx context.Context, name string) (*v1alpha1.ModelKey, error) {
	var key v1alpha1.ModelKey
	if err := c.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, &key); err != nil {
		return nil, Explain(err, fmt.Sprintf("read the ModelKey %s%s", name, c.where()))
	}
	return &key, nil
}

// ModelGateways are the ModelGateways of the namespace, or of all, in the order of their names.
func (c *Cluster) ModelGateways(ctx context.Context) ([]v1alpha1.ModelGateway, error) {
	var list v1alpha1.ModelGatewayList
	if err := c.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		return nil, Explain(err, "list ModelGateways"+c.where())
	}
	return list.Items, nil
}

// TeamBudgets are all TeamBudgets, in the order of their names: they are in no namespace.
func (c *Cluster) TeamBudgets(ctx context.Context) ([]v1alpha1.TeamBudget, error) {
	var list v1alpha1.TeamBudgetList
	if err := c.List(ctx, &list); err != nil {
		return nil, Explain(err, "list TeamBudgets")
	}
	return list.Items, nil
}

// None says that there is nothing of a kind where somebody looked, and how to look further.
func (c *Cluster) None(kind string) string {
	if c.Namespace == "" {
		return "There are no " + kind + " in the cluster."
	}
	return "There are no " + kind + " in the namespace " + c.Namespace + ". Another one: --namespace NAMESPACE; all: --all-namespaces."
}

func (c *Cluster) where() string {
	if c.Namespace == "" {
		return " of all namespaces"
	}
	return " of the namespace " + c.Namespace
}
