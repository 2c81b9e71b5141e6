package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// patience bounds what is waited for: with thousands of routes it takes minutes.
const patience = 20 * time.Minute

// countInterval is how often is counted what there is: often enough for a wait of seconds, and without a load that would be measured.
const countInterval = 100 * time.Millisecond

var (
	deployments = appsv1.SchemeGroupVersion.WithKind("Deployment")
	secrets     = corev1.SchemeGroupVersion.WithKind("Secret")
)

// ours are the labels of all that the operator makes.
var ours = client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}

// children are all objects of a batch that belong to routes, but for the pods.
func (w *world) children(ctx context.Context, b batch) ([]client.Object, error) {
	var found []client.Object
	for i := range b.namespaces() {
		for _, list := range []client.ObjectList{
			&corev1.ServiceAccountList{}, &corev1.SecretList{}, &corev1.ServiceList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
			&policyv1.PodDisruptionBudgetList{}, &appsv1.DeploymentList{},
		} {
			if err := w.kube.List(ctx, list, client.InNamespace(b.namespace(i)), ours); err != nil {
				return nil, fmt.Errorf("listing the children: %w", err)
			}
			items, err := meta.ExtractList(list)
			if err != nil {
				return nil, fmt.Errorf("listing the children: %w", err)
			}
			for _, item := range items {
				found = append(found, item.(client.Object))
			}
		}
	}
	return found, nil
}

// deleteChildren deletes the objects of a batch.
func (w *world) deleteChildren(ctx context.Context, b batch) error {
	return inParallel(ctx, b.namespaces(), func(ctx context.Context, i int) error {
		for _, object := range []client.Object{
			&corev1.ServiceAccount{}, &corev1.Secret{}, &corev1.Service{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
			&policyv1.PodDisruptionBudget{}, &appsv1.Deployment{},
		} {
			if err := w.kube.DeleteAllOf(ctx, object, client.InNamespace(b.namespace(i)), ours); err != nil {
				return fmt.Errorf("deleting the copies: %w", err)
			}
		}
		return nil
	})
}

// count asks how many objects of a kind there are, without reading them.
func (w *world) count(ctx context.Context, kind schema.GroupVersionKind) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	if err := w.kube.List(ctx, list, client.Limit(1)); err != nil {
		return 0, fmt.Errorf("counting kind %s: %w", kind.Kind, err)
	}
	return len(list.Items) + int(ptr.Deref(list.RemainingItemCount, 0)), nil
}

// awaitCount waits until there are so many more objects of a kind than before.
func (w *world) awaitCount(ctx context.Context, kind schema.GroupVersionKind, before, more int) error {
	deadline := time.Now().Add(patience)
	for rig.Pause(ctx, countInterval) {
		now, err := w.count(ctx, kind)
		switch {
		case err != nil:
			return err
		case now >= before+more:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("after %s there are %d of kind %s, want %d", patience, now, kind.Kind, before+more)
		}
	}
	return ctx.Err()
}

// versions are the resourceVersions of objects.
func versions(objects []client.Object) map[types.UID]string {
	found := make(map[types.UID]string, len(objects))
	for _, object := range objects {
		found[object.GetUID()] = object.GetResourceVersion()
	}
	return found
}

// copies are the objects of a batch as somebody makes them for the first time, in the namespaces of another.
func copies(objects []client.Object, from, to batch) []client.Object {
	made := make([]client.Object, 0, len(objects))
	for _, object := range objects {
		its := object.DeepCopyObject().(client.Object)
		its.SetNamespace(to.name + strings.TrimPrefix(object.GetNamespace(), from.name))
		its.SetResourceVersion("")
		its.SetUID("")
		its.SetManagedFields(nil)
		its.SetCreationTimestamp(metav1.Time{})
		its.SetGeneration(0)
		if service, is := its.(*corev1.Service); is {
			service.Spec.ClusterIP, service.Spec.ClusterIPs = "", nil
		}
		made = append(made, its)
	}
	return made
}

// wanted are the objects that the operator has made, route by route, as it asks for them, in the namespaces of another batch.
func (b *bench) wanted(objects []client.Object, to batch) ([][]desired.Object, error) {
	configs := map[types.NamespacedName][]byte{}
	owners := map[types.NamespacedName]types.UID{}
	for _, object := range objects {
		if secret, is := object.(*corev1.Secret); is && secret.Data[desired.ConfigKey] != nil {
			name := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Labels[v1alpha1.LabelRoute]}
			configs[name], owners[name] = secret.Data[desired.ConfigKey], secret.OwnerReferences[0].UID
		}
	}
	wanted, count := make([][]desired.Object, b.all.routes), 0
	for i := range wanted {
		route := newRoute(to.route(i))
		route.UID = owners[b.all.route(i)]
		if route.UID == "" {
			return nil, fmt.Errorf("route %s has no configuration", b.all.route(i))
		}
		wanted[i] = desired.Objects(desired.Input{
			Route: route, Config: configs[b.all.route(i)], Program: desired.Program{Image: proxyImage},
		})
		count += len(wanted[i])
	}
	if count != len(objects) {
		return nil, fmt.Errorf("the operator has made %d objects, want %d", len(objects), count)
	}
	return wanted, nil
}
