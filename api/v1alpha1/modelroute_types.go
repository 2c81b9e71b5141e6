package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ModelRoute makes one model available to consumers under budgets. It names the model, the upstream that serves it and its price,
// the default parameters, the budgets, and who may use it. The operator runs an OpenAI-compatible proxy for it in the same
// namespace, gives each consumer an API key in a Secret, never lets a Deny budget be overspent, and shows the spend in the
// status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.proxy.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=mroute,categories=modelroute-dev
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.status.summary.model`,description="The model that clients ask for."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the proxies serve this generation of the route."
// +kubebuilder:printcolumn:name="Spend",type=string,JSONPath=`.status.summary.spend`,description="USD spent in the window of the fullest budget."
// +kubebuilder:printcolumn:name="Budget",type=string,JSONPath=`.status.summary.budget`,description="USD that this budget allows."
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.summary.used`,description="How much of this budget is used."
// +kubebuilder:printcolumn:name="Resets",type=string,JSONPath=`.status.summary.resets`,description="When the window of this budget ends."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Endpoint",type=string,priority=1,JSONPath=`.status.endpoint`,description="The base URL for OpenAI clients."
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the route is, or is not, ready."
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 50 characters that begins with a letter, because a Service is named after it; give the model any name you like in spec.model.name"
type ModelRoute struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata. The name is a DNS label of at most 50 characters, because a Service is named after it.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is wanted.
	// +required
	Spec ModelRouteSpec `json:"spec,omitzero"`

	// status says what is there, and what was spent. Of a route that the operator has not seen yet, observedGeneration is -1, since kstatus
	// takes an object without a status for one that is done.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status ModelRouteStatus `json:"status,omitzero"`
}

// ModelRouteList is a list of routes.
//
// +kubebuilder:object:root=true
type ModelRouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelRoute `json:"items"`
}

