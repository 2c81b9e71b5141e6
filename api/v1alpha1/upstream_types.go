package v1alpha1

// Provider is the dialect and the billing rules of an upstream.
//
// +kubebuilder:validation:Enum=OpenRouter;OpenAI;Mistral;OpenAICompatible
type Provider string

const (
	// ProviderOpenRouter is OpenRouter. It reports the cost of each request, which is then what is booked.
	ProviderOpenRouter Provider = "OpenRouter"
	// ProviderOpenAI is OpenAI. It reports tokens, which are multiplied by the route's prices.
	ProviderOpenAI Provider = "OpenAI"
	// ProviderMistral is Mistral's own API. It reports tokens, which are multiplied by the route's prices.
	ProviderMistral Provider = "Mistral"
	// ProviderOpenAICompatible is any other server of OpenAI's API, such as vLLM. It reports tokens, as OpenAI does; what else it knows is
	// taken to be what most such servers know.
	ProviderOpenAICompatible Provider = "OpenAICompatible"
)

// Endpoint is one of the API's operations.
//
// +kubebuilder:validation:Enum=ChatCompletions;Completions;Embeddings;Responses;Messages
type Endpoint string

const (
	// EndpointChatCompletions is POST /chat/completions.
	EndpointChatCompletions Endpoint = "ChatCompletions"
	// EndpointCompletions is POST /completions, which goes on with a text.
	EndpointCompletions Endpoint = "Completions"
	// EndpointEmbeddings is POST /embeddings.
	EndpointEmbeddings Endpoint = "Embeddings"
	// EndpointResponses is POST /responses, OpenAI's Responses API.
	EndpointResponses Endpoint = "Responses"
	// EndpointMessages is POST /messages, Anthropic's Messages API.
	EndpointMessages Endpoint = "Messages"
)

