package openai

import (
	"encoding/json"
	"slices"
)

// Responses is POST /responses, OpenAI's, as OpenRouter serves it too: without a memory.
var Responses = &Operation{
	Name:     "chat",
	Endpoint: "Responses",
	Path:     "/responses",
	Answer:   "a response",

	parameters:  newParameters(slices.Concat(responsesParameters, responsesAsInChat, responsesOwned), ownedParameters),
	required:    []string{"model", "input"},
	content:     "input",
	limits:      []string{"max_output_tokens"},
	leastTokens: leastOfInput,
	overhead:    chatOverhead,

	read:         readResponse,
	ownEnd:       true,
	stream:       responseStream,
	failure:      openAIFailure,
	failureEvent: responseFailureEvent,

	// OpenAI stores responses unless it is told not to.
	always: []Setting{{Name: "store", Value: json.RawMessage("false")}},
}

// responsesParameters has the parameters of a response that are the client's, from the API references of OpenAI and OpenRouter.
var responsesParameters = []parameter{
	{name: "model", from: both, want: "a string", read: readModel, about: "The model, by the route's name or an alias."},
	{name: "input", role: prompt, from: both, want: "a string or an array of items", content: readItems,
		about: "The conversation so far: a text, or messages, calls of functions and what they returned, and reasoning."},
	{name: "instructions", role: prompt, from: both, want: "a string", content: readInstructions,
		about: "What stands before the conversation."},
	{name: "stream", from: both, want: "a boolean", read: readStream, about: "Answer as server-sent events."},
	{name: "stream_options", from: OpenAI, want: "an object of include_obfuscation", read: readStreamOptions,
		about: "Whether the events of a stream are padded."},
	{name: "max_output_tokens", from: both, want: "an integer of at least 1", read: readLimit(0, 1),
		about: "The most tokens of the answer, reasoning included."},
	{name: "top_logprobs", from: both, want: "an integer from 0 to 20", read: readTopLogprobs, listed: true,
		impliedBy: []string{"logprobs"}, about: "With the log probabilities of so many likely tokens."},
	{name: "text", role: prompt, from: both, want: "an object of format and verbosity", read: readText,
		parts: []part{
			{name: "format", want: formatsWant(openAIFormats), listedAs: formatNames, idle: "text",
				about: "Constrains the answer, to JSON or to a JSON schema."},
			{name: "verbosity", want: wantVerbosity, listedAs: []string{"verbosity"}, about: "How long answers are."},
		},
		about: "Constrains the answer, to JSON or to a JSON schema, and says how long it is."},
	{name: "tools", role: prompt, from: both, want: "an array of functions and custom tools", read: readTools, listed: true,
		about: "The tools that the model may call; the client runs them."},
	{name: "tool_choice", role: prompt, from: both, want: choicesWant(responseChoices), read: readResponseChoice, listed: true,
		impliedBy: []string{"tools"}, about: "Which tool, if any, is called."},
	{name: "reasoning", from: both, want: "an object of effort, summary and, at OpenRouter, max_tokens and enabled", read: readReasoning,
		listed: true, impliedBy: reasoningNames, settable: true, about: "How much the model reasons, and whether the answer shows it."},
	{name: "truncation", from: both, want: "one of 'auto' and 'disabled'", read: readTruncation,
		about: "Whether a conversation that is too long is shortened."},
	{name: "include", from: both, want: "an array of strings", read: stringList,
		about: "What else the answer has, such as `reasoning.encrypted_content`."},
	{name: "max_tool_calls", from: OpenAI, want: "an integer of at least 1", read: integer(1),
		about: "How many tools may run at the upstream; without meaning here, where none does."},
	{name: "store", from: both, want: "false", read: readStore,
		about: "Nothing is stored: it is always sent as `false`, and `true` is refused."},
	{name: "prompt_cache_retention", from: OpenAI, want: "a string", read: upTo(0),
		about: "How long the upstream keeps a prompt in its cache."},
}

// responsesAsInChat has those that are as in chats.
var responsesAsInChat = asInChat("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "parallel_tool_calls",
	"metadata", "user", "safety_identifier", "prompt_cache_key", "session_id", "trace")

// responsesOwned has those that are the route's, or not served at all, beside the ones that are the route's in every operation.
var responsesOwned = []parameter{
	{name: "previous_response_id", role: owned, from: both, want: "null", read: readKept, about: aboutKept},
	{name: "conversation", role: owned, from: both, want: "null", read: readKept, about: aboutKept},
	{name: "prompt", role: owned, from: both, want: "null", read: readKept, about: aboutKept},
	{name: "background", role: owned, from: both, want: "false", read: readBackground,
		about: "What is answered in the background is billed after the request has ended, and could not be metered."},
	{name: "context_management", role: owned, from: both, about: "Changes the prompt, and summaries of it are paid for."},
	{name: "moderation", role: owned, from: OpenAI, about: "Moderation may have a price of its own."},
	{name: "access_programs", role: owned, from: OpenAI, about: "They belong to the upstream's account."},
	{name: "image", role: owned, from: OpenAI, about: "Pictures have other prices than text."},
}

const aboutKept = "What is kept at the upstream belongs to its account, which all keys of a route share: one client could read another's."

// responseFailureEvent is OpenAI's event for an error that is no response. How many events came before it is not known here.
func responseFailureEvent(d Dialect, e *Error) []byte {
	body := d.body(e)
	return namedEvent(nil, "error", struct {
		Type           string         `json:"type"`
		Code           any            `json:"code"`
		Message        string         `json:"message"`
		Param          *string        `json:"param"`
		SequenceNumber int            `json:"sequence_number"`
		Metadata       *errorMetadata `json:"metadata,omitempty"`
	}{Type: "error", Code: body.Code, Message: body.Message, Param: body.Param, Metadata: body.Metadata})
}
