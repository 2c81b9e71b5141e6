package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/api/v1alpha1"
	dataplane "github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
)

// gateway is the gateway front of the world's namespace, with one proxy.
func (w *world) gateway() *v1alpha1.ModelGateway {
	return &v1alpha1.ModelGateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "front"},
		Spec:       &v1alpha1.ModelGatewaySpec{ProxyPods: v1alpha1.ProxyPods{Replicas: new(int32(1))}},
	}
}

// routeInFront is a route that the gateway front serves.
func (w *world) routeInFront(name string) *v1alpha1.ModelRoute {
	route := w.route()
	route.Name, route.Spec.Proxy = name, nil
	route.Spec.GatewayRef.Name = "front"
	return route
}

func (w *world) untilGateway(condition string, status metav1.ConditionStatus, reason string) *v1alpha1.ModelGateway {
	w.t.Helper()
	gateway := &v1alpha1.ModelGateway{}
	w.eventually(fmt.Sprintf("%s of the gateway is %s with reason %s", condition, status, reason), func() error {
		w.get("front", gateway)
		have := meta.FindStatusCondition(gateway.Status.Conditions, condition)
		if gateway.Status.ObservedGeneration == gateway.Generation && have != nil && have.Status == status && have.Reason == reason {
			return nil
		}
		return fmt.Errorf("the conditions are %v", gateway.Status.Conditions)
	})
	checkReadiness(w.t, gateway.Generation, gateway.Status.ObservedGeneration, gateway.Status.Conditions)
	return gateway
}

func (w *world) untilGatewayReady() *v1alpha1.ModelGateway {
	w.t.Helper()
	return w.untilGateway(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// gatewayDeployment waits for the gateway's Deployment.
func (w *world) gatewayDeployment() *appsv1.Deployment {
	w.t.Helper()
	deployment := &appsv1.Deployment{}
	w.eventually("there is a Deployment of the gateway", func() error {
		return w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "front-gateway"}, deployment)
	})
	return deployment
}

// rollOutGateway is the Deployment's controller: whenever the template is another one, it says that all pods are of it.
func (w *world) rollOutGateway() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			deployment := &appsv1.Deployment{}
			err := w.client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "front-gateway"}, deployment)
			if replicas := deployment.Spec.Replicas; err == nil && deployment.Status.ObservedGeneration != deployment.Generation {
				deployment.Status = appsv1.DeploymentStatus{
					ObservedGeneration: deployment.Generation,
					Replicas:           *replicas, UpdatedReplicas: *replicas, ReadyReplicas: *replicas, AvailableReplicas: *replicas,
				}
				_ = w.client.Status().Update(ctx, deployment) // The next turn tries again.
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	w.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// realProxy is the program that runs in the gateway's pods, with the rights of their ServiceAccount.
type realProxy struct {
	w       *world
	address string
	stop    func()
}

// runGatewayPod makes a pod of the gateway that is ready, and runs a proxy as it would run there.
func (w *world) runGatewayPod(name string) *realProxy {
	w.t.Helper()
	template := w.gatewayDeployment().Spec.Template
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: template.Labels}, Spec: template.Spec,
	}
	w.create(pod)
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := w.client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatalf("making the pod ready: %v", err)
	}
	w.rollOutGateway()
	return w.runRealProxy(name)
}

func (w *world) runRealProxy(instance string) *realProxy {
	w.t.Helper()
	config := rest.CopyConfig(w.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + w.namespace + ":front-gateway"}
	secret, err := configsource.NewSecret(config, w.namespace+"/front.gateway")
	if err != nil {
		w.t.Fatal(err)
	}
	var listen net.ListenConfig
	public, err1 := listen.Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	admin, err2 := listen.Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err := errors.Join(err1, err2); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	options := dataplane.Options{
		Listener: public, AdminListener: admin, Secret: secret, JournalDir: w.t.TempDir(), LedgerToken: w.gatewayToken,
		Instance: instance, CorrectAfter: -1, Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{},
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := dataplane.Run(ctx, options); err != nil {
			w.t.Errorf("running a proxy: %v", err)
		}
	})
	p := &realProxy{w: w, address: public.Addr().String(), stop: sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})}
	w.t.Cleanup(p.stop)
	return p
}

// gatewayToken asks the API server for a token of the gateway's ServiceAccount, as the kubelet does.
func (w *world) gatewayToken(ctx context.Context) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "front-gateway"}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{ledgerAudience}}}
	if err := w.client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", err
	}
	return request.Status.Token, nil
}

// models are those that a key reaches, sorted; nil if the key is refused.
func (p *realProxy) models(key string) []string {
	p.w.t.Helper()
	request, err := http.NewRequestWithContext(p.w.t.Context(), http.MethodGet, "http://"+p.address+"/v1/models", nil)
	if err != nil {
		p.w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&list) != nil {
		return nil
	}
	names := []string{}
	for _, one := range list.Data {
		names = append(names, one.ID)
	}
	slices.Sort(names)
	return names
}

// untilModels waits until a key reaches these models and no others.
func (p *realProxy) untilModels(key string, want ...string) {
	p.w.t.Helper()
	p.w.eventually(fmt.Sprintf("the key reaches %v", want), func() error {
		if got := p.models(key); !slices.Equal(got, want) {
			return fmt.Errorf("it reaches %v", got)
		}
		return nil
	})
}

// untilTakenUp waits until the gateway has so many routes in its configuration.
func (w *world) untilTakenUp(routes int) {
	w.t.Helper()
	w.eventually("the gateway has taken up the routes", func() error {
		gateway := &v1alpha1.ModelGateway{}
		w.get("front", gateway)
		if gateway.Status.Routes == nil || *gateway.Status.Routes.Served != int64(routes) {
			return fmt.Errorf("the status is %+v", gateway.Status)
		}
		return nil
	})
}

// serveFront makes the gateway front with routes of these names, all of them ready.
func serveFront(t *testing.T, w *world, names ...string) *realProxy {
	t.Helper()
	w.create(w.gateway())
	for _, name := range names {
		w.create(w.routeInFront(name))
	}
	w.untilTakenUp(len(names))
	p := w.runGatewayPod("front-pod")
	for _, name := range names {
		w.untilReady(name)
	}
	w.untilGatewayReady()
	return p
}
