package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/desired"
)

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
	owner    client.Object
	children []child
}

// Plan looks at what there is of the objects, and of the reserved ones, whose names are needed later: a *NotOwnedError names the first that
// exists and is not controlled by owner. Nothing is written.
func (a *Applier) Plan(ctx context.Context, owner client.Object, objects, reserved []desired.Object) (*Plan, error) {
	for _, object := range reserved {
		if _, err := a.look(ctx, owner, object, a.Live); err != nil {
			return nil, err
		}
	}
	live := a.Live
	if a.OwnerIsNew {
		live = nil
	}
	plan := &Plan{applier: a, owner: owner, children: make([]child, 0, len(objects))}
	for _, object := range objects {
		child, err := a.look(ctx, owner, object, live)
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
// since the plan was made is such a refusal, too. A *NotOwnedError names an object that is somebody else's and that the plan did not look
// for, or that has come since; then nothing is left of what Apply has made.
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
			err = p.refusal(ctx, child, err)
			if _, isForeign := errors.AsType[*NotOwnedError](err); isForeign {
				err = errors.Join(err, p.undo(ctx))
			}
			return err
		}
		logr.FromContextOrDiscard(ctx).Info("Applied a child",
			"kind", child.Kind.Kind, "child", child.Name.Name, "existed", child.uid != "")
	}
	return nil
}

// refusal is what it means that the API server has not taken a child: that there is one of somebody else's where none was thought to be, or
// what the API server says.
func (p *Plan) refusal(ctx context.Context, child child, err error) error {
	if child.uid == "" && apierrors.IsConflict(err) {
		_, foreign := p.applier.look(ctx, p.owner, child.Object, p.applier.Live)
		if notOwned, isForeign := errors.AsType[*NotOwnedError](foreign); isForeign {
			return notOwned
		}
	}
	return &WriteError{Kind: child.Kind.Kind, Err: err}
}

// undo deletes what Apply has made, and not what was there.
func (p *Plan) undo(ctx context.Context) error {
	for i, child := range p.children {
		if child.written == nil || child.uid != "" {
			continue
		}
		if err := p.applier.delete(ctx, child.Kind.Kind, child.written); err != nil {
			return &WriteError{Kind: child.Kind.Kind, Err: err}
		}
		p.children[i].written = nil
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
			return p.refusal(ctx, child, err)
		}
	}
	return nil
}
