package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

const (
	// routesPerNamespace is how many routes a namespace has.
	routesPerNamespace = 100
	upstreamSecret     = "upstream"
	upstreamKey        = "apiKey"
)

// consumers are those of each route.
var consumers = []string{"search", "support"}

// inParallel calls do for each number below n, callers at a time.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range callers {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// batch is a number of routes in namespaces of their own.
type batch struct {
	name   string
	routes int
}

func (b batch) namespaces() int { return (b.routes + routesPerNamespace - 1) / routesPerNamespace }

func (b batch) namespace(i int) string { return fmt.Sprintf("%s-%d", b.name, i) }

// route is the name of the i-th route.
func (b batch) route(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: b.namespace(i / routesPerNamespace), Name: fmt.Sprintf("chat-%d", i%routesPerNamespace)}
}

// prepare makes the namespaces, with the upstreams' keys.
func (w *world) prepare(ctx context.Context, b batch) error {
	return inParallel(ctx, b.namespaces(), func(ctx context.Context, i int) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace(i)}}
		if err := w.kube.Create(ctx, namespace); err != nil {
			return fmt.Errorf("making a namespace: %w", err)
		}
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: upstreamSecret},
			Data:       map[string][]byte{upstreamKey: []byte("the upstream's key")},
		}
		if err := w.kube.Create(ctx, secret); err != nil {
			return fmt.Errorf("making the upstream's Secret: %w", err)
		}
		return nil
	})
}

// newRoute is a route with two consumers and budgets that deny.
func newRoute(name types.NamespacedName) *v1alpha1.ModelRoute {
	budget := func(amount string) []v1alpha1.Budget {
		return []v1alpha1.Budget{{
			Name: "monthly", Amount: v1alpha1.USD(amount), Enforcement: v1alpha1.EnforcementDeny,
			Window: v1alpha1.Window{Period: "Month", TimeZone: "Europe/Berlin"},
		}}
	}
	route := &v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec: v1alpha1.ModelRouteSpec{
			Model: v1alpha1.Model{ContextLength: 65536},
			Upstreams: []v1alpha1.Upstream{{
				Name: "upstream", Provider: "OpenAICompatible", BaseURL: "https://upstream.invalid/v1",
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: upstreamSecret, Key: upstreamKey},
				Pricing:         v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"},
			}},
			Budgets: budget("500.00"),
		},
	}
	for _, consumer := range consumers {
		route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: consumer, Budgets: budget("100.00")})
	}
	return route
}

// spoil makes a route invalid, in one of several ways.
func spoil(route *v1alpha1.ModelRoute, way int) {
	switch way % 3 {
	case 0: // What the operator refuses.
		route.Spec.Budgets[0].Window.TimeZone = "Europe/Nowhere"
	case 1: // What is not there.
		route.Spec.Upstreams[0].APIKeySecretRef.Name = "missing"
	default: // What the API server refuses.
		route.Spec.Proxy = &v1alpha1.Proxy{ProxyPods: v1alpha1.ProxyPods{NodeSelector: map[string]string{"no label": "x"}}}
	}
}

// createRoutes makes the routes of a batch; where every is above 0, each every-th of them is invalid.
func (w *world) createRoutes(ctx context.Context, b batch, every int) error {
	return inParallel(ctx, b.routes, func(ctx context.Context, i int) error {
		route := newRoute(b.route(i))
		if every > 0 && i%every == 0 {
			spoil(route, i/every)
		}
		if err := w.kube.Create(ctx, route); err != nil {
			return fmt.Errorf("making a route: %w", err)
		}
		return nil
	})
}
