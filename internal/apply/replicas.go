package apply

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// handOverOwner has a Deployment's number of replicas between us and an autoscaler.
const handOverOwner = FieldOwner + "-hand-over"

// beginWithReplicas has a Deployment that is yet to be made begin with a number that is not ours to say later.
func (c child) beginWithReplicas() error {
	if c.uid != "" || c.FirstReplicas == 0 {
		return nil
	}
	return unstructured.SetNestedField(c.want, int64(c.FirstReplicas), "spec", "replicas")
}

// handOver keeps a Deployment's number of replicas where it is when it is no longer ours to say: the API server would reset a field that
// its only owner applies no more, to one replica. Whoever has set the number since we did is not overruled.
func (a *Applier) handOver(ctx context.Context, c child) error {
	if c.uid == "" || c.FirstReplicas == 0 {
		return nil
	}
	live := &appsv1.Deployment{} // The cache does not have all of it.
	if err := a.Live.Get(ctx, c.Name, live); err != nil {
		return err
	}
	applied, err := appsv1ac.ExtractDeployment(live, FieldOwner)
	if err != nil {
		return fmt.Errorf("reading what was applied to the Deployment: %w", err)
	}
	if applied.Spec == nil || applied.Spec.Replicas == nil {
		return nil
	}
	kept := appsv1ac.Deployment(c.Name.Name, c.Name.Namespace).
		WithUID(c.uid).WithResourceVersion(live.ResourceVersion).
		WithSpec(appsv1ac.DeploymentSpec().WithReplicas(max(ptr.Deref(live.Spec.Replicas, 1), c.FirstReplicas)))
	return a.Client.Apply(ctx, kept, client.FieldOwner(handOverOwner), client.ForceOwnership)
}
