package chat

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/forward"
	clikeys "github.com/modelroute/modelroute/internal/cli/keys"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
)

// endpoint is how a model is asked.
type endpoint struct {
	url, model, key string
	transport       *http.Transport
	stop            func()
}

func (e *endpoint) close() {
	e.transport.CloseIdleConnections()
	e.stop()
}

// find finds out where a route is and by which key it is asked.
func (o *options) find(ctx context.Context, route string) (*endpoint, error) {
	found := &endpoint{url: o.url, model: route, transport: newTransport(), stop: func() {}}
	fromEnvironment, _ := o.LookupEnv(desired.ConsumerKeyAPIKey)
	if o.url != "" && o.consumer == "" && fromEnvironment != "" {
		found.key = fromEnvironment
		return found, checkKey(found.key)
	}
	in, err := o.cluster.Connect()
	if err != nil {
		return nil, err
	}
	object, err := in.Route(ctx, route)
	if err != nil {
		return nil, err
	}
	found.model = compile.ModelName(object)
	authority, err := o.keyOf(ctx, in, object, found, fromEnvironment)
	if err != nil || o.url != "" {
		return found, err
	}
	if object.Status.Endpoint == "" {
		return nil, fmt.Errorf("the ModelRoute %s has no endpoint yet; why: kubectl modelroute doctor --namespace %s", route, in.Namespace)
	}
	found.url = object.Status.Endpoint
	return found, found.reachThroughPod(ctx, in, object, authority)
}

func newTransport() *http.Transport {
	return http.DefaultTransport.(*http.Transport).Clone()
}

// keyOf finds a key, and the authority by which its Secret says that the endpoint is known.
func (o *options) keyOf(
	ctx context.Context, in *cluster.Cluster, route *v1alpha1.ModelRoute, found *endpoint, fromEnvironment string,
) (authority []byte, err error) {
	var wanted []string
	if o.consumer != "" {
		wanted = []string{o.consumer}
	} else {
		for _, consumer := range route.Spec.Consumers {
			wanted = append(wanted, consumer.Name)
		}
	}
	var unread error
	for _, name := range wanted {
		secret, err := clikeys.ConsumerSecret(ctx, in, route, name)
		if err == nil {
			found.key = string(secret.Data[desired.ConsumerKeyAPIKey])
			return secret.Data[desired.ConsumerKeyCA], checkKey(found.key)
		}
		unread = errors.Join(unread, err)
	}
	if o.consumer == "" && fromEnvironment != "" {
		found.key = fromEnvironment
		return nil, checkKey(found.key)
	}
	if unread == nil {
		unread = fmt.Errorf("the ModelRoute %s has no consumers", route.Name)
	}
	return nil, fmt.Errorf("there is no key to ask with: %w\nExport one of this route in OPENAI_API_KEY, such as a ModelKey's: "+
		`eval "$(kubectl modelroute keys env modelkey/NAME)"`, unread)
}

// checkKey refuses keys of others, which are none of a proxy's business.
func checkKey(key string) error {
	if keys.WellFormed(key) {
		return nil
	}
	return errors.New("what is to be the key is none of ModelRoute's (mrk_...) and is not sent: " +
		"unset OPENAI_API_KEY, or export a key of the route in it")
}

// reachThroughPod has connections go to a pod of the route, whatever the name of the endpoint means here.
func (e *endpoint) reachThroughPod(ctx context.Context, in *cluster.Cluster, route *v1alpha1.ModelRoute, authority []byte) error {
	selector, err := selectorOf(ctx, in, route)
	if err != nil {
		return err
	}
	name := "http"
	if strings.HasPrefix(e.url, "https:") {
		name = "https"
	}
	pods := &corev1.PodList{}
	if err := in.List(ctx, pods, client.InNamespace(route.Namespace), selector); err != nil {
		return cluster.Explain(err, "list the pods of the ModelRoute "+route.Name)
	}
	pod, port, found := forward.ReadyPod(pods.Items, name)
	if !found {
		return fmt.Errorf("no pod of the ModelRoute %s is ready; why: kubectl modelroute doctor --namespace %s",
			route.Name, route.Namespace)
	}
	address, stop, err := forward.To(ctx, in.Config, pod, port)
	if err != nil {
		return cluster.Explain(err, "forward a port to the pod "+pod.Name)
	}
	e.stop = stop
	e.transport.Proxy = nil
	e.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return e.trust(authority)
}

// trust has the endpoint be known by an authority of its own, where it has one.
func (e *endpoint) trust(authority []byte) error {
	if len(authority) == 0 {
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return errors.New("the Secret's CA_CERT has no certificate in it: kubectl modelroute keys revoke makes the Secret anew")
	}
	e.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return nil
}
