// Package apply makes the children of a route or a ModelKey what they should be: by server-side apply under one field owner, only where
// something differs, only on objects that their owner controls, and all of them or none.
package apply

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/desired"
)

// FieldOwner is the one owner under which all children are applied.
const FieldOwner = "modelroute-controller"

// NotOwnedError says that an object under a name that is needed is not controlled by the owner.
type NotOwnedError struct {
	Kind, Name string
	// Leaving is true if the object is on its way out: it is being deleted, or belongs to an earlier owner of the same name. Then waiting
	// helps.
	Leaving bool
}

// Error names the object by kind and name.
func (e *NotOwnedError) Error() string {
	return fmt.Sprintf("%s %q is not controlled by this object", e.Kind, e.Name)
}

// WriteError says that the API server refused to write or delete a child.
type WriteError struct {
	Kind string
	Err  error
}

// Error names the kind; the reason is in the wrapped error.
func (e *WriteError) Error() string { return fmt.Sprintf("writing the %s: %v", e.Kind, e.Err) }

// Unwrap returns the API server's error.
func (e *WriteError) Unwrap() error { return e.Err }

// Reason is the API server's word for why, such as Forbidden; "" if it never answered. Unlike the error's text it is the same each time.
func (e *WriteError) Reason() metav1.StatusReason { return apierrors.ReasonForError(e.Err) }

// NamespaceLeaves reports whether the child could not be made because its namespace is being deleted.
func (e *WriteError) NamespaceLeaves() bool {
	return apierrors.HasStatusCause(e.Err, corev1.NamespaceTerminatingCause)
}

// Causes are the API server's words on what is wrong with which field, sorted; nil if it did not say.
func (e *WriteError) Causes() []string {
	status, answered := errors.AsType[*apierrors.StatusError](e.Err)
	if !answered || status.ErrStatus.Details == nil {
		return nil
	}
	causes := make([]string, 0, len(status.ErrStatus.Details.Causes))
	for _, cause := range status.ErrStatus.Details.Causes {
		causes = append(causes, cause.Field+": "+cause.Message)
	}
	slices.Sort(causes)
	return causes
}

// Applier writes children.
type Applier struct {
	// Client writes, and reads from a cache that holds only objects with our label.
	Client client.Client
	// Live reads from the API server: what the cache does not show may be somebody else's.
	Live client.Reader
	// Extensions returns a cache of the objects, with our label, of a kind that not every cluster has; nil if this one does not. Objects of
	// such a kind are neither to be applied nor pruned. It is nil where there are no such objects.
	Extensions func(schema.GroupVersionKind) client.Reader
}

// child is an object as it should be beside what there is.
type child struct {
	desired.Object
	want map[string]any
	// uid is that of the object that exists; empty if there is none. live is nil if there is none or if the cache cannot show it.
	uid  types.UID
	live client.Object
	// current is true if the object is as it should be. written is what the API server has made of it, if it was not; nil before that.
	current bool
	written *unstructured.Unstructured
}

// Plan is a set of objects as they should be, beside what there was of them when it was made.
type Plan struct {
	applier  *Applier
	children []child
}

// Plan looks at what there is of the objects, and of the reserved ones, whose names are needed later: a *NotOwnedError names the first that
// exists and is not controlled by owner. Nothing is written.
func (a *Applier) Plan(ctx context.Context, owner client.Object, objects, reserved []desired.Object) (*Plan, error) {
	for _, object := range reserved {
		if _, err := a.look(ctx, owner, object); err != nil {
			return nil, err
		}
	}
	plan := &Plan{applier: a, children: make([]child, 0, len(objects))}
	for _, object := range objects {
		child, err := a.look(ctx, owner, object)
		if err != nil {
			return nil, err
		}
		if err := child.compare(); err != nil {
			return nil, fmt.Errorf("comparing the %s: %w", object.Kind.Kind, err)
		}
		plan.children = append(plan.children, child)
	}
	return plan, nil
}

