package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/journal"
	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// proxy is what a pod's proxy is to the control plane: it reads its configuration, keeps a session with the ledger under its
// ServiceAccount's token, says which configuration it serves, and spends.
type proxy struct {
	// team is the team of its consumers, as its configuration would say.
	team   string
	w      *world
	route  string
	ledger *ledgerclient.Client
	served atomic.Pointer[string]
	stop   func()
}

// runPod is the kubelet and the Deployment's controller, which the API server of a test lacks: it makes a pod of the Deployment's
// template that is ready. No proxy runs in it yet. The API server refuses it unless it meets the restricted Pod Security Standard.
func (w *world) runPod(route, name string) {
	w.t.Helper()
	deployment := w.deployment(route)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: deployment.Spec.Template.Labels},
		Spec:       deployment.Spec.Template.Spec,
	}
	w.create(pod)
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := w.client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatalf("making the pod ready: %v", err)
	}
	w.rollOut(route)
}

// rollOut says in the Deployment's status that all its pods are as wanted.
func (w *world) rollOut(route string) {
	w.t.Helper()
	w.eventually("the Deployment's status is written", func() error {
		deployment := w.deployment(route)
		replicas := *deployment.Spec.Replicas
		deployment.Status = appsv1.DeploymentStatus{
			ObservedGeneration: deployment.Generation,
			Replicas:           replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
		}
		return w.client.Status().Update(w.t.Context(), deployment)
	})
}

// deployment waits for the route's Deployment.
func (w *world) deployment(route string) *appsv1.Deployment {
	w.t.Helper()
	deployment := &appsv1.Deployment{}
	w.eventually("there is a Deployment", func() error {
		return w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: route + "-proxy"}, deployment)
	})
	return deployment
}

// runProxy runs a proxy in a pod.
func (w *world) runProxy(route, pod string) *proxy {
	w.t.Helper()
	kept, replay, err := journal.Open(journal.Options{Directory: w.t.TempDir()})
	if err != nil {
		w.t.Fatalf("opening a journal: %v", err)
	}
	p := &proxy{w: w, route: route}
	p.served.Store(new(string))
	p.ledger = ledgerclient.New(ledgerclient.Options{
		URL:        w.ledger.URL,
		HTTPClient: w.ledger.HTTPClient(),
		Token:      p.token,
		Journal:    kept,
		Replay:     replay,
		Now:        time.Now,
		Instance:   pod,
		Routes:     func() []ledgerclient.Route { return []ledgerclient.Route{{Namespace: w.namespace, Name: route}} },
		ConfigHash: func() string { return *p.served.Load() },
		Logger:     slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { p.ledger.Run(ctx) })
	running.Go(func() { p.reload(ctx) })
	p.stop = func() {
		cancel()
		running.Wait()
	}
	w.t.Cleanup(p.stop)
	return p
}

// reload serves whatever the config Secret has.
func (p *proxy) reload(ctx context.Context) {
	for ctx.Err() == nil {
		secret := &corev1.Secret{}
		err := p.w.client.Get(ctx, types.NamespacedName{Namespace: p.w.namespace, Name: p.route + ".config"}, secret)
		if err == nil {
			if hash := routeconfig.Hash(secret.Data[desired.ConfigKey]); hash != *p.served.Load() {
				p.served.Store(&hash)
				p.ledger.ConfigChanged()
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// token asks the API server for a token of the proxies' ServiceAccount, as the kubelet does.
func (p *proxy) token(ctx context.Context) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: p.w.namespace, Name: p.route + "-proxy"}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{ledgerAudience}}}
	if err := p.w.client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", err
	}
	return request.Status.Token, nil
}

// spend holds and settles an amount in nano-USD for consumer search, and returns when the ledger has it.
func (p *proxy) spend(nano int64) {
	p.w.t.Helper()
	p.spendAt("openrouter", nano)
}

// spendAt is spend at an upstream of the route.
func (p *proxy) spendAt(upstream string, nano int64) {
	p.w.t.Helper()
	p.spendAs("search", upstream, nano)
}

// spendAs is spendAt for another consumer.
func (p *proxy) spendAs(consumer, upstream string, nano int64) {
	p.w.t.Helper()
	var hold *ledgerclient.Hold
	p.w.eventually("the ledger holds the money", func() (err error) {
		hold, err = p.ledger.Reserve(p.w.t.Context(), ledgerclient.Demand{
			Namespace: p.w.namespace, Route: p.route, Consumer: consumer, Team: p.team, Upstream: upstream, Amount: money.FromNano(nano),
		})
		return err
	})
	if err := hold.Settle(ledgerclient.Cost{Amount: money.FromNano(nano), Certainty: ledgerclient.Exact}); err != nil {
		p.w.t.Fatalf("settling: %v", err)
	}
	p.w.eventually("the ledger has the settlement", func() error {
		if owed := p.ledger.Owed(); owed > 0 {
			return fmt.Errorf("%d records are owed", owed)
		}
		return nil
	})
}

