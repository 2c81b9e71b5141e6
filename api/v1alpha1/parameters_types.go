package v1alpha1

import apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

// Parameters are what a route does with the parameters of requests.
//
// The rule lacks tools and tool_choice, which CEL cannot see: the operator checks those itself.
//
// +kubebuilder:validation:XValidation:rule="!has(self.defaults) || !has(self.overrides) || [has(self.defaults.frequency_penalty) && has(self.overrides.frequency_penalty), has(self.defaults.logit_bias) && has(self.overrides.logit_bias), has(self.defaults.max_completion_tokens) && has(self.overrides.max_completion_tokens), has(self.defaults.min_p) && has(self.overrides.min_p), has(self.defaults.parallel_tool_calls) && has(self.overrides.parallel_tool_calls), has(self.defaults.presence_penalty) && has(self.overrides.presence_penalty), has(self.defaults.reasoning) && has(self.overrides.reasoning), has(self.defaults.reasoning_effort) && has(self.overrides.reasoning_effort), has(self.defaults.repetition_penalty) && has(self.overrides.repetition_penalty), has(self.defaults.response_format) && has(self.overrides.response_format), has(self.defaults.seed) && has(self.overrides.seed), has(self.defaults.stop) && has(self.overrides.stop), has(self.defaults.structured_outputs) && has(self.overrides.structured_outputs), has(self.defaults.temperature) && has(self.overrides.temperature), has(self.defaults.top_a) && has(self.overrides.top_a), has(self.defaults.top_k) && has(self.overrides.top_k), has(self.defaults.top_p) && has(self.overrides.top_p), has(self.defaults.verbosity) && has(self.overrides.verbosity)].all(both, !both)",message="a parameter is in defaults and in overrides: an override is always set, so its default never is; keep one of them",fieldPath=".overrides"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.defaults) || !has(self.defaults.max_completion_tokens) || self.defaults.max_completion_tokens <= self.limits.max_completion_tokens",message="defaults.max_completion_tokens is more than limits.max_completion_tokens: requests would be lowered to the limit",fieldPath=".defaults"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.overrides) || !has(self.overrides.max_completion_tokens)",message="overrides.max_completion_tokens is what every request has, so limits.max_completion_tokens has nothing to lower: keep one of them",fieldPath=".overrides"
type Parameters struct {
	// defaults are set in a request where the client did not send the parameter. A null that a client sends counts as sent.
	// +optional
	Defaults *ParameterValues `json:"defaults,omitempty"`

	// overrides are set in every request. What a client sent for the parameter, under this or an older name, is replaced.
	// +optional
	Overrides *ParameterValues `json:"overrides,omitempty"`

	// limits bound what clients may ask for.
	// +optional
	Limits ParameterLimits `json:"limits,omitzero"`

	// unsupported says what becomes of a parameter that is not in model.supportedParameters: Reject answers the request with 400, Drop
	// takes the parameter out of it. It concerns only parameters of docs/parameters.md; others are passed on. Absent: Reject where the
	// route sets model.supportedParameters.
	// +optional
	Unsupported UnsupportedParameters `json:"unsupported,omitempty"`
}

// UnsupportedParameters says what becomes of a parameter that the model does not support.
//
// +kubebuilder:validation:Enum=Reject;Drop
type UnsupportedParameters string

const (
	// UnsupportedReject answers a request that has one with 400.
	UnsupportedReject UnsupportedParameters = "Reject"
	// UnsupportedDrop takes it out of the request.
	UnsupportedDrop UnsupportedParameters = "Drop"
)

// ParameterLimits bound what clients may ask for.
type ParameterLimits struct {
	// max_completion_tokens is the most tokens that each choice of an answer may have, reasoning included. A request for more is
	// lowered to it, and one that asks for no limit gets it.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	MaxCompletionTokens int64 `json:"max_completion_tokens,omitempty"`
}

