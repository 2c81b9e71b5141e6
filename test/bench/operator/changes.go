package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// changeTime is how long a change may take before the benchmark gives up.
const changeTime = time.Minute

// change times changes of single routes, one after the other, from the moment at which the change is sent to the API server: at routes with
// a proxy until it serves them, at others until they are in the config Secret.
func (b *bench) change(ctx context.Context) error {
	for i := range b.sizes.changes {
		p := b.proxies[i%len(b.proxies)]
		took, err := b.changeServed(ctx, p, describe(i))
		if err != nil {
			return err
		}
		b.results.toProxy = append(b.results.toProxy, took)
	}
	// One of many, each another one.
	step := max(1, (b.all.routes-b.sizes.proxied)/b.sizes.changes)
	for i := range b.sizes.changes {
		at := b.sizes.proxied + i*step%(b.all.routes-b.sizes.proxied)
		took, err := b.changeWritten(ctx, b.all.route(at), describe(i))
		if err != nil {
			return err
		}
		b.results.toSecret = append(b.results.toSecret, took)
	}
	return b.awaitIdle(ctx)
}

func describe(i int) string { return fmt.Sprintf("This is change %d.", i) }

// patch changes the description of a route's model.
func (w *world) patch(ctx context.Context, route types.NamespacedName, description string) error {
	object := &v1alpha1.ModelRoute{}
	object.Namespace, object.Name = route.Namespace, route.Name
	patch := fmt.Appendf(nil, `{"spec":{"model":{"description":%q}}}`, description)
	if err := w.kube.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("changing a route: %w", err)
	}
	return nil
}

func (b *bench) changeServed(ctx context.Context, p *realProxy, description string) (time.Duration, error) {
	began := time.Now()
	if err := b.world.patch(ctx, p.route, description); err != nil {
		return 0, err
	}
	for !p.says(ctx, description) {
		if time.Since(began) > changeTime {
			return 0, fmt.Errorf("a change of %s was not served within %s", p.route, changeTime)
		}
		if !rig.Pause(ctx, time.Millisecond) {
			return 0, ctx.Err()
		}
	}
	return time.Since(began), nil
}

func (b *bench) changeWritten(ctx context.Context, route types.NamespacedName, description string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	watched, err := b.world.kube.Watch(ctx, &corev1.SecretList{}, client.InNamespace(route.Namespace),
		client.MatchingFields{"metadata.name": route.Name + ".config"})
	if err != nil {
		return 0, fmt.Errorf("watching a configuration: %w", err)
	}
	defer watched.Stop()
	began := time.Now()
	if err := b.world.patch(ctx, route, description); err != nil {
		return 0, err
	}
	config, err := await(watched, description)
	if err != nil {
		return 0, fmt.Errorf("a change of %s: %w", route, err)
	}
	took := time.Since(began)
	return took, b.sessions[route].serve(ctx, b.world, routeconfig.Hash(config))
}

// await returns the configuration once it has the text in it.
func await(watched watch.Interface, text string) ([]byte, error) {
	for event := range watched.ResultChan() {
		if secret, is := event.Object.(*corev1.Secret); is && strings.Contains(string(secret.Data[desired.ConfigKey]), text) {
			return secret.Data[desired.ConfigKey], nil
		}
	}
	return nil, errors.New("it did not get into the configuration in time")
}
