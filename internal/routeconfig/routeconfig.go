// Package routeconfig is what a proxy is told: which routes it serves, for whom, at which upstreams and prices. It knows
// nothing of Kubernetes; in a cluster the manager compiles it from ModelRoutes into a Secret, on a laptop the local mode
// compiles it from the same manifests.
package routeconfig

import (
	"encoding/json"
	"slices"
)

// Version is the version of the format. A proxy refuses a configuration of another version and keeps the one that it has.
const Version = "modelroute.dev/config/v1"

// Config is the whole configuration of one proxy. Its lists are sorted by name, so that the same routes always make the same bytes.
type Config struct {
	Version string `json:"version"`
	Ledger  Ledger `json:"ledger"`
	// Issuer is whose tokens are accepted of the ServiceAccounts that consumers have; nil where none has any.
	Issuer *Issuer `json:"issuer,omitempty"`
	// Routes are sorted by namespace and name.
	Routes []Route `json:"routes"`
}

// Ledger is where the proxy reserves and settles money.
type Ledger struct {
	// URL is the base URL of the ledger's RPCs, such as https://modelroute-ledger.modelroute-system.svc:8443.
	URL string `json:"url"`
	// CA is the PEM bundle of the authorities that may have signed the ledger's certificate.
	CA string `json:"ca,omitempty"`
}

// Route is one model under one name, with its consumers.
type Route struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Model     Model  `json:"model"`
	// Upstreams are tried in this order, but for the reserves among them.
	Upstreams []Upstream `json:"upstreams"`
	// Defaults are set where the client sent nothing, sorted by name.
	Defaults []Parameter `json:"defaults,omitempty"`
	// Overrides are set whatever the client sent, sorted by name.
	Overrides []Parameter `json:"overrides,omitempty"`
	// MaxCompletionTokens is what the completion limit of every request is lowered to, in tokens per choice; 0 if there is no such bound.
	// Unlike the model's it is also sent where nothing else asks for a limit.
	MaxCompletionTokens int64 `json:"maxCompletionTokens,omitempty"`
	// Unsupported says what becomes of parameters that are not among the model's; empty if they are passed on.
	Unsupported Unsupported `json:"unsupported,omitempty"`
	// CostHeaders is OmitCostHeaders if answers do not tell what they cost and what is left; empty if they do.
	CostHeaders CostHeaders `json:"costHeaders,omitempty"`
	// Suspended is true while every request is refused that is not yet under way.
	Suspended bool `json:"suspended,omitempty"`
	// Consumers are sorted by name.
	Consumers []Consumer `json:"consumers,omitempty"`
	// Denies is true if a budget of the route denies or a rate limit of the route counts tokens: then every request carries a
	// completion limit, and one whose cost or tokens have no bound is refused.
	Denies bool `json:"denies,omitempty"`
	// MaxRequestBytes is how large a body may be, and MaxAttempts how often a request is sent to upstreams at the most; 0 leaves either to
	// the proxy.
	MaxRequestBytes int64 `json:"maxRequestBytes,omitempty"`
	MaxAttempts     int64 `json:"maxAttempts,omitempty"`
	// Reserves are those of the route's budgets, sorted by budget.
	Reserves []Reserve `json:"reserves,omitempty"`
}

// Upstream finds an upstream by its name; nil if there is none.
func (r *Route) Upstream(name string) *Upstream {
	for i := range r.Upstreams {
		if r.Upstreams[i].Name == name {
			return &r.Upstreams[i]
		}
	}
	return nil
}

