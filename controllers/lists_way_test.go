package controllers

import (
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/hack/upstream/upstream"
)

// The proxies know the upstream by the bundle; the manager must too, or a route would never be served that leaves out a price.
func TestTheListOfAnUpstreamIsReadByTheWayThatItsRouteSays(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	server := httptest.NewUnstartedServer(upstream.New(upstream.Options{}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	s := &selling{world: w, url: server.URL + "/api/v1"}
	s.manage()
	bundle := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "private-ca"},
		Data:       map[string]string{"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))},
	}
	w.create(bundle)

	route := s.sparse()
	route.Spec.Upstreams[0].ProxyURL = "direct"
	route.Spec.Upstreams[0].CABundleRef = v1alpha1.CABundleReference{Name: bundle.Name}
	w.create(route)
	w.untilReady("chat")

	// A route that does not say so has its own answer: what one knows is not told to another.
	stranger := s.sparse()
	stranger.Name = "stranger"
	stranger.Spec.Model.Name = "unheard-of"
	w.create(stranger)
	w.until("stranger", v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid)
}
