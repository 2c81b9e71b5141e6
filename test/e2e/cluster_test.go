//go:build e2e

// Package e2e holds ModelRoute to its promises on a real cluster, with the operator deployed: real API server, kubelet,
// containers and proxies. Only the upstream is our own, since it keeps books to compare with.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// operatorNamespace is where config/default installs ModelRoute.
const operatorNamespace = "modelroute-system"

// patience is how long a test waits for what must come about. It is far more than anything takes: a test that needs it has failed.
const patience = 3 * time.Minute

// cluster is the cluster under test.
type cluster struct {
	client.Client
	config *rest.Config
}

func connect(t *testing.T) *cluster {
	t.Helper()
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		path = "../../.cluster/kubeconfig"
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatalf("reading kubeconfig: %v", err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	kube, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatalf("connecting to the cluster: %v", err)
	}
	return &cluster{Client: kube, config: config}
}

// namespace makes a namespace for one test, as strict as users' own should be, and deletes it afterwards.
func (c *cluster) namespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), namespace); err != nil {
			t.Errorf("deleting namespace %s: %v", namespace.Name, err)
		}
	})
	return namespace.Name
}

// eventually asks until done says yes, and fails the test with the last thing that done said.
func eventually(t *testing.T, what string, done func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about; last seen: %s", what, state)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// pods returns the running pods that have the labels and are not being deleted.
func (c *cluster) pods(t *testing.T, namespace string, labels client.MatchingLabels) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := c.List(t.Context(), &list, client.InNamespace(namespace), labels); err != nil {
		t.Fatalf("listing pods: %v", err)
	}
	running := list.Items[:0]
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
			running = append(running, pod)
		}
	}
	return running
}

func ready(pod corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// kill deletes a pod without any grace: its processes get SIGKILL.
func (c *cluster) kill(t *testing.T, pod corev1.Pod) {
	t.Helper()
	if err := c.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatalf("killing pod %s: %v", pod.Name, err)
	}
}

// readyPods waits until there are count ready pods with the labels, none of them among those in not.
func (c *cluster) readyPods(t *testing.T, namespace string, labels client.MatchingLabels, count int, not ...corev1.Pod) []corev1.Pod {
	t.Helper()
	gone := map[string]bool{}
	for _, pod := range not {
		gone[string(pod.UID)] = true
	}
	var found []corev1.Pod
	eventually(t, fmt.Sprintf("%d ready pods %v", count, labels), func() (bool, string) {
		found = found[:0]
		for _, pod := range c.pods(t, namespace, labels) {
			if ready(pod) && !gone[string(pod.UID)] {
				found = append(found, pod)
			}
		}
		return len(found) == count, fmt.Sprintf("%d", len(found))
	})
	return found
}

// awaitEnd waits until none of the pods is there any more; another one may have the same name.
func (c *cluster) awaitEnd(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	for _, pod := range pods {
		eventually(t, "the end of "+pod.Name, func() (bool, string) {
			var live corev1.Pod
			err := c.Get(t.Context(), client.ObjectKeyFromObject(&pod), &live)
			return apierrors.IsNotFound(err) || err == nil && live.UID != pod.UID, "it is there"
		})
	}
}

// forward makes a port of a pod reachable on a loopback port until the test ends, and returns its base URL.
func (c *cluster) forward(t *testing.T, pod corev1.Pod, port int) string {
	t.Helper()
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s/portforward", c.config.Host, pod.Namespace, pod.Name)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, request.URL)
	stop, started := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", port)}, stop, started, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	t.Cleanup(func() { close(stop) })
	select {
	case <-started:
	case err := <-ended:
		t.Fatalf("forwarding to pod %s: %v", pod.Name, err)
	case <-time.After(patience):
		t.Fatalf("forwarding to pod %s did not begin", pod.Name)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", ports[0].Local)
}

func items(list client.ObjectList) int { return meta.LenList(list) }

func typeName(list client.ObjectList) string { return fmt.Sprintf("%T", list) }
