package v1alpha1

import apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

// DefaultParameters are values of request parameters under the names of OpenAI's chat completions API. Each is sent to the
// upstream exactly as it stands here. The numbers are kept as JSON text, not as floats, so that 0.7 stays 0.7.
type DefaultParameters struct {
	// frequency_penalty penalises tokens by how often they have appeared, from -2 to 2; positive values reduce repetition.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=-2
	// +kubebuilder:validation:Maximum=2
	FrequencyPenalty *apiextensionsv1.JSON `json:"frequency_penalty,omitempty"`

	// max_completion_tokens bounds how many tokens an answer has, reasoning included. It is not set where the client sent
	// max_tokens, its older name.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	MaxCompletionTokens int64 `json:"max_completion_tokens,omitempty"`

	// presence_penalty penalises tokens that have appeared at all, from -2 to 2.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=-2
	// +kubebuilder:validation:Maximum=2
	PresencePenalty *apiextensionsv1.JSON `json:"presence_penalty,omitempty"`

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

	// tool_choice says which tool, if any, is called: "none", "auto", "required", or an object that names one tool.
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

	// top_p is nucleus sampling, from 0 to 1: only the tokens within this cumulative probability are considered.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	TopP *apiextensionsv1.JSON `json:"top_p,omitempty"`
}