// ModelRouteSpec is the wanted state of a route.
//
// +kubebuilder:validation:XValidation:rule="!has(self.parameters) || !has(self.parameters.defaults) || !has(self.parameters.defaults.max_completion_tokens) || (has(self.model.maxCompletionTokens) ? self.parameters.defaults.max_completion_tokens <= self.model.maxCompletionTokens : !has(self.model.contextLength) || self.parameters.defaults.max_completion_tokens <= self.model.contextLength)",message="parameters.defaults.max_completion_tokens is more than the model can produce (model.maxCompletionTokens or, without it, model.contextLength)",fieldPath=".parameters"
// +kubebuilder:validation:XValidation:rule="!has(self.parameters) || !has(self.parameters.overrides) || !has(self.parameters.overrides.max_completion_tokens) || (has(self.model.maxCompletionTokens) ? self.parameters.overrides.max_completion_tokens <= self.model.maxCompletionTokens : !has(self.model.contextLength) || self.parameters.overrides.max_completion_tokens <= self.model.contextLength)",message="parameters.overrides.max_completion_tokens is more than the model can produce (model.maxCompletionTokens or, without it, model.contextLength)",fieldPath=".parameters"
// +kubebuilder:validation:XValidation:rule="!has(self.parameters) || !has(self.parameters.limits) || !has(self.parameters.limits.max_completion_tokens) || (has(self.model.maxCompletionTokens) ? self.parameters.limits.max_completion_tokens <= self.model.maxCompletionTokens : !has(self.model.contextLength) || self.parameters.limits.max_completion_tokens <= self.model.contextLength)",message="parameters.limits.max_completion_tokens is more than the model can produce (model.maxCompletionTokens or, without it, model.contextLength)",fieldPath=".parameters"
// +kubebuilder:validation:XValidation:rule="!has(self.budgets) || self.budgets.all(b, !has(b.whenExhausted) || self.upstreams.exists(u, u.name == b.whenExhausted.upstream))",message="whenExhausted.upstream of a budget is none of the route's upstreams: name one of spec.upstreams",fieldPath=".budgets"
// +kubebuilder:validation:XValidation:rule="!has(self.consumers) || self.consumers.all(c, !has(c.budgets) || c.budgets.all(b, !has(b.whenExhausted) || self.upstreams.exists(u, u.name == b.whenExhausted.upstream)))",message="whenExhausted.upstream of a consumer's budget is none of the route's upstreams: name one of spec.upstreams",fieldPath=".consumers"
// +kubebuilder:validation:XValidation:rule="self.upstreams.exists(u, !(has(self.budgets) && self.budgets.exists(b, has(b.whenExhausted) && b.whenExhausted.upstream == u.name)) && !(has(self.consumers) && self.consumers.exists(c, has(c.budgets) && c.budgets.exists(b, has(b.whenExhausted) && b.whenExhausted.upstream == u.name))))",message="every upstream is named by a whenExhausted and serves only what a budget refuses: add one that serves the other requests",fieldPath=".upstreams"
// +kubebuilder:validation:XValidation:rule="!has(self.gatewayRef) || !has(self.proxy) || !(has(self.proxy.replicas) || has(self.proxy.autoscaling) || has(self.proxy.resources) || has(self.proxy.tls) || has(self.proxy.networkPolicy) || has(self.proxy.httpRoute) || has(self.proxy.podMonitor) || has(self.proxy.nodeSelector) || has(self.proxy.tolerations) || has(self.proxy.priorityClassName) || has(self.proxy.imagePullSecrets) || has(self.proxy.topologySpreadConstraints) || has(self.proxy.podLabels) || has(self.proxy.podAnnotations))",message="with gatewayRef, proxy can have maxRequestBytes, maxAttempts and costHeaders alone: say how proxies run in the ModelGateway",fieldPath=".proxy"
type ModelRouteSpec struct {
	// model describes the model to clients and bounds what a request can cost. What it leaves out, the lists of models of the route's
	// upstreams may have, or the built-in catalog; what it says wins over them. status.model is what is in force.
	// +required
	Model Model `json:"model,omitzero"`

	// upstreams are the places that serve the model, in the order in which they are tried. One that a budget names in whenExhausted is not
	// among them: it serves only what such a budget refuses. The next one is asked if one cannot be reached,
	// fails, is busy or does not accept the route's key, and nothing of an answer has gone to the client. One that fails again and again is
	// passed over for a while. Each attempt is held and booked at the prices of its upstream.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Upstreams []Upstream `json:"upstreams,omitempty"`

	// parameters are what the route does with the parameters of requests.
	// +optional
	Parameters *Parameters `json:"parameters,omitempty"`

	// budgets limit what all consumers of the route spend together. Every one of them holds. Without any, spend is counted and not limited.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Budgets []Budget `json:"budgets,omitempty"`

	// rateLimits limit how many requests and tokens all consumers of the route have together in a short time. Every one of them holds.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	RateLimits []RateLimit `json:"rateLimits,omitempty"`

	// consumers are those who may use the route. Each gets a Secret with an API key of its own, unless it names ServiceAccounts. Without
	// any, nobody can use the route.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.secretName) || self.exists_one(b, has(b.secretName) && b.secretName == a.secretName))",message="two consumers have the same secretName: each needs a Secret of its own"
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.serviceAccounts) || a.serviceAccounts.all(x, self.exists_one(b, has(b.serviceAccounts) && x in b.serviceAccounts)))",message="two consumers name the same ServiceAccount: its tokens can stand for one of them alone"
	Consumers []Consumer `json:"consumers,omitempty"`

	// keys says who may claim keys for this route with ModelKeys of their own. Absent: ModelKeys of the route's namespace alone.
	// +optional
	Keys RouteKeys `json:"keys,omitzero"`

	// gatewayRef names the ModelGateway, in the route's namespace, whose proxies serve the route, at the gateway's base URL and with what
	// serves its other routes. Absent: the route has proxies of its own.
	// +optional
	GatewayRef GatewayReference `json:"gatewayRef,omitzero"`

	// proxy is how the proxy of this route runs. With gatewayRef it has only what the proxy does for the route: maxRequestBytes,
	// maxAttempts and costHeaders.
	// +optional
	Proxy *Proxy `json:"proxy,omitempty"`

	// catalog is what the route does with what upstreams say of their models. Absent: priceChanges is Hold.
	// +optional
	Catalog Catalog `json:"catalog,omitzero"`
}

// Catalog is what a route does with what upstreams say of their models.
//
// +kubebuilder:validation:MinProperties=1
type Catalog struct {
	// priceChanges is what becomes of a price that was left out of spec.upstreams[].pricing when its upstream lists another one: Hold keeps
	// the one that was adopted first, and the condition PricesCurrent says what is listed now; Adopt takes up the new one. A price that the
	// route says is compared and never changed. Absent: Hold.
	// +optional
	PriceChanges PriceChanges `json:"priceChanges,omitempty"`
}

// PriceChanges is what becomes of a price when its upstream lists another one.
//
// +kubebuilder:validation:Enum=Adopt;Hold
type PriceChanges string

const (
	// PriceChangesAdopt takes up the new price.
	PriceChangesAdopt PriceChanges = "Adopt"
	// PriceChangesHold keeps the price that was adopted first.
	PriceChangesHold PriceChanges = "Hold"
)

