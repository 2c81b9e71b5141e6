// Package compile turns a ModelRoute and what it refers to into what the proxies and the ledger are told. It is pure and
// deterministic: equal routes give equal bytes. The schema has no defaults, so they are applied here.
package compile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// defaultTimeoutSeconds bounds one request where the route does not say: as long as the clients of OpenAI's API wait by themselves.
const defaultTimeoutSeconds = 600

// UpstreamKeyDir is where proxies in a cluster find the upstreams' API keys: one directory per upstream with one file, UpstreamKeyFile.
const UpstreamKeyDir = "/etc/modelroute/upstreams"

// UpstreamKeyFile is the name of the file with the API key in an upstream's directory.
const UpstreamKeyFile = "apiKey"

// UpstreamCADir is where proxies in a cluster find the certificates of private authorities: one directory per upstream with one file,
// UpstreamCAFile.
const UpstreamCADir = "/etc/modelroute/upstream-authorities"

// UpstreamCAFile is the name of the file with the certificates in an upstream's directory, and of the key that has them where the route
// names none.
const UpstreamCAFile = "ca.crt"

// Input is all that a route's configuration is made of.
type Input struct {
	// Route says all that it needs, or was completed.
	Route *v1alpha1.ModelRoute
	// SupportedParameters are what is known of the model where the route does not say; see Completed.
	SupportedParameters []string
	// ModelKeys are those that the route admits.
	ModelKeys []*v1alpha1.ModelKey
	// Teams are those in whose names its consumers spend, as far as they have budgets.
	Teams  Teams
	Ledger routeconfig.Ledger
	// Keys are the accepted keys of each consumer, by its name, ModelKeys among them. A consumer without an entry has none yet.
	Keys map[string][]routeconfig.Key
	// ServiceAccounts are those whose tokens are accepted in the place of keys, by consumer; each is that of one alone. Issuer is who
	// issues them; nil if that is not known, and then there are none.
	ServiceAccounts map[string][]routeconfig.ServiceAccount
	Issuer          *routeconfig.Issuer
	// UpstreamKeyDir is where the proxies find the upstreams' API keys, UpstreamCADir the certificates of their authorities; empty for
	// those of a cluster, which are others in a gateway.
	UpstreamKeyDir, UpstreamCADir string
}

// Config compiles a route that Validate has found valid. An error means that it was not.
func Config(in Input) (routeconfig.Config, error) {
	defaults, overrides, err := parameters(in.Route)
	if err != nil {
		return routeconfig.Config{}, err
	}
	upstreams, err := upstreams(in)
	if err != nil {
		return routeconfig.Config{}, err
	}
	proxy := cmp.Or(in.Route.Spec.Proxy, &v1alpha1.Proxy{})
	config := routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  in.Ledger,
		Routes: []routeconfig.Route{{
			Namespace: in.Route.Namespace,
			Name:      in.Route.Name,
			Model:     model(in),
			Upstreams: upstreams,
			Defaults:  defaults,
			Overrides: overrides,

			MaxCompletionTokens: maxCompletionTokens(in.Route),
			Unsupported:         unsupported(in.Route),
			CostHeaders:         costHeaders(in.Route),
			Suspended:           IsSuspended(in.Route),

			Consumers: consumers(in),
			Denies:    denies(in.Route.Spec.Budgets, in.Route.Spec.RateLimits),
			Reserves:  reserves(in.Route.Spec.Budgets),

			MaxRequestBytes: proxy.MaxRequestBytes,
			MaxAttempts:     int64(proxy.MaxAttempts),
		}},
	}
	if routeconfig.NamesServiceAccounts(config.Routes) { // Other configurations are not to change when the issuer's keys do.
		config.Issuer = in.Issuer
	}
	return config, nil
}

// IsSuspended reports whether somebody has asked for the route to refuse requests.
func IsSuspended(route *v1alpha1.ModelRoute) bool {
	return route.Annotations[v1alpha1.AnnotationSuspended] == "true"
}

// ModelName is the name under which clients ask for the route's model.
func ModelName(route *v1alpha1.ModelRoute) string {
	return cmp.Or(route.Spec.Model.Name, route.Name)
}

// Endpoint is the base URL of the route for OpenAI clients within the cluster.
func Endpoint(route *v1alpha1.ModelRoute) string {
	scheme := "http"
	if _, encrypted := TLSSecret(route); encrypted {
		scheme = "https"
	}
	return scheme + "://" + EndpointHost(route) + "/v1"
}

// EndpointHost is the name of the route's endpoint in the cluster's DNS.
func EndpointHost(route *v1alpha1.ModelRoute) string {
	return route.Name + "." + route.Namespace + ".svc"
}

// TLSSecret is the name of the Secret with the certificate under which clients are served; false if they are served without TLS.
func TLSSecret(route *v1alpha1.ModelRoute) (string, bool) {
	if route.Spec.Proxy == nil || route.Spec.Proxy.TLS.SecretRef.Name == "" {
		return "", false
	}
	return route.Spec.Proxy.TLS.SecretRef.Name, true
}

// SecretName is the name of the Secret that delivers the consumer's key.
func SecretName(route *v1alpha1.ModelRoute, consumer v1alpha1.Consumer) string {
	return cmp.Or(consumer.SecretName, route.Name+"-"+consumer.Name)
}

// TimeoutSeconds bounds one request to the upstream.
func TimeoutSeconds(upstream v1alpha1.Upstream) int64 {
	return int64(cmp.Or(upstream.TimeoutSeconds, defaultTimeoutSeconds))
}

