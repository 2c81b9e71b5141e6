package tokenreview

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// The API server may be asked this often: once a minute for every proxy, and more when many of them start together.
const (
	reviewsPerSecond = 50
	reviewBurst      = 200
)

// NewReviewer returns a reviewer that asks the API server of the configuration. It knows TokenReviews and nothing else of
// Kubernetes, which keeps the ledger small; the typed client would bring every API group with it.
func NewReviewer(config *rest.Config) (Reviewer, error) {
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering TokenReview: %w", err)
	}
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &authenticationv1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.QPS, config.Burst = reviewsPerSecond, reviewBurst
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the API server: %w", err)
	}
	return &reviewer{client: client}, nil
}

type reviewer struct{ client rest.Interface }

// Review implements Reviewer.
func (r *reviewer) Review(ctx context.Context, review *authenticationv1.TokenReview) (*authenticationv1.TokenReview, error) {
	answered := &authenticationv1.TokenReview{}
	if err := r.client.Post().Resource("tokenreviews").Body(review).Do(ctx).Into(answered); err != nil {
		return nil, fmt.Errorf("creating a TokenReview: %w", err)
	}
	return answered, nil
}