// Model is what clients are told of the model, and what bounds a request.
type Model struct {
	// Name is what clients send; Aliases are accepted in its place.
	Name        string   `json:"name"`
	Aliases     []string `json:"aliases,omitempty"`
	DisplayName string   `json:"displayName,omitempty"`
	Description string   `json:"description,omitempty"`
	// ContextLength is how many tokens prompt and completion may have together.
	ContextLength int64 `json:"contextLength"`
	// MaxCompletionTokens is how many tokens the model can produce in one choice; 0 if only the context bounds it.
	MaxCompletionTokens int64    `json:"maxCompletionTokens,omitempty"`
	InputModalities     []string `json:"inputModalities,omitempty"`
	OutputModalities    []string `json:"outputModalities,omitempty"`
	SupportedParameters []string `json:"supportedParameters,omitempty"`
	// Created is when the route was created, in Unix seconds, for the models endpoint.
	Created int64 `json:"created"`
}

// Provider is the dialect and the billing rules of an upstream.
type Provider string

const (
	// OpenRouter reports the cost of a request with its usage, and always reports usage.
	OpenRouter Provider = "OpenRouter"
	// OpenAI reports tokens, and on a stream only when asked with stream_options.
	OpenAI Provider = "OpenAI"
	// Mistral reports tokens, on a stream too, and has names of its own for some parameters.
	Mistral Provider = "Mistral"
	// OpenAICompatible is any other server of OpenAI's API, such as vLLM. It reports tokens, as OpenAI does, and may know every parameter.
	OpenAICompatible Provider = "OpenAICompatible"
)

// Endpoint is one of the API's operations.
type Endpoint string

// The endpoints that an upstream may have.
const (
	ChatCompletions Endpoint = "ChatCompletions"
	Completions     Endpoint = "Completions"
	Embeddings      Endpoint = "Embeddings"
	Responses       Endpoint = "Responses"
	Messages        Endpoint = "Messages"
)

// Upstream is a place that serves the model.
type Upstream struct {
	Name     string   `json:"name"`
	Provider Provider `json:"provider"`
	// BaseURL ends before the path of an operation, for example https://openrouter.ai/api/v1, without a slash at its end.
	BaseURL string `json:"baseURL"`
	// Endpoints are those that it serves the model at, sorted. Without any it has ChatCompletions alone, as upstreams of configurations
	// had that did not say.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Model is the model's id at this upstream.
	Model string `json:"model"`
	// APIKeyFile is the file that holds the upstream's API key.
	APIKeyFile string  `json:"apiKeyFile"`
	Pricing    Pricing `json:"pricing"`
	// Unpriced is true if no price is known, so that Pricing is nothing: what the upstream reports is booked, and no budget may deny.
	Unpriced bool `json:"unpriced,omitempty"`
	// TimeoutSeconds bounds one attempt from its first byte sent to its last byte received.
	TimeoutSeconds int64 `json:"timeoutSeconds"`
	// Parameters are set in every request to this upstream, sorted by name. Clients cannot set them.
	Parameters []Parameter `json:"parameters,omitempty"`
	// ConnectTimeoutSeconds bounds the making of a connection; 0 leaves it to the proxy.
	ConnectTimeoutSeconds int64 `json:"connectTimeoutSeconds,omitempty"`
	// FirstByteTimeoutSeconds bounds the wait for the answer's header, IdleTimeoutSeconds each pause in the answer; 0 means that only
	// TimeoutSeconds does.
	FirstByteTimeoutSeconds int64 `json:"firstByteTimeoutSeconds,omitempty"`
	IdleTimeoutSeconds      int64 `json:"idleTimeoutSeconds,omitempty"`
	// OnDisconnect is what becomes of a stream whose client has gone; empty is Drain.
	OnDisconnect OnDisconnect `json:"onDisconnect,omitempty"`
	// CAFile is the file with the certificates, in PEM, of the authorities by which the upstream is known beside those that the system
	// knows; empty for none.
	CAFile string `json:"caFile,omitempty"`
	// ProxyURL is the egress proxy to the upstream; Direct for none, empty for that of the environment.
	ProxyURL string `json:"proxyURL,omitempty"`
	// Referer and Title are what OpenRouter is told of who asks; empty for nothing.
	Referer string `json:"referer,omitempty"`
	Title   string `json:"title,omitempty"`
	// Reserve is true if the upstream serves only what a budget refuses that names it; see Reserve.
	Reserve bool `json:"reserve,omitempty"`
	// Denies is true if a budget of this upstream denies.
	Denies bool `json:"denies,omitempty"`
}

