package cli

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/modelroute/modelroute/test/world"
)

// node makes a node at which the API server finds what a kubelet does for port-forwards: it takes connections to the port of a pod, and
// passes them on to an address.
func (w *caller) node(port, address string) string {
	w.t.Helper()
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if _, err := httpstream.Handshake(request, answer, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return
		}
		connection := spdy.NewResponseUpgrader().UpgradeResponse(answer, request, func(stream httpstream.Stream, replied <-chan struct{}) error {
			go func() {
				<-replied
				if headers := stream.Headers(); headers.Get(corev1.StreamType) == corev1.StreamTypeData && headers.Get(corev1.PortHeader) == port {
					pass(w.t, stream, address)
				}
				_ = stream.Close() // On the stream of errors nothing has been said.
			}()
			return nil
		})
		if connection != nil {
			<-connection.CloseChan()
		}
	}))
	w.t.Cleanup(kubelet.Close)
	_, kubeletPort, err := net.SplitHostPort(kubelet.Listener.Addr().String())
	w.must(err)
	number, err := strconv.ParseInt(kubeletPort, 10, 32)
	w.must(err)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	makeWithStatus(w, node, func(node *corev1.Node) {
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
		node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	})
	return node.Name
}

// pass copies both ways until both have ended.
func pass(t *testing.T, stream io.ReadWriter, address string) {
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(stream, connection)
}

// pod makes a pod of the route chat, which is ready.
func (w *caller) pod(node string) {
	w.t.Helper()
	w.podWith("chat-0", map[string]string{"modelroute.dev/route": "chat"}, node, corev1.ContainerPort{Name: "http", ContainerPort: 8080})
}

// podWith makes a pod with labels and a port, which is ready.
func (w *caller) podWith(name string, labels map[string]string, node string, port corev1.ContainerPort) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: labels},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "it", Image: "modelroute", Ports: []corev1.ContainerPort{port},
		}}},
	}
	makeWithStatus(w, pod, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	})
}

func TestWithoutAURLAReadyPodOfTheRouteIsReachedThroughTheAPIServer(t *testing.T) {
	w := newCaller(t)
	proxy := serve(t, plenty)
	route := w.route("chat")
	w.secret("chat-trial", proxy.key, ofConsumer("chat", "trial"))
	w.call("chat", "chat", "Hello?").wants(t, 1, "no pod of the ModelRoute chat is ready", "doctor --namespace "+w.namespace)
	w.pod(w.node("8080", strings.TrimPrefix(proxy.URL, "http://")))

	w.call("chat", "chat", "Hello?").wants(t, 1, "mixtral answers 404") // It is called otherwise there.
	route.Spec.Model.Name = world.Model
	w.must(w.Update(t.Context(), route))
	w.interactive, w.typed = true, "Hello?\nAnd now?\n"
	w.call("chat", "chat").wants(t, 0, "It cost")
	if len(proxy.Received()) != 2 {
		t.Errorf("the upstream got %d requests", len(proxy.Received()))
	}
	proxy.BooksAgree()
}

func TestAPodThatCannotBeReachedIsTold(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.secret("chat-search", newKey(t), ofConsumer("chat", "search"))
	w.pod("")
	w.call("chat", "chat", "Hello?").wants(t, 1, "cannot forward a port to the pod chat-0", "does not have a host assigned")
}
