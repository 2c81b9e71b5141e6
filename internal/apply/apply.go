// Package apply makes the children of a route or a ModelKey what they should be: by server-side apply under one field owner, only where
// something differs, only on objects that their owner controls, and all of them or none.
package apply

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/desired"
)

// FieldOwner is the one owner under which all children are applied.
const FieldOwner = "modelroute-controller"

// Applier writes children.
type Applier struct {
	// Client writes, and reads from a cache that holds only objects with our label.
	Client client.Client
	// Live reads from the API server: what the cache does not show may be somebody else's.
	Live client.Reader
	// OwnerIsNew is true of an owner that has never had children. What the cache does not show of them is then not looked up before it is
	// made, which with thousands of new owners is most of what the API server would be asked; that somebody else has the name is found out
	// when it refuses, and what was made until then is deleted again.
	OwnerIsNew bool
	// Extensions returns a cache of the objects, with our label, of a kind that not every cluster has; nil if this one does not. Objects of
	// such a kind are neither to be applied nor pruned. It is nil where there are no such objects.
	Extensions func(schema.GroupVersionKind) client.Reader
}

// Apply makes a plan and applies it. Its errors are those of both.
func (a *Applier) Apply(ctx context.Context, owner client.Object, objects, reserved []desired.Object) error {
	plan, err := a.Plan(ctx, owner, objects, reserved)
	if err != nil {
		return err
	}
	return plan.Apply(ctx)
}

// Check makes a plan and tries it. Its errors are those of both.
func (a *Applier) Check(ctx context.Context, owner client.Object, objects, reserved []desired.Object) error {
	plan, err := a.Plan(ctx, owner, objects, reserved)
	if err != nil {
		return err
	}
	return plan.Try(ctx)
}

// look looks at what there is of an object: in the cache, and where that shows none, at the API server, unless live is nil.
func (a *Applier) look(ctx context.Context, owner client.Object, object desired.Object, live client.Reader) (child, error) {
	its := child{Object: object}
	existing, err := a.find(ctx, object, &its, live)
	if err != nil {
		return child{}, fmt.Errorf("reading the %s: %w", object.Kind.Kind, err)
	}
	if existing != nil && !metav1.IsControlledBy(existing, owner) {
		return child{}, &NotOwnedError{Kind: object.Kind.Kind, Name: object.Name.Name, Leaving: isLeaving(existing, owner)}
	}
	return its, nil
}

// compare finds out what is wanted of a child, and whether it is so.
func (c *child) compare() (err error) {
	if c.want, err = toMap(c.Config); err != nil {
		return err
	}
	if err := c.beginWithReplicas(); err != nil {
		return err
	}
	c.current, err = c.isCurrent()
	return err
}

// find returns the object that exists under the name, or nil. The cache is asked first; what it does not hold is looked up in live, unless
// that is nil, by its metadata alone, so that a foreign Secret's values never reach this process.
func (a *Applier) find(ctx context.Context, object desired.Object, child *child, live client.Reader) (client.Object, error) {
	kind, known := kinds[object.Kind]
	if !known {
		return nil, errors.New("this kind is not among those that are applied")
	}
	reader := a.reader(object.Kind, kind)
	if reader == nil {
		return nil, errors.New("the cluster does not have this kind")
	}
	cached := kind.newObject()
	err := reader.Get(ctx, object.Name, cached)
	if err == nil {
		child.live, child.uid = cached, cached.GetUID()
		return cached, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	if live == nil {
		return nil, nil
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(object.Kind)
	if err := live.Get(ctx, object.Name, metadata); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	child.uid = metadata.GetUID()
	return metadata, nil
}

// reader is the cache that has the objects of a kind; nil if the cluster does not have it.
func (a *Applier) reader(gvk schema.GroupVersionKind, of kind) client.Reader {
	switch {
	case !of.isExtension:
		return a.Client
	case a.Extensions == nil:
		return nil
	}
	return a.Extensions(gvk)
}

func isLeaving(object, owner client.Object) bool {
	if !object.GetDeletionTimestamp().IsZero() {
		return true
	}
	controller := metav1.GetControllerOf(object)
	return controller != nil && controller.Kind == kindOfOwner(owner) && controller.Name == owner.GetName() &&
		controller.UID != owner.GetUID()
}

// kindOfOwner is the kind of our own objects: the name of their type. Those that are read with types do not say it themselves.
func kindOfOwner(owner client.Object) string { return reflect.TypeOf(owner).Elem().Name() }

// changed is the conflict of a child that is not any more what it was made from.
func (c child) changed() error {
	resource := schema.GroupResource{Group: c.Kind.Group, Resource: strings.ToLower(c.Kind.Kind) + "s"}
	return apierrors.NewConflict(resource, c.Name.Name, errors.New("it was deleted since it was looked at"))
}

// versionOfNone is a version that no object has, since the store itself begins with it. The API server compares the version of what is
// applied with that of the object that there is, and does not where there is none.
const versionOfNone = "1"

// write applies a child, and returns what the API server has made of it.
//
// Where an object exists its UID goes along, so that the API server refuses if another object has taken its place
// since it was looked at, and so does the version where the child was made from one. Where none is known to exist the API server is to make
// one: it refuses, with a conflict, to touch one that is there.
func (a *Applier) write(ctx context.Context, child child, options ...client.ApplyOption) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{Object: child.want}
	options = append(options, client.FieldOwner(FieldOwner))
	if child.uid != "" {
		object.SetUID(child.uid)
		options = append(options, client.ForceOwnership)
	} else {
		object.SetResourceVersion(versionOfNone)
	}
	if child.Seen != "" {
		if child.uid == "" {
			return nil, child.changed()
		}
		object.SetResourceVersion(child.Seen)
	}
	if err := a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...); err != nil {
		return nil, err
	}
	return object, nil
}

// Prune deletes the children that owner controls in its namespace, of those that match the labels, and that are not among keep.
func (a *Applier) Prune(ctx context.Context, owner client.Object, labels client.MatchingLabels, keep []desired.Object) error {
	type key struct {
		kind string
		name types.NamespacedName
	}
	kept := map[key]bool{}
	for _, object := range keep {
		kept[key{object.Kind.Kind, object.Name}] = true
	}
	for gvk, kind := range kinds {
		reader := a.reader(gvk, kind)
		if reader == nil {
			continue
		}
		objects, err := list(ctx, reader, kind, client.InNamespace(owner.GetNamespace()), labels)
		if err != nil {
			return fmt.Errorf("listing kind %s: %w", gvk.Kind, err)
		}
		for _, object := range objects {
			isKept := kept[key{gvk.Kind, client.ObjectKeyFromObject(object)}]
			if isKept || !metav1.IsControlledBy(object, owner) || !object.GetDeletionTimestamp().IsZero() {
				continue
			}
			if err := a.delete(ctx, gvk.Kind, object); err != nil {
				return &WriteError{Kind: gvk.Kind, Err: err}
			}
		}
	}
	return nil
}

// delete deletes the object that was looked at, and no other that has taken its name since.
func (a *Applier) delete(ctx context.Context, kind string, object client.Object) error {
	uid := object.GetUID()
	err := a.Client.Delete(ctx, object, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	logr.FromContextOrDiscard(ctx).Info("Deleted a child that is no longer wanted", "kind", kind, "child", object.GetName())
	return nil
}
