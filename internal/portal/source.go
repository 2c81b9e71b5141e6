package portal

import (
	"context"
	"errors"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// Source is where the routes and the budgets of teams come from.
type Source interface {
	// List returns the routes that the visitor may see, of one namespace or, where that is empty, of all.
	List(ctx context.Context, visitor Visitor, namespace string) ([]v1alpha1.ModelRoute, error)
	// Get returns one route.
	Get(ctx context.Context, visitor Visitor, namespace, name string) (*v1alpha1.ModelRoute, error)
	// Teams returns the TeamBudgets that the visitor may see, which are in no namespace.
	Teams(ctx context.Context, visitor Visitor) ([]v1alpha1.TeamBudget, error)
}

// Visitor is who asks: whatever the source's own way is to know them. The zero value is somebody who has not said who they are.
type Visitor struct {
	// Token is the visitor's own bearer token for the API server. It is a secret: it goes there and nowhere else.
	Token string
}

// Errors of a Source.
var (
	// ErrNotFound means that there is no such route or team.
	ErrNotFound = errors.New("there is no such thing")
	// ErrUnknownVisitor means that the visitor has to say who they are first, or again.
	ErrUnknownVisitor = errors.New("the visitor is not known")
	// ErrForbidden means that the visitor may not see this.
	ErrForbidden = errors.New("the visitor may not see this")
)