// costHeaders is empty where answers tell what they cost, as they do unless the route says otherwise.
func costHeaders(route *v1alpha1.ModelRoute) routeconfig.CostHeaders {
	if proxy := route.Spec.Proxy; proxy != nil && proxy.CostHeaders == v1alpha1.CostHeadersOmit {
		return routeconfig.OmitCostHeaders
	}
	return ""
}

func model(in Input) routeconfig.Model {
	route, spec := in.Route, in.Route.Spec.Model
	return routeconfig.Model{
		Name:                ModelName(route),
		Aliases:             slices.Sorted(slices.Values(spec.Aliases)),
		DisplayName:         spec.DisplayName,
		Description:         spec.Description,
		ContextLength:       spec.ContextLength,
		MaxCompletionTokens: spec.MaxCompletionTokens,
		InputModalities:     sortedNames(spec.InputModalities, v1alpha1.ModalityText),
		OutputModalities:    sortedNames(spec.OutputModalities, v1alpha1.OutputText),
		SupportedParameters: supportedParameters(in),
		Created:             max(route.CreationTimestamp.Unix(), 0),
	}
}

// supportedParameters are what the model supports, by the route or by what is known of the model; none if that is not known.
func supportedParameters(in Input) []string {
	if said := in.Route.Spec.Model.SupportedParameters; len(said) > 0 {
		return slices.Sorted(slices.Values(said))
	}
	return slices.Sorted(slices.Values(in.SupportedParameters))
}

// sortedNames returns the names sorted, or the ones that the route has where it does not say.
func sortedNames[Name ~string](names []Name, absent ...Name) []string {
	if len(names) == 0 {
		names = absent
	}
	sorted := make([]string, 0, len(names))
	for _, name := range names {
		sorted = append(sorted, string(name))
	}
	slices.Sort(sorted)
	return sorted
}

func upstreams(in Input) ([]routeconfig.Upstream, error) {
	route := in.Route
	compiled := make([]routeconfig.Upstream, 0, len(route.Spec.Upstreams))
	reserved := reservedUpstreams(route)
	for i, upstream := range route.Spec.Upstreams { // their order is the order in which they are tried
		var pricing routeconfig.Pricing
		var err error
		if !isUnpriced(upstream) {
			pricing, err = pricingOf(upstream.Pricing)
		}
		if err != nil {
			return nil, fmt.Errorf("spec.upstreams[%d].pricing.%w", i, err)
		}
		at := UpstreamModelOf(route, upstream)
		compiled = append(compiled, routeconfig.Upstream{
			Name:           upstream.Name,
			Provider:       routeconfig.Provider(upstream.Provider),
			BaseURL:        at.BaseURL,
			Model:          at.ID,
			Endpoints:      endpoints(route.Spec.Model, upstream),
			APIKeyFile:     keyFile(in, upstream),
			Pricing:        pricing,
			Unpriced:       isUnpriced(upstream),
			TimeoutSeconds: TimeoutSeconds(upstream),
			Parameters:     upstreamParameters(upstream, pricing),

			ConnectTimeoutSeconds:   int64(upstream.ConnectTimeoutSeconds),
			FirstByteTimeoutSeconds: int64(upstream.FirstByteTimeoutSeconds),
			IdleTimeoutSeconds:      int64(upstream.IdleTimeoutSeconds),
			OnDisconnect:            onDisconnect(upstream, supportedParameters(in)),

			Reserve:  reserved[upstream.Name],
			Denies:   denies(upstream.Budgets, nil),
			CAFile:   caFile(in, upstream),
			ProxyURL: upstream.ProxyURL,
			Referer:  upstream.Attribution.Referer,
			Title:    upstream.Attribution.Title,
		})
	}
	return compiled, nil
}

// onDisconnect is what becomes of a stream whose client has gone. Hanging up is of use only where it stops the bill; and what was produced
// until then can be counted only where nothing of it is hidden, as reasoning may be. OpenRouter tells the cost afterwards, so that there it
// is enough if the route does not say that the model reasons; elsewhere it has to say that it does not.
func onDisconnect(upstream v1alpha1.Upstream, supported []string) routeconfig.OnDisconnect {
	mayReason := openai.MayReason(supported)
	switch {
	case upstream.OnDisconnect != "":
		return routeconfig.OnDisconnect(upstream.OnDisconnect)
	case upstream.Provider == v1alpha1.ProviderOpenRouter && (!mayReason || len(supported) == 0):
		return routeconfig.CancelAsServed
	case upstream.Provider == v1alpha1.ProviderOpenAI && !mayReason:
		return routeconfig.Cancel
	}
	return routeconfig.Drain
}

// CABundle is what an upstream's caBundleRef names, with what it leaves out; false if the upstream has none.
func CABundle(upstream v1alpha1.Upstream) (v1alpha1.CABundleReference, bool) {
	ref := upstream.CABundleRef
	if ref == (v1alpha1.CABundleReference{}) {
		return ref, false
	}
	ref.Kind, ref.Key = cmp.Or(ref.Kind, v1alpha1.CABundleConfigMap), cmp.Or(ref.Key, UpstreamCAFile)
	return ref, true
}

// denies reports whether requests must have a bound: because a budget is not to be overspent, or a rate limit counts their tokens. One
// that counts only requests knows beforehand what each of them takes.
func denies(budgets []v1alpha1.Budget, limits []v1alpha1.RateLimit) bool {
	return limitsTokens(limits) ||
		slices.ContainsFunc(budgets, func(budget v1alpha1.Budget) bool { return budget.Enforcement == v1alpha1.EnforcementDeny })
}
