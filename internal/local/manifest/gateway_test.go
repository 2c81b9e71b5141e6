package manifest_test

import (
	"strings"
	"testing"
)

func TestRoutesOfAGatewayAreServedByTheOneProxyThatThereIs(t *testing.T) {
	gateway := "apiVersion: modelroute.dev/v1alpha1\nkind: ModelGateway\nmetadata: {name: front, namespace: ai}\nspec: {replicas: 3}\n"
	inFront := strings.Replace(route, "spec:\n", "spec:\n  gatewayRef: {name: front}\n", 1)
	routes, err := read(t, secret+separator+gateway+separator+inFront, nil)
	if err != nil || len(routes) != 1 || routes[0].Spec.GatewayRef.Name != "front" {
		t.Errorf("the routes are %v (%v)", routes, err)
	}
	_, err = read(t, secret+separator+strings.Replace(gateway, "replicas: 3", "replicas: -3", 1)+separator+inFront, nil)
	if err == nil || !strings.Contains(err.Error(), "all.yaml: document 2 (ModelGateway ai/front): spec.replicas") {
		t.Errorf("a gateway that is wrong is told of as %v", err)
	}
}
