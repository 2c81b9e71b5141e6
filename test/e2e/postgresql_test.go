//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
	"github.com/modelroute/modelroute/internal/money"
)

var ledgerLabels = client.MatchingLabels{"app.kubernetes.io/name": "modelroute-ledger"}

// TestLedgersOnPostgreSQLFailAndNothingIsLost loses a ledger with its node, kills the others, replaces both, and kills PostgreSQL, all
// while two consumers spend, one of whom runs out of budget.
func TestLedgersOnPostgreSQLFailAndNothingIsLost(t *testing.T) {
	kube := connect(t)
	database := kube.keepBooksInPostgreSQL(t)
	s := newScene(t, func(route *v1alpha1.ModelRoute) { route.Spec.Consumers[1].Budgets[0].Amount = "1.50" })
	goesOn, runsOut := "search", "trial"
	well := []outcome{{goesOn, http.StatusOK}, {runsOut, http.StatusOK}, {runsOut, http.StatusPaymentRequired}, {runsOut, http.StatusTooManyRequests}}
	l := s.startLoad(3, goesOn, runsOut)
	l.awaitMore(goesOn, http.StatusOK, 50)

	lost := kube.readyPods(t, operatorNamespace, ledgerLabels, 2)[0]
	kube.kill(t, lost)
	kube.leaveInService(t, lost)
	l.awaitMore(goesOn, http.StatusOK, 50)
	for _, victim := range kube.readyPods(t, operatorNamespace, ledgerLabels, 2, lost) {
		kube.kill(t, victim)
		l.awaitMore(goesOn, http.StatusOK, 50)
		kube.readyPods(t, operatorNamespace, ledgerLabels, 2, victim)
	}
	l.wantOnly("one ledger was lost, and the others were killed, one after the other", well...)

	kube.replaceLedgers(t)
	l.awaitMore(goesOn, http.StatusOK, 50)
	l.wantOnly("both ledgers were replaced", well...)

	database.Kill(t)
	l.awaitMore(goesOn, http.StatusServiceUnavailable, 1)
	database.Restart(t)
	l.awaitMore(goesOn, http.StatusOK, 50)
	l.awaitMore(runsOut, http.StatusPaymentRequired, 1)
	l.wantOnly("PostgreSQL was killed and came back",
		append(well, outcome{goesOn, http.StatusServiceUnavailable}, outcome{runsOut, http.StatusServiceUnavailable})...)
	l.end()

	s.statusShows(s.billed())
	s.wantWithinBudget(1)
	kube.wantLedgersToAgree(t)
	// What the proxies still have goes back to these ledgers, before others take their place.
	s.deleteRoute()
	s.waitGone()
}

// wantWithinBudget compares what the status says is spent of a consumer's only budget with its amount.
func (s *scene) wantWithinBudget(consumer int) {
	s.t.Helper()
	budget := s.live().Status.Consumers[consumer].Budgets[0]
	spent, err := money.ParseUSD(budget.Spent)
	limit, limitErr := money.ParseUSD(string(s.route.Spec.Consumers[consumer].Budgets[0].Amount))
	if err := errors.Join(err, limitErr); err != nil || spent.IsZero() || spent.Cmp(limit) > 0 {
		s.t.Errorf("%s USD are spent of a budget of %s USD (%v)", spent, limit, err)
	}
	s.t.Logf("%s USD are spent of a budget of %s USD", spent, limit)
}

// wantLedgersToAgree asks every ledger about the books, as an operator does.
func (c *cluster) wantLedgersToAgree(t *testing.T) {
	t.Helper()
	for _, pod := range c.readyPods(t, operatorNamespace, ledgerLabels, 2) {
		verdict, err := c.exec(t, pod, "/ledger", "verify")
		if err != nil || !strings.Contains(verdict, "The books agree with themselves.") || strings.Contains(verdict, " 0 windows") {
			t.Errorf("ledger verify in %s: %v\n%s", pod.Name, err, verdict)
		}
		listed, err := c.exec(t, pod, "/ledger", "proxies")
		if err != nil || strings.Count(listed, "mixtral-8x22b-instruct-") < 2 {
			t.Errorf("ledger proxies in %s: %v\n%s", pod.Name, err, listed)
		}
		if advice, err := c.exec(t, pod, "/ledger", "backup", "/var/lib/modelroute/backup"); err == nil || !strings.Contains(advice, "pg_dump") {
			t.Errorf("ledger backup in %s: %v\n%s", pod.Name, err, advice)
		}
	}
}

