package usage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/forward"
	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
)

const (
	// readerAccount is the ServiceAccount that the ledger lets read what was spent, and the Role of those who may make tokens of it.
	readerAccount = "modelroute-reader"
	// ledgerAudience is for whom its tokens are, and tokenSeconds how long: Kubernetes makes none for less.
	ledgerAudience = "modelroute-ledger"
	tokenSeconds   = 600
	// ledgerPort is the name of the port of the ledger's pods.
	ledgerPort = "https"
	// maxUsageBytes bounds the ledger's list of all routes: thousands of them, each with some kilobytes.
	maxUsageBytes = 64 << 20
)

// reachLedger reaches the ledger of a cluster, as its reader, until stop is called. Who may do that is decided by the cluster, when it
// makes the token.
func reachLedger(ctx context.Context, in *cluster.Cluster, namespace string) (books history.Service, stop func(), err error) {
	token, err := readerToken(ctx, in, namespace)
	if err != nil {
		return nil, nil, err
	}
	authority, err := certs.PublishedAuthority(ctx, in, namespace)
	if err != nil {
		return nil, nil, explain(err, namespace, "read by what the ledger is known")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, nil, errors.New("the certificates by which the ledger is known are no PEM: see the log of the manager")
	}
	address, hangUp, err := forwardToLedger(ctx, in, namespace)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true,
	}
	shown := ledgerclient.Bearer(transport, func(context.Context) (string, error) { return token, nil })
	called := connecthttp.NewTransport(&http.Client{Transport: shown}, "https://"+certs.DNSNames(namespace)[0],
		connecthttp.WithReadMaxBytes(maxUsageBytes))
	return ledgerpbconnect.NewManagerServiceClient(connect.NewClient(called)), func() {
		transport.CloseIdleConnections()
		hangUp()
	}, nil
}

// readerToken has the cluster make a token of the reader, if it finds that the user may.
func readerToken(ctx context.Context, in *cluster.Cluster, namespace string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: readerAccount}}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{ledgerAudience}, ExpirationSeconds: &seconds},
	}
	if err := in.SubResource("token").Create(ctx, account, request); err != nil {
		return "", explain(err, namespace, "have a token made of the ServiceAccount "+readerAccount+", as which the ledger is read")
	}
	return request.Status.Token, nil
}

// forwardToLedger reaches a ledger that serves.
func forwardToLedger(ctx context.Context, in *cluster.Cluster, namespace string) (address string, stop func(), err error) {
	pods := &corev1.PodList{}
	ledgers := client.MatchingLabels{"app.kubernetes.io/name": "modelroute-ledger"}
	if err := in.List(ctx, pods, client.InNamespace(namespace), ledgers); err != nil {
		return "", nil, explain(err, namespace, "list the pods of the ledger")
	}
	pod, port, found := forward.ReadyPod(pods.Items, ledgerPort)
	if !found {
		return "", nil, fmt.Errorf("no pod of the ledger is ready in the namespace %s; why: "+
			"kubectl modelroute doctor --system-namespace %s", namespace, namespace)
	}
	address, stop, err = forward.To(ctx, in.Config, pod, port)
	if err != nil {
		return "", nil, explain(err, namespace, "forward a port to the pod "+pod.Name)
	}
	return address, stop, nil
}

// explain says how to come by what is missing in the operator's namespace.
func explain(err error, namespace, doing string) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("cannot %s: %w\nThe Role %s of the namespace %s allows it. Who administers the cluster gives it to you with: "+
			"kubectl -n %s create rolebinding NAME --role=%s --user=YOU", doing, err, readerAccount, namespace, namespace, readerAccount)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("cannot %s: %w\nThe ledger of this version runs in another namespace, which --system-namespace names, "+
			"or is to be installed: docs/install.md", doing, err)
	}
	return cluster.Explain(err, doing)
}