// IsNew reports whether none of the objects was there.
func (p *Plan) IsNew() bool {
	return !slices.ContainsFunc(p.children, func(c child) bool { return c.uid != "" })
}

// Apply makes the objects what they should be, where they were not. A *WriteError is the API server's refusal of one; what was changed
// since the plan was made is such a refusal, too.
func (p *Plan) Apply(ctx context.Context) error {
	for i, child := range p.children {
		if child.current {
			continue
		}
		err := p.applier.handOver(ctx, child)
		if err == nil {
			p.children[i].written, err = p.applier.write(ctx, child)
		}
		if err != nil {
			return &WriteError{Kind: child.Kind.Kind, Err: err}
		}
		logr.FromContextOrDiscard(ctx).Info("Applied a child",
			"kind", child.Kind.Kind, "child", child.Name.Name, "existed", child.uid != "")
	}
	return nil
}

// Deployment returns the Deployment that Apply has written, as it is since then, which the cache may not show yet; nil if it wrote none,
// or there is no plan.
func (p *Plan) Deployment() (*appsv1.Deployment, error) {
	if p == nil {
		return nil, nil
	}
	for _, child := range p.children {
		if child.Kind.Kind != "Deployment" || child.written == nil {
			continue
		}
		deployment := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(child.written.Object, deployment); err != nil {
			return nil, fmt.Errorf("reading the Deployment that was written: %w", err)
		}
		return deployment, nil
	}
	return nil, nil
}

// settled are the kinds of children that have nothing in them that a user words. The API server takes them if it takes any of their kind.
var settled = map[string]bool{
	"ServiceAccount": true, "Role": true, "RoleBinding": true, "Secret": true, "Service": true, "PodDisruptionBudget": true,
}

// Try finds out whether Apply would succeed, and changes nothing: its errors are those of Apply. What differs from what there is, it lets
// the API server try without keeping it, so that an object that is refused leaves no half-made set behind. With thousands of routes that
// costs a noticeable part of what writing does, so that it is done only where a user's words may be refused.
func (p *Plan) Try(ctx context.Context) error {
	for _, child := range p.children {
		if child.current || child.Plain || settled[child.Kind.Kind] {
			continue
		}
		if _, err := p.applier.write(ctx, child, client.DryRunAll); err != nil {
			return &WriteError{Kind: child.Kind.Kind, Err: err}
		}
	}
	return nil
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

// look looks at what there is of an object.
func (a *Applier) look(ctx context.Context, owner client.Object, object desired.Object) (child, error) {
	its := child{Object: object}
	existing, err := a.find(ctx, object, &its)
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

// find returns the object that exists under the name, or nil. The cache is asked first; what it does not hold is looked up at the API
// server, by its metadata alone, so that a foreign Secret's values never reach this process.
func (a *Applier) find(ctx context.Context, object desired.Object, child *child) (client.Object, error) {
	kind, known := kinds[object.Kind]
	if !known {
		return nil, errors.New("this kind is not among those that are applied")
	}
	reader := a.reader(object.Kind, kind)
	if reader == nil {
		return nil, errors.New("the cluster does not have this kind")
	}
	live := kind.newObject()
	err := reader.Get(ctx, object.Name, live)
	if err == nil {
		child.live, child.uid = live, live.GetUID()
		return live, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(object.Kind)
	if err := a.Live.Get(ctx, object.Name, metadata); err != nil {
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

// write applies a child, and returns what the API server has made of it.
//
// Where an object exists its UID goes along, so that the API server refuses if another object has taken its place
// since it was looked at, and so does the version where the child was made from one. Where none exists nothing is forced: an object that
// has come since then is not overwritten but answered with a conflict.
func (a *Applier) write(ctx context.Context, child child, options ...client.ApplyOption) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{Object: child.want}
	options = append(options, client.FieldOwner(FieldOwner))
	if child.uid != "" {
		object.SetUID(child.uid)
		options = append(options, client.ForceOwnership)
	}
	if child.Seen != "" {
		if child.uid == "" {
			return nil, child.changed()
		}
		object.SetResourceVersion(child.Seen)
	}
	return object, a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
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