// Model is what clients are told of a model, and what bounds the cost of a request.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.maxCompletionTokens) || !has(self.contextLength) || self.maxCompletionTokens <= self.contextLength",message="maxCompletionTokens is more than contextLength: a model cannot produce more tokens than its context has",fieldPath=".maxCompletionTokens"
// +kubebuilder:validation:XValidation:rule="!has(self.aliases) || !has(self.name) || !(self.name in self.aliases)",message="aliases repeats the model's name: list only other names",fieldPath=".aliases"
type Model struct {
	// name is the model name that clients send. Absent: metadata.name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$`
	Name string `json:"name,omitempty"`

	// aliases are other names that clients may send for it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$`
	Aliases []string `json:"aliases,omitempty"`

	// displayName is the name for people, for example "Mixtral 8x22B Instruct". Clients see it in GET /v1/models.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	DisplayName string `json:"displayName,omitempty"`

	// description says in a few sentences what the model is good for. Clients see it in GET /v1/models.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Description string `json:"description,omitempty"`

	// contextLength is how many tokens prompt and completion may have together. It bounds what one request can cost. Absent: the longest
	// that an upstream's list of models has, else that of the built-in catalog; a route that finds none is not accepted.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	ContextLength int64 `json:"contextLength,omitempty"`

	// maxCompletionTokens is how many tokens the model can produce in one answer. Absent: what the first upstream lists that
	// says so, else the built-in catalog, but no less than parameters of this route ask for; where nothing says, only contextLength bounds
	// it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	MaxCompletionTokens int64 `json:"maxCompletionTokens,omitempty"`

	// inputModalities are what the model reads. Absent: what the first upstream lists that says so, else the built-in catalog, else text.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	InputModalities []Modality `json:"inputModalities,omitempty"`

	// outputModalities are what the model produces. A model of embeddings produces nothing else. Absent: embeddings if the first upstream
	// that says so lists that, else text; what costs otherwise than text has to be said here.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:XValidation:rule="!('embeddings' in self) || self.size() == 1",message="a model of embeddings produces nothing else: list embeddings alone"
	OutputModalities []OutputModality `json:"outputModalities,omitempty"`

	// supportedParameters are the request parameters that the model understands. Clients see them in GET /v1/models; what becomes of
	// others, parameters.unsupported says. Absent: clients see what the first upstream lists that says so, else the built-in catalog; and
	// every parameter is passed on, unless parameters.unsupported is there.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^[a-z][a-z0-9_]*$`
	SupportedParameters []string `json:"supportedParameters,omitempty"`
}

// Modality is a kind of content that a model reads.
//
// +kubebuilder:validation:Enum=text;image;audio;video;file
type Modality string

// ModalityText is written text.
const ModalityText Modality = "text"

// OutputModality is a kind of content that a model produces.
//
// +kubebuilder:validation:Enum=text;image;audio;video;file;embeddings
type OutputModality string

const (
	// OutputText is written text.
	OutputText OutputModality = "text"
	// OutputEmbeddings are vectors that say what a text is about.
	OutputEmbeddings OutputModality = "embeddings"
)

// Consumer is somebody who may use the route, with a key of its own or with the tokens of ServiceAccounts.
//
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccounts) || !has(self.secretName)",message="a consumer with serviceAccounts has no key and no Secret: take secretName away",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccounts) || !has(self.rotation)",message="a consumer with serviceAccounts has no key to rotate, since the kubelet renews tokens: take rotation away",fieldPath=".rotation"
type Consumer struct {
	// name is the consumer's name, unique within the route. What it spent belongs to this name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// team is the team that the consumer belongs to. What it spends from then on counts against the team's TeamBudget, if there is one, and
	// is told by team as well, in the ledger's history. A consumer whose namespace the TeamBudget's namespaceSelector does not select is
	// not served.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Team string `json:"team,omitempty"`

	// secretName is the name of the Secret that is made for the consumer, with OPENAI_API_KEY, OPENAI_BASE_URL and MODEL, ready
	// for envFrom. Absent: ROUTE-CONSUMER.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	SecretName string `json:"secretName,omitempty"`

	// budgets limit what this consumer spends, within the budgets of the route, which hold as well.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Budgets []Budget `json:"budgets,omitempty"`

	// rateLimits limit how many requests and tokens this consumer has in a short time, within the rate limits of the route, which hold as
	// well.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	RateLimits []RateLimit `json:"rateLimits,omitempty"`

	// rotation says when the consumer's key is replaced by a new one. Absent: only when the annotation modelroute.dev/rotate of the route
	// is given another value, with an overlap of 24 hours.
	// +optional
	Rotation Rotation `json:"rotation,omitzero"`

	// serviceAccounts are those whose pods use the route in the consumer's name, each with its own token for the audience modelroute in the
	// place of a key: no Secret is made, and a key that the consumer had is refused. Absent: the consumer has a key.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b == a))",message="serviceAccounts names a ServiceAccount twice: name each once"
	ServiceAccounts []ServiceAccountReference `json:"serviceAccounts,omitempty"`
}