// serve makes a route that is ready: one pod with one proxy.
func (w *world) serve(route *v1alpha1.ModelRoute) *proxy {
	w.t.Helper()
	w.create(route)
	w.runPod(route.Name, route.Name+"-pod")
	p := w.runProxy(route.Name, route.Name+"-pod")
	w.untilReady(route.Name)
	for _, consumer := range route.Spec.Consumers {
		w.consumerSecret(route.Name, consumer.Name)
	}
	return p
}

// consumerSecret waits until the status shows a consumer's Secret, and returns it.
func (w *world) consumerSecret(routeName, consumer string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{}
	w.eventually("consumer "+consumer+" has a Secret", func() error {
		route := &v1alpha1.ModelRoute{}
		w.get(routeName, route)
		for _, status := range route.Status.Consumers {
			if status.Name == consumer && status.SecretName != "" {
				return w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: status.SecretName}, secret)
			}
		}
		return errNotDelivered
	})
	return secret
}

// acceptedHashes are the hashes of the keys that the proxies accept of a consumer.
func (w *world) acceptedHashes(route, consumer string) []string {
	w.t.Helper()
	var hashes []string
	for _, one := range w.proxyConfig(route).Routes[0].Consumers {
		for _, key := range one.Keys {
			if one.Name == consumer {
				hashes = append(hashes, key.SHA256)
			}
		}
	}
	return hashes
}

// list returns the objects of a kind in the world's namespace.
func (w *world) list(list client.ObjectList) {
	w.t.Helper()
	if err := w.client.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatalf("listing: %v", err)
	}
}

// children are the objects of all kinds that routes have, but for what the API server itself puts into a namespace.
func (w *world) children() map[string]client.Object {
	w.t.Helper()
	secrets, services, accounts := &corev1.SecretList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}
	roles, bindings, deployments := &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &appsv1.DeploymentList{}
	disruptions, scalers := &policyv1.PodDisruptionBudgetList{}, &autoscalingv2.HorizontalPodAutoscalerList{}
	policies := &networkingv1.NetworkPolicyList{}
	children := map[string]client.Object{}
	for kind, list := range map[string]client.ObjectList{
		"Secret": secrets, "Service": services, "ServiceAccount": accounts,
		"Role": roles, "RoleBinding": bindings, "Deployment": deployments,
		"PodDisruptionBudget": disruptions, "HorizontalPodAutoscaler": scalers,
		"NetworkPolicy": policies,
	} {
		w.list(list)
		items, err := meta.ExtractList(list)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, item := range items {
			object := item.(client.Object)
			if len(object.GetOwnerReferences()) > 0 {
				children[kind+" "+object.GetName()] = object
			}
		}
	}
	return children
}

// ownedBy are the names of the route's children.
func (w *world) ownedBy(route *v1alpha1.ModelRoute) []string {
	w.t.Helper()
	var names []string
	for name, child := range w.children() {
		if metav1.IsControlledBy(child, route) {
			names = append(names, name)
		}
	}
	return names
}

func (w *world) deleteChildren() {
	w.t.Helper()
	for _, child := range w.children() {
		w.delete(child)
	}
}

// versions are the resource versions of the routes and of their children.
func (w *world) versions() map[string]string {
	w.t.Helper()
	versions := map[string]string{}
	for name, child := range w.children() {
		versions[name] = child.GetResourceVersion()
	}
	routes := &v1alpha1.ModelRouteList{}
	w.list(routes)
	for _, route := range routes.Items {
		versions["ModelRoute "+route.Name] = route.ResourceVersion
	}
	return versions
}

// quiet waits until the route's status has all there is to show, and nothing was written for two looks at the ledger.
func (w *world) quiet(route string) {
	w.t.Helper()
	w.eventually("the spend is shown", func() error {
		shown := &v1alpha1.ModelRoute{}
		if w.get(route, shown); shown.Status.Spend == nil {
			return errors.New("it is not")
		}
		return nil
	})
	w.rests()
}

// rests waits until the manager writes nothing any more.
func (w *world) rests() {
	w.t.Helper()
	last, since := w.writes.Load(), time.Now()
	w.eventually("nothing is written any more", func() error {
		if now := w.writes.Load(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < 2*usageInterval+500*time.Millisecond {
			return errors.New("there were writes")
		}
		return nil
	})
}

func textOf(data map[string][]byte) map[string]string {
	text := map[string]string{}
	for name, value := range data {
		text[name] = string(value)
	}
	return text
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

func conditionOf(route *v1alpha1.ModelRoute, name string) metav1.Condition {
	if condition := meta.FindStatusCondition(route.Status.Conditions, name); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}
