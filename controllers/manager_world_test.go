package controllers

import (
	"context"
	"errors"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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

// narrowRights has managers be a user with the manager's rights but those that are withheld.
func (w *world) narrowRights(withheld func(rbacv1.PolicyRule) bool) {
	w.t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Name: "modelroute-manager"}, role); err != nil {
		w.t.Fatal(err)
	}
	narrow := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "narrow-" + w.namespace}, Rules: slices.DeleteFunc(role.Rules, withheld),
	}
	w.create(narrow)
	w.manager = rest.ImpersonationConfig{UserName: narrow.Name}
	w.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: narrow.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: narrow.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: narrow.Name}},
	})
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

// errKilled is what a manager gets to hear that a test has killed: of the last write that it made it never learns that it was made.
var errKilled = errors.New("the manager was killed")

// killAfter lets the manager make so many more writes and then no other, to the API server or to the ledger, as kill -9 does.
func (w *world) killAfter(writes int64) {
	w.writesLeft.Store(writes)
	w.mortal.Store(true)
}

// revive is for the next manager.
func (w *world) revive() { w.mortal.Store(false) }

// write makes a write of a manager.
func (w *world) write(do func() error) error {
	left := int64(1)
	if w.mortal.Load() {
		left = w.writesLeft.Add(-1)
	}
	if left < 0 {
		return errKilled
	}
	w.writes.Add(1)
	err := do()
	if left == 0 {
		return errKilled
	}
	return err
}

// countingClient makes the manager's client, which counts what it writes.
func (w *world) countingClient(config *rest.Config, options client.Options) (client.Client, error) {
	inner, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, err
	}
	return interceptor.NewClient(inner, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return w.write(func() error { return c.Create(ctx, object, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return w.write(func() error { return c.Update(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return w.write(func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			return w.write(func() error { return c.Apply(ctx, object, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return w.write(func() error { return c.Delete(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, object client.Object, patch client.Patch,
			options ...client.SubResourcePatchOption,
		) error {
			return w.write(func() error { return c.SubResource(name).Patch(ctx, object, patch, options...) })
		},
	}), nil
}