// Reserve says which upstream serves the requests that a budget has too little left for.
type Reserve struct {
	Budget   string `json:"budget"`
	Upstream string `json:"upstream"`
}

// OnDisconnect is what becomes of a stream whose client has gone.
type OnDisconnect string

const (
	// Drain reads it to its end.
	Drain OnDisconnect = "Drain"
	// Cancel hangs up.
	Cancel OnDisconnect = "Cancel"
	// CancelAsServed hangs up if whoever serves the request, by the name that OpenRouter gives in the answer, stops billing then.
	CancelAsServed OnDisconnect = "CancelAsServed"
)

// Direct is the ProxyURL of an upstream that is reached without a proxy, whatever the environment says.
const Direct = "direct"

// Has reports whether the upstream serves the model at an endpoint.
func (u *Upstream) Has(endpoint Endpoint) bool {
	if len(u.Endpoints) == 0 {
		return endpoint == ChatCompletions
	}
	return slices.Contains(u.Endpoints, endpoint)
}

// Pricing is what an upstream charges: for tokens in pico-USD per token, for a request in nano-USD.
type Pricing struct {
	PromptPicoUSD     int64 `json:"promptPicoUSD"`
	CompletionPicoUSD int64 `json:"completionPicoUSD"`
	// CachedPromptPicoUSD is for tokens of the prompt that were read from a cache, CacheWritePicoUSD for those that were written to one;
	// absent where they cost what others of the prompt do.
	CachedPromptPicoUSD *int64 `json:"cachedPromptPicoUSD,omitempty"`
	CacheWritePicoUSD   *int64 `json:"cacheWritePicoUSD,omitempty"`
	// RequestNanoUSD is for each request, beside its tokens.
	RequestNanoUSD int64 `json:"requestNanoUSD,omitempty"`
}

// Parameter is a request parameter and its value, as JSON text.
type Parameter struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// Unsupported says what becomes of a parameter that the model does not support.
type Unsupported string

const (
	// RejectUnsupported refuses the request.
	RejectUnsupported Unsupported = "Reject"
	// DropUnsupported takes the parameter out of the request.
	DropUnsupported Unsupported = "Drop"
)

// CostHeaders says whether answers tell what they cost.
type CostHeaders string

// OmitCostHeaders has them not tell it.
const OmitCostHeaders CostHeaders = "Omit"

// Consumer is somebody who may use the route.
type Consumer struct {
	Name string `json:"name"`
	// Team is what the consumer's spend is told by in the history; empty for none.
	Team string `json:"team,omitempty"`
	// Keys are the keys that are accepted now, sorted by id.
	Keys []Key `json:"keys,omitempty"`
	// ServiceAccounts are those whose tokens are accepted, sorted by namespace and name. A consumer has keys or these.
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
	// Denies is true if a budget of this consumer, or of its team or key, denies, or a rate limit of these counts tokens.
	Denies bool `json:"denies,omitempty"`
	// Reserves are those of the consumer's budgets, sorted by budget.
	Reserves []Reserve `json:"reserves,omitempty"`
	// Expires is when all keys and tokens of the consumer are refused, in Unix seconds; 0 is never.
	Expires int64 `json:"expires,omitempty"`
}

// Key is an API key of a consumer. The key itself is not here and cannot be computed from this.
type Key struct {
	// ID names the key in status, logs and metrics.
	ID string `json:"id"`
	// SHA256 is the hash of the whole key, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Expires is when the key is refused, in Unix seconds; 0 is never. A key that was replaced has it.
	Expires int64 `json:"expires,omitempty"`
	// Created is when the key was made, in Unix seconds, and Rotation names the request that it was made for, empty for none. Proxies have
	// no use for them: this is where the operator keeps its record of keys.
	Created  int64  `json:"created,omitempty"`
	Rotation string `json:"rotation,omitempty"`
}
