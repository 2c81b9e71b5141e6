package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// container is the manager's container in its pod.
const container = "manager"

// ownImage returns the image that the manager runs from itself. The proxies are in the same image: whoever sets its tag in one place, with
// kustomize for example, gets all programs of one version.
func ownImage(ctx context.Context, live client.Reader, namespace, pod string) (string, error) {
	var pods corev1.PodList
	// Listed, not got: the manager may list pods anyway and needs no other right for this.
	byName := client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", pod)}
	if err := live.List(ctx, &pods, client.InNamespace(namespace), byName); err != nil {
		return "", fmt.Errorf("reading the manager's own pod %s/%s: %w", namespace, pod, err)
	}
	for i := range pods.Items {
		for _, found := range pods.Items[i].Spec.Containers {
			if found.Name == container {
				return found.Image, nil
			}
		}
	}
	return "", fmt.Errorf("pod %s/%s with a container %q is not there: set --proxy-image", namespace, pod, container)
}
