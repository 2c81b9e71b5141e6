package desired_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
)

func TestWhoSaysNothingOfHowProxiesRunIsNeitherPublishedNorMonitored(t *testing.T) {
	name := metav1.ObjectMeta{Namespace: "ai", Name: "front"}
	if objects := desired.ExtensionsOfGateway(&v1alpha1.ModelGateway{ObjectMeta: name}); len(objects) > 0 {
		t.Errorf("a gateway has %d objects", len(objects))
	}
	if objects := desired.ExtensionsOf(&v1alpha1.ModelRoute{ObjectMeta: name}); len(objects) > 0 {
		t.Errorf("a route has %d objects", len(objects))
	}
}