// ParameterValues are values of request parameters under the names of OpenAI's and OpenRouter's chat completions API. Each is sent to the
// upstream exactly as it stands here. The numbers are kept as JSON text, not as floats, so that 0.7 stays 0.7. There is no n, since YAML
// reads that key as false; and no logprobs, since nobody reads those who did not ask for them.
//
// +kubebuilder:validation:XValidation:rule="!has(self.reasoning) || !has(self.reasoning_effort)",message="reasoning_effort is the short form of reasoning.effort: set one of reasoning and reasoning_effort",fieldPath=".reasoning_effort"
type ParameterValues struct {
	// frequency_penalty penalises tokens by how often they have appeared, from -2 to 2; positive values reduce repetition.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=-2
	// +kubebuilder:validation:Maximum=2
	FrequencyPenalty *apiextensionsv1.JSON `json:"frequency_penalty,omitempty"`

	// logit_bias is added to the logits of tokens, which are named by their ids, from -100 to 100.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=1024
	// +kubebuilder:pruning:PreserveUnknownFields
	LogitBias *apiextensionsv1.JSON `json:"logit_bias,omitempty"`

	// max_completion_tokens bounds how many tokens an answer has, reasoning included. It is not set where the client sent
	// max_tokens, its older name.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	MaxCompletionTokens int64 `json:"max_completion_tokens,omitempty"`

	// min_p is from 0 to 1: only the tokens of at least this share of the most probable one's probability are considered.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	MinP *apiextensionsv1.JSON `json:"min_p,omitempty"`

	// parallel_tool_calls says whether several tools may be called at once. It is set only where tools are.
	// +optional
	ParallelToolCalls *bool `json:"parallel_tool_calls,omitempty"`

	// presence_penalty penalises tokens that have appeared at all, from -2 to 2.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=-2
	// +kubebuilder:validation:Maximum=2
	PresencePenalty *apiextensionsv1.JSON `json:"presence_penalty,omitempty"`

	// reasoning says how much the model reasons and whether the answer shows it, in OpenRouter's form: effort or max_tokens, exclude,
	// enabled, summary.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Reasoning *apiextensionsv1.JSON `json:"reasoning,omitempty"`

	// reasoning_effort says how much the model reasons.
	// +optional
	// +kubebuilder:validation:Enum=none;minimal;low;medium;high;xhigh;max
	ReasoningEffort string `json:"reasoning_effort,omitempty"`

	// repetition_penalty penalises tokens of prompt and answer, from 0 to 2; 1 is no penalty.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	RepetitionPenalty *apiextensionsv1.JSON `json:"repetition_penalty,omitempty"`

	// response_format constrains the output, for example {type: json_object} or a JSON schema.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	ResponseFormat *apiextensionsv1.JSON `json:"response_format,omitempty"`

	// seed makes sampling deterministic: the same seed and prompt give the same output where the upstream can.
	// +optional
	Seed *int64 `json:"seed,omitempty"`

	// stop has up to four sequences at which generation stops.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Stop []string `json:"stop,omitempty"`

	// structured_outputs enables output that a JSON schema constrains.
	// +optional
	StructuredOutputs *bool `json:"structured_outputs,omitempty"`

	// temperature is the sampling temperature, from 0 (deterministic) to 2.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	Temperature *apiextensionsv1.JSON `json:"temperature,omitempty"`

	// tool_choice says which tool, if any, is called: "none", "auto", "required", or an object that names one tool. It is set only where
	// tools are.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	ToolChoice *apiextensionsv1.JSON `json:"tool_choice,omitempty"`

	// tools are the tools (functions) that the model may call.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:pruning:PreserveUnknownFields
	Tools []apiextensionsv1.JSON `json:"tools,omitempty"`

	// top_a is as min_p, from 0 to 1, but of the square of that probability.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	TopA *apiextensionsv1.JSON `json:"top_a,omitempty"`

	// top_k is how many of the most probable tokens are considered; 0 is all of them, and so is -1 for vLLM.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=1000000
	TopK *int32 `json:"top_k,omitempty"`

	// top_p is nucleus sampling, from 0 to 1: only the tokens within this cumulative probability are considered.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	TopP *apiextensionsv1.JSON `json:"top_p,omitempty"`

	// verbosity says how long answers are.
	// +optional
	// +kubebuilder:validation:Enum=low;medium;high;xhigh;max
	Verbosity string `json:"verbosity,omitempty"`
}
