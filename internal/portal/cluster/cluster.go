// Package cluster is where the portal of a cluster has its routes from: the API server, which is asked with the visitor's own token. So
// people see what Kubernetes lets them see, and the portal needs no right of its own.
package cluster

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
)

const (
	routesResource, teamsResource = "modelroutes", "teambudgets"
	// patience is how long the API server may take for an answer.
	patience = 20 * time.Second
)

// scheme has the kinds that are asked for.
var scheme = func() *runtime.Scheme {
	made := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(made))
	utilruntime.Must(authenticationv1.AddToScheme(made))
	return made
}()

// Source asks an API server. It is a portal.Source.
type Source struct {
	// server says where the API server is and by what it is known, and holds no credentials.
	server *rest.Config
}

// New makes a source. Of the configuration it uses where the API server is and by which authorities it is known, and never credentials.
func New(config *rest.Config) *Source {
	server := rest.AnonymousClientConfig(config)
	server.UserAgent, server.Timeout = "modelroute-portal", patience
	server.APIPath = "/apis"
	server.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return &Source{server: server}
}

// as asks in the name of the visitor.
func (s *Source) as(visitor portal.Visitor, group schema.GroupVersion) (*rest.RESTClient, error) {
	if visitor.Token == "" {
		return nil, portal.ErrUnknownVisitor
	}
	config := rest.CopyConfig(s.server)
	config.BearerToken, config.GroupVersion = visitor.Token, &group
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask the API server: %w", err)
	}
	return client, nil
}

// List returns the routes that the visitor may list.
func (s *Source) List(ctx context.Context, visitor portal.Visitor, namespace string) ([]v1alpha1.ModelRoute, error) {
	if namespace != "" && !isName(namespace) {
		return nil, portal.ErrNotFound
	}
	client, err := s.as(visitor, v1alpha1.GroupVersion)
	if err != nil {
		return nil, err
	}
	var list v1alpha1.ModelRouteList
	// What the API server has in its cache is good enough, and spares etcd.
	err = client.Get().Resource(routesResource).Namespace(namespace).Param("resourceVersion", "0").Do(ctx).Into(&list)
	return list.Items, told("listing routes", err)
}

// Get returns a route that the visitor may get.
func (s *Source) Get(ctx context.Context, visitor portal.Visitor, namespace, name string) (*v1alpha1.ModelRoute, error) {
	if !isName(namespace) || !isName(name) {
		return nil, portal.ErrNotFound
	}
	client, err := s.as(visitor, v1alpha1.GroupVersion)
	if err != nil {
		return nil, err
	}
	var route v1alpha1.ModelRoute
	err = client.Get().Resource(routesResource).Namespace(namespace).Name(name).Do(ctx).Into(&route)
	return &route, told("reading a route", err)
}

// Teams returns the TeamBudgets that the visitor may list.
func (s *Source) Teams(ctx context.Context, visitor portal.Visitor) ([]v1alpha1.TeamBudget, error) {
	client, err := s.as(visitor, v1alpha1.GroupVersion)
	if err != nil {
		return nil, err
	}
	var list v1alpha1.TeamBudgetList
	err = client.Get().Resource(teamsResource).Param("resourceVersion", "0").Do(ctx).Into(&list)
	return list.Items, told("listing the budgets of teams", err)
}

// isName reports whether there can be a namespace or a route of this name.
func isName(name string) bool { return len(validation.IsDNS1123Label(name)) == 0 }

// WhoIs asks the API server who the visitor is.
func (s *Source) WhoIs(ctx context.Context, visitor portal.Visitor) (string, error) {
	client, err := s.as(visitor, authenticationv1.SchemeGroupVersion)
	if err != nil {
		return "", err
	}
	var review authenticationv1.SelfSubjectReview
	err = client.Post().Resource("selfsubjectreviews").Body(&authenticationv1.SelfSubjectReview{}).Do(ctx).Into(&review)
	return review.Status.UserInfo.Username, told("asking who the visitor is", err)
}

// told says in the portal's words what the API server said.
func told(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w: %w", doing, portal.ErrUnknownVisitor, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w: %w", doing, portal.ErrForbidden, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: %w: %w", doing, portal.ErrNotFound, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
