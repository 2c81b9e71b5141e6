package chat

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// selectorOf finds the pods that serve a route: its own, or those of its gateway.
func selectorOf(ctx context.Context, in *cluster.Cluster, route *v1alpha1.ModelRoute) (client.ListOption, error) {
	text, whose := route.Status.Selector, "ModelRoute "+route.Name
	if name := route.Spec.GatewayRef.Name; name != "" {
		whose = "ModelGateway " + name
		gateway := &v1alpha1.ModelGateway{}
		if err := in.Get(ctx, client.ObjectKey{Namespace: route.Namespace, Name: name}, gateway); err != nil {
			return nil, cluster.Explain(err, "read the "+whose)
		}
		text = gateway.Status.Selector
	}
	if text == "" {
		return nil, fmt.Errorf("the %s has no proxies yet; why: kubectl modelroute doctor --namespace %s", whose, route.Namespace)
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading status.selector of the %s: %w", whose, err)
	}
	return client.MatchingLabelsSelector{Selector: selector}, nil
}
