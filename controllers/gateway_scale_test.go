package controllers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// manyRoutes are as many routes as a gateway serves, each with that many keys, as their own controller has left them.
const (
	manyRoutes   = compile.MaxGatewayRoutes
	keysPerRoute = 10
	// largestSecret is half of what the API server takes.
	largestSecret = 512 << 10
)

// startGatewaysAlone starts a manager that has the controller of gateways and no other.
func (w *world) startGatewaysAlone() {
	w.t.Helper()
	manager, err := ctrl.NewManager(w.managerConfig(), ctrl.Options{
		Scheme: w.client.Scheme(), Cache: w.cacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	gateways := &GatewayExchange{}
	w.gateways = &ModelGatewayReconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Exchange: gateways, Events: &events.FakeRecorder{}, Clock: w.clock,
		Usage:  &Usage{Ledger: &saying{usage: list()}, Routes: manager.GetClient(), Gateways: gateways, Clock: w.clock},
		Config: Config{Namespace: w.namespace, LedgerURL: w.ledger.URL, ProxyImage: testImage},
	}
	err = errors.Join(
		manager.GetFieldIndexer().IndexField(ctx, &v1alpha1.ModelRoute{}, gatewayIndex, indexGateway), w.gateways.SetupWithManager(manager))
	if err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Start(ctx); err != nil {
			w.t.Errorf("running the manager: %v", err)
		}
	})
	w.stop = func() {
		cancel()
		running.Wait()
	}
}

// configOf is the configuration of a route with so many consumers, each with a key, of which the first is the given one.
func configOf(t *testing.T, route *v1alpha1.ModelRoute, first string) []byte {
	t.Helper()
	accepted := map[string][]routeconfig.Key{}
	route.Spec.Consumers = nil
	for i := range keysPerRoute {
		name := fmt.Sprintf("consumer-%d", i)
		route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: name})
		sum := make([]byte, 32)
		rand.Read(sum)
		hash := hex.EncodeToString(sum)
		accepted[name] = []routeconfig.Key{{ID: "k_" + hash[:12], SHA256: hash, Created: 1_790_000_000}}
	}
	accepted["consumer-0"][0].SHA256 = keys.Hash(first)
	made, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "http://ledger"}, Keys: accepted})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := routeconfig.Encode(made)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// createCompiled creates a route of the gateway front with what its controller would have made of it, and tells the ledger of it.
func (w *world) createCompiled(name, key string) {
	w.t.Helper()
	route := w.routeInFront(name)
	route.Spec.Model.Description = "A model that is described in about as many words as models are described in, so that its size is usual."
	encoded := configOf(w.t, route, key)
	w.create(route)
	w.ledger.PutRoute(&ledgerpb.PutRouteRequest{
		Route:  &ledgerpb.RouteRef{Namespace: w.namespace, Name: name},
		Server: "system:serviceaccount:" + w.namespace + ":front-gateway", Consumers: []string{"consumer-0"},
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.namespace, Name: desired.ConfigSecretName(route),
		Labels: map[string]string{
			v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelRoute: name, v1alpha1.LabelGateway: "front",
		},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(route, v1alpha1.GroupVersion.WithKind("ModelRoute"))},
	}, Data: map[string][]byte{desired.ConfigKey: encoded}}
	w.create(secret)
}

func TestAGatewayServesAThousandRoutesWithTenKeysEach(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.create(w.gateway())
	for i := range manyRoutes {
		name := fmt.Sprintf("route-%03d", i)
		w.createCompiled(name, "key of "+name)
	}
	w.startGatewaysAlone()
	w.untilTakenUp(manyRoutes)

	secrets := &corev1.SecretList{}
	w.list(secrets)
	largest, parts := 0, 0
	for _, secret := range secrets.Items {
		if !strings.HasPrefix(secret.Name, "front.gateway") {
			continue
		}
		parts++
		size := 0
		for _, value := range secret.Data {
			size += len(value)
		}
		if largest = max(largest, size); size >= largestSecret {
			t.Errorf("Secret %s has %d bytes", secret.Name, size)
		}
	}
	if parts != routeconfig.Parts+1 {
		t.Errorf("there are %d Secrets with the configuration", parts)
	}

	p := w.runRealProxy("front-pod")
	p.untilModels("key of route-000", "route-000")
	p.untilModels("key of route-999", "route-999")
	var took []time.Duration
	for i := range 20 {
		name := fmt.Sprintf("route-%03d", 37*i)
		route := w.routeInFront(name)
		route.Spec.Model.Name = "renamed"
		encoded := configOf(t, route, "key of "+name)
		began := time.Now()
		change(w, name+".config", &corev1.Secret{}, func(s *corev1.Secret) { s.Data[desired.ConfigKey] = encoded })
		for !slices.Equal(p.models("key of "+name), []string{"renamed"}) {
			if time.Since(began) > patience {
				t.Fatalf("%s is never served as it is now", name)
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("the largest Secret has %d bytes; a change of one route is served after %v (median), %v at the most",
		largest, took[10], took[19])
}
