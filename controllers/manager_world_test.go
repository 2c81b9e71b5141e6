package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// managerConfig is how the manager reaches the API server: under the rights of config/rbac and no others.
func (w *world) managerConfig() *rest.Config {
	config := rest.CopyConfig(w.config)
	config.Impersonate = w.manager
	return config
}

func (w *world) cacheOptions() cache.Options {
	options := CacheOptions()
	if w.everywhere {
		return options
	}
	options.DefaultNamespaces = map[string]cache.Config{w.namespace: {}}
	for _, tenant := range w.tenants {
		options.DefaultNamespaces[tenant] = cache.Config{}
	}
	return options
}

// countingClient makes the manager's client, which counts what it writes.
func (w *world) countingClient(config *rest.Config, options client.Options) (client.Client, error) {
	inner, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, err
	}
	return interceptor.NewClient(inner, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			w.writes.Add(1)
			return c.Create(ctx, object, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			w.writes.Add(1)
			return c.Update(ctx, object, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			w.writes.Add(1)
			return c.Patch(ctx, object, patch, options...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			w.writes.Add(1)
			return c.Apply(ctx, object, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			w.writes.Add(1)
			return c.Delete(ctx, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, object client.Object, patch client.Patch,
			options ...client.SubResourcePatchOption,
		) error {
			w.writes.Add(1)
			return c.SubResource(name).Patch(ctx, object, patch, options...)
		},
	}), nil
}