// keepBooksInPostgreSQL starts a PostgreSQL on this machine and installs config/postgresql in the place of config/default, until the test
// ends.
func (c *cluster) keepBooksInPostgreSQL(t *testing.T) *pgtest.Server {
	t.Helper()
	server := pgtest.Start(t, pgtest.Options{Durable: true, Address: c.addressOfThisMachine(t)})
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "modelroute-ledger-database", Namespace: operatorNamespace},
		StringData: map[string]string{"url": server.Database(t)},
	}
	if err := c.Create(t.Context(), secret); err != nil {
		t.Fatalf("creating the Secret of the database: %v", err)
	}
	named := metav1.ObjectMeta{Name: "modelroute-ledger", Namespace: operatorNamespace}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		c.remove(ctx, t, &appsv1.Deployment{ObjectMeta: named}, &policyv1.PodDisruptionBudget{ObjectMeta: named}, secret)
		install(ctx, t, "config/default")
	})
	c.remove(t.Context(), t, &appsv1.StatefulSet{ObjectMeta: named})
	install(t.Context(), t, "config/postgresql")
	return server
}

// install does what `make deploy` does, with any folder, and any image of hack/image.sh where another one is named.
func install(ctx context.Context, t *testing.T, folder string, image ...string) {
	t.Helper()
	arguments := append([]string{"up", folder}, image...)
	if output, err := exec.CommandContext(ctx, "../../hack/deploy.sh", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v\n%s", folder, err, output)
	}
}

// remove deletes objects and waits until they and the ledger's pods are gone.
func (c *cluster) remove(ctx context.Context, t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		err := c.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationForeground))
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatalf("deleting %T %s: %v", object, object.GetName(), err)
		}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		var pods corev1.PodList
		err := c.List(ctx, &pods, client.InNamespace(operatorNamespace), ledgerLabels)
		if err == nil && len(pods.Items) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d pods of the ledger are not gone (%v)", len(pods.Items), err)
		}
	}
}

// addressOfThisMachine returns an address at which the cluster's pods reach this machine: that of a node, if it is a node.
func (c *cluster) addressOfThisMachine(t *testing.T) string {
	t.Helper()
	var nodes corev1.NodeList
	if err := c.List(t.Context(), &nodes); err != nil {
		t.Fatalf("listing the nodes: %v", err)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			for _, one := range own {
				if network, ok := one.(*net.IPNet); ok && network.IP.String() == address.Address {
					return address.Address
				}
			}
		}
	}
	t.Fatal("this machine is no node of the cluster, so that it and the cluster's pods would not reach each other: " +
		"run this test on a node, as make test-e2e does with the cluster that it sets up")
	return ""
}

// leaveInService does what the loss of a node does: for some minutes the Service still sends calls to a pod that is no more, and nothing
// comes back from there.
func (c *cluster) leaveInService(t *testing.T, pod corev1.Pod) {
	t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "modelroute-ledger-lost", Namespace: pod.Namespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: "modelroute-ledger", discoveryv1.LabelManagedBy: "e2e"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{pod.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(8443)), Protocol: new(corev1.ProtocolTCP)}},
	}
	if err := c.Create(t.Context(), slice); err != nil {
		t.Fatalf("keeping pod %s in the Service: %v", pod.Name, err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), slice); err != nil {
			t.Errorf("taking pod %s out of the Service: %v", pod.Name, err)
		}
	})
}

// replaceLedgers rolls the ledgers out again, as another image or another password does, and waits until the last old one has ended.
func (c *cluster) replaceLedgers(t *testing.T) {
	t.Helper()
	old := c.readyPods(t, operatorNamespace, ledgerLabels, 2)
	deployment := &appsv1.Deployment{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "modelroute-ledger"}, deployment); err != nil {
		t.Fatalf("reading the ledgers' Deployment: %v", err)
	}
	before := deployment.DeepCopy()
	deployment.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339)}
	if err := c.Patch(t.Context(), deployment, client.StrategicMergeFrom(before)); err != nil {
		t.Fatalf("restarting the ledgers: %v", err)
	}
	c.readyPods(t, operatorNamespace, ledgerLabels, 2, old...)
	c.awaitEnd(t, old)
}

// exec runs a command in a pod and returns all that it prints.
func (c *cluster) exec(t *testing.T, pod corev1.Pod, command ...string) (string, error) {
	t.Helper()
	config := rest.CopyConfig(c.config)
	config.GroupVersion, config.APIPath = &corev1.SchemeGroupVersion, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	kube, err := rest.RESTClientFor(config)
	if err != nil {
		return "", err
	}
	request := kube.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, request.URL())
	if err != nil {
		return "", err
	}
	var out, diagnostics bytes.Buffer
	err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &diagnostics})
	return out.String() + diagnostics.String(), err
}
