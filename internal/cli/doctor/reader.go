package doctor

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// checkReader looks for what people need who read the ledger. Nothing is broken without it, but that.
func (o *options) checkReader(ctx context.Context, in *cluster.Cluster) finding {
	const name = "modelroute-reader"
	what := "the ServiceAccount " + name + " and the ConfigMap " + certs.AuthorityConfigMap + " of the namespace " + o.systemNamespace
	err := in.Get(ctx, client.ObjectKey{Namespace: o.systemNamespace, Name: name}, &corev1.ServiceAccount{})
	if err == nil {
		_, err = certs.PublishedAuthority(ctx, in, o.systemNamespace)
	}
	switch {
	case apierrors.IsNotFound(err):
		return finding{
			Check: "reader", State: warning, Says: "usage --by day cannot ask the ledger, for which there must be " + what + ".",
			Mend: "The ServiceAccount is of the manifests, and the manager makes the ConfigMap within a minute: " +
				"upgrade the install, docs/install.md",
		}
	case err != nil:
		return unseen("reader", what, err)
	}
	return finding{Check: "reader", State: good, Says: "Whoever has the Role " + name + " can read the ledger: usage --by day."}
}