// Upstream is a place that serves the model.
//
// +kubebuilder:validation:XValidation:rule="has(self.apiKeySecretRef) != has(self.provisionedKey)",message="an upstream has either apiKeySecretRef, a key of yours, or provisionedKey, which the operator makes: set one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.provisionedKey) || self.provider == 'OpenRouter'",message="only OpenRouter has keys made for it: use apiKeySecretRef, or set provider: OpenRouter",fieldPath=".provisionedKey"
// +kubebuilder:validation:XValidation:rule="!has(self.attribution) || self.provider == 'OpenRouter'",message="attribution is told to OpenRouter alone: take it away, or set provider: OpenRouter",fieldPath=".attribution"
type Upstream struct {
	// name tells this upstream from others in messages and metrics.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// provider is the upstream's dialect and billing rules: OpenRouter reports the cost of each request, which is then what is
	// booked; OpenAI, Mistral and OpenAICompatible report tokens, which are multiplied by pricing.
	// +required
	Provider Provider `json:"provider,omitempty"`

	// baseURL is the URL up to, and without, an endpoint's path such as /chat/completions, for example https://openrouter.ai/api/v1.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="baseURL must be an http or https URL with a host and without user, query or fragment, such as https://openrouter.ai/api/v1"
	BaseURL string `json:"baseURL,omitempty"`

	// model is the model's id at this upstream, for example mistralai/mixtral-8x22b-instruct. Absent: model.name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Model string `json:"model,omitempty"`

	// endpoints are what this upstream serves the model at. A request goes only to upstreams that have its endpoint; where none has, it is
	// refused with 404. Absent: Embeddings for a model of embeddings; else ChatCompletions, Completions, Responses and Messages at
	// OpenRouter, ChatCompletions and Responses at OpenAI, ChatCompletions at Mistral, ChatCompletions and Completions at an
	// OpenAICompatible one.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	// apiKeySecretRef names the Secret, in the route's namespace, with the API key for this upstream. Absent: provisionedKey says how to
	// get one.
	// +optional
	APIKeySecretRef SecretKeyReference `json:"apiKeySecretRef,omitzero"`

	// provisionedKey has the operator make an API key at OpenRouter for this upstream alone, which may spend a little more than the
	// route's budgets allow: a second fence, should the first one ever fail or the key leak. Absent: apiKeySecretRef has the key.
	// +optional
	ProvisionedKey ProvisionedKey `json:"provisionedKey,omitzero"`

	// pricing is what requests cost here. Money is reserved at these prices before a request is sent. Absent: what the upstream's list of
	// models has (that of OpenRouter, or of an OpenAICompatible one), else the built-in catalog; see spec.catalog. A route with a budget
	// that denies is not accepted if no price is known; without one, what the upstream reports is counted.
	// +optional
	Pricing Pricing `json:"pricing,omitzero"`

	// timeoutSeconds bounds one attempt, in seconds, from the first byte sent to the last byte received. All attempts at a request together
	// have as much time as the longest of them. Absent: 600.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// connectTimeoutSeconds bounds the making of a connection, in seconds. Absent: 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	ConnectTimeoutSeconds int32 `json:"connectTimeoutSeconds,omitempty"`

	// firstByteTimeoutSeconds bounds, in seconds, the wait for an answer to begin. An answer that is not streamed begins only when it is
	// complete. Absent: only timeoutSeconds bounds it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	FirstByteTimeoutSeconds int32 `json:"firstByteTimeoutSeconds,omitempty"`

	// idleTimeoutSeconds bounds each pause in an answer that has begun, in seconds. Absent: only timeoutSeconds bounds it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	IdleTimeoutSeconds int32 `json:"idleTimeoutSeconds,omitempty"`

	// onDisconnect is what becomes of a stream whose client has gone. Drain reads it to its end and books exactly what it cost: right where
	// the upstream bills the whole answer anyway. Cancel hangs up, so that the upstream stops and bills no more, and books what had been
	// produced, as uncertain until the upstream tells; of a model that may reason, whose hidden tokens nobody could count, it books all
	// that was held. Answers that are not streamed are always read to their end. Absent: Drain for models that reason by
	// model.supportedParameters; else by the provider that serves the request at OpenRouter; Cancel at OpenAI if
	// model.supportedParameters is there; else Drain.
	// +optional
	OnDisconnect OnDisconnect `json:"onDisconnect,omitempty"`

	// budgets limit what all consumers of the route spend at this upstream, within the budgets of the route and of the consumers, which
	// hold as well. When one that denies is used up, requests go to the next upstream. Absent: only those others limit it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(b, !has(b.whenExhausted))",message="a budget of an upstream has no whenExhausted: requests go to the next upstream of the route by themselves"
	Budgets []Budget `json:"budgets,omitempty"`

	// caBundleRef names, in the route's namespace, the certificates of the authorities by which this upstream is known, beside those that
	// the system knows. Absent: only the system's.
	// +optional
	CABundleRef CABundleReference `json:"caBundleRef,omitzero"`

	// proxyURL is the egress proxy through which this upstream is reached: an http, https or socks5 URL without a user, such as
	// http://egress.example:3128, or direct for none, whatever the proxies' environment says. Absent: as the proxies' environment says.
	// +optional
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == 'direct' || (isURL(self) && url(self).getScheme() in ['http', 'https', 'socks5'] && url(self).getHost() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#'))",message="proxyURL must be an http, https or socks5 URL with a host and without user, query or fragment, such as http://egress.example:3128, or direct"
	ProxyURL string `json:"proxyURL,omitempty"`

	// attribution is what OpenRouter is told of who asks, for its rankings and its records. Absent: nothing.
	// +optional
	Attribution Attribution `json:"attribution,omitzero"`
}

// ProvisionedKey says how the operator makes an upstream's API key.
type ProvisionedKey struct {
	// managementKeySecretRef names the Secret, in the route's namespace, with a management key of OpenRouter's, which makes other keys and
	// can ask no model. The proxies do not have it.
	// +required
	ManagementKeySecretRef SecretKeyReference `json:"managementKeySecretRef,omitzero"`

	// headroomPercent is how much more than the budgets allow the key may spend, in percent. It has to cover the requests that are under
	// way when a window ends. Absent: 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	HeadroomPercent int32 `json:"headroomPercent,omitempty"`

	// rotation says when the key is replaced. Absent: only when it is lost.
	// +optional
	Rotation UpstreamKeyRotation `json:"rotation,omitzero"`
}

// UpstreamKeyRotation says when an upstream's API key is replaced.
//
// +kubebuilder:validation:MinProperties=1
type UpstreamKeyRotation struct {
	// intervalDays is how long a key is used, in days. Absent: until it is lost.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	IntervalDays int32 `json:"intervalDays,omitempty"`

	// overlapHours is how long the key that was replaced can still be used, in hours: the proxies take a minute or two to take the new one
	// up, and requests that are under way go on with the old one. Absent: 24.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8760
	OverlapHours int32 `json:"overlapHours,omitempty"`
}

// OnDisconnect is what becomes of a stream whose client has gone.
//
// +kubebuilder:validation:Enum=Drain;Cancel
type OnDisconnect string

const (
	// OnDisconnectDrain reads the stream to its end.
	OnDisconnectDrain OnDisconnect = "Drain"
	// OnDisconnectCancel hangs up.
	OnDisconnectCancel OnDisconnect = "Cancel"
)

// SecretKeyReference names one key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name is the name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is the key within the Secret's data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// Pricing is what an upstream charges: for tokens in USD per million, for a request in USD.
type Pricing struct {
	// prompt is the price of input tokens, in USD per million, for example "2.00".
	// +required
	Prompt USDPerMillionTokens `json:"prompt,omitempty"`

	// completion is the price of output tokens, in USD per million, for example "6.00".
	// +required
	Completion USDPerMillionTokens `json:"completion,omitempty"`

	// cachedPrompt is the price of input tokens that the upstream has read from its cache, in USD per million, for example "0.20". Absent:
	// that of prompt.
	// +optional
	CachedPrompt USDPerMillionTokens `json:"cachedPrompt,omitempty"`

	// cacheWrite is the price of input tokens that the upstream has written to its cache, in USD per million, for example "2.50". Absent:
	// that of prompt.
	// +optional
	CacheWrite USDPerMillionTokens `json:"cacheWrite,omitempty"`

	// request is the price of each request beside its tokens, in USD, for example "0.005". Absent: 0.
	// +optional
	Request USD `json:"request,omitempty"`
}

// CABundleReference names one key of a ConfigMap or a Secret in the same namespace, with certificates in PEM.
type CABundleReference struct {
	// kind is what has them: ConfigMap or Secret. Absent: ConfigMap.
	// +optional
	Kind CABundleKind `json:"kind,omitempty"`

	// name is the name of the ConfigMap or the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is the key within its data. Absent: ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// CABundleKind is a kind of object that can have certificates.
//
// +kubebuilder:validation:Enum=ConfigMap;Secret
type CABundleKind string

const (
	// CABundleConfigMap is a ConfigMap.
	CABundleConfigMap CABundleKind = "ConfigMap"
	// CABundleSecret is a Secret.
	CABundleSecret CABundleKind = "Secret"
)

// Attribution is what OpenRouter is told of who asks.
//
// +kubebuilder:validation:MinProperties=1
type Attribution struct {
	// referer is the URL of the application, sent as HTTP-Referer. Absent: not sent.
	// +optional
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",message="referer must be an http or https URL, such as https://search.example"
	Referer string `json:"referer,omitempty"`

	// title is the name of the application, sent as X-OpenRouter-Title and X-Title: printable ASCII. Absent: not sent.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[!-~]([ -~]*[!-~])?$`
	Title string `json:"title,omitempty"`
}
