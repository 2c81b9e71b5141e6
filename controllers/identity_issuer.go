package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/workload"
)

const (
	// The API server's OpenID endpoints, which every ServiceAccount may read by the ClusterRole system:service-account-issuer-discovery.
	issuerPath = "/.well-known/openid-configuration"
	keysPath   = "/openid/v1/jwks"
	// issuerInterval is how old what is known of the issuer may be. Routes are looked at about as often.
	issuerInterval = 50 * time.Second
	// issuerTimeout bounds one reading, for which passes over routes wait.
	issuerTimeout = 5 * time.Second
)

// TokenIssuer knows who issues the tokens of the cluster's ServiceAccounts, and by which keys they are verified. The API server says so; it
// is asked when somebody needs to know.
type TokenIssuer struct {
	api   rest.Interface
	clock clock.PassiveClock

	mu      sync.Mutex
	known   *routeconfig.Issuer
	problem *unresolvedError
	asked   time.Time
}

// NewTokenIssuer makes a TokenIssuer that asks an API server. The error says what is wrong with the configuration.
func NewTokenIssuer(config *rest.Config, over *http.Client, clock clock.PassiveClock) (*TokenIssuer, error) {
	made, err := discovery.NewDiscoveryClientForConfigAndClient(config, over)
	if err != nil {
		return nil, fmt.Errorf("making a client for the API server's keys: %w", err)
	}
	return &TokenIssuer{api: made.RESTClient(), clock: clock}, nil
}

// issuer returns what a configuration is to have at its top if a route of it names ServiceAccounts: nil where the API server has never
// said. The problem is why it does not say now, nil if it does; the error is one that another try may cure, where nothing is known.
func (i *TokenIssuer) issuer(ctx context.Context) (*routeconfig.Issuer, *unresolvedError, error) {
	if i == nil {
		return nil, issuerUnavailable("this manager does not ask it"), nil
	}
	i.mu.Lock() // Whoever comes meanwhile needs the same answer.
	defer i.mu.Unlock()
	now := i.clock.Now()
	if !i.asked.IsZero() && now.Sub(i.asked) < issuerInterval {
		return i.known, i.problem, nil
	}
	read, err := i.read(ctx)
	switch {
	case err == nil:
		i.known, i.problem, i.asked = read, nil, now
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		i.problem, i.asked = issuerUnavailable("it refuses the manager: bind the ClusterRole system:service-account-issuer-discovery to "+
			"the manager's ServiceAccount, as Kubernetes does to all"), now
	case apierrors.IsNotFound(err):
		i.problem, i.asked = issuerUnavailable("it has no OpenID endpoints: start it with a --service-account-issuer that is a URL"), now
	case i.known != nil:
		log.FromContext(ctx).Info("The keys of ServiceAccounts' tokens could not be read; those that are known stay", "error", err.Error())
	default:
		return nil, nil, fmt.Errorf("reading the keys of ServiceAccounts' tokens: %w", err)
	}
	return i.known, i.problem, nil
}

func issuerUnavailable(why string) *unresolvedError {
	return &unresolvedError{
		Reason:  v1alpha1.ReasonIssuerUnavailable,
		Message: "The API server does not say by which keys tokens of ServiceAccounts are verified, since " + why + ".",
	}
}

func (i *TokenIssuer) read(ctx context.Context) (*routeconfig.Issuer, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerTimeout)
	defer cancel()
	document, err := i.api.Get().AbsPath(issuerPath).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var said struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(document, &said); err != nil {
		return nil, fmt.Errorf("reading %s: %w", issuerPath, err)
	}
	set, err := i.api.Get().AbsPath(keysPath).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := workload.ReadKeys(set)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", keysPath, err)
	}
	return &routeconfig.Issuer{URL: said.Issuer, Audience: v1alpha1.TokenAudience, Keys: keys}, nil
}
