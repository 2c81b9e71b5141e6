package openai

// Chat is POST /chat/completions, OpenAI's and OpenRouter's.
var Chat = &Operation{
	Name:     "chat",
	Endpoint: "ChatCompletions",
	Path:     "/chat/completions",
	Answer:   "a chat completion",

	parameters:  newParameters(chatParameters, ownedParameters),
	required:    []string{"model", "messages"},
	content:     "messages",
	limits:      []string{"max_completion_tokens", "max_tokens"},
	check:       checkChat,
	leastTokens: leastOfMessages,
	overhead:    chatOverhead,

	read:         readCompletion,
	usageOption:  true,
	stream:       chatStream,
	failure:      openAIFailure,
	failureEvent: chatFailureEvent,
}

// checkChat checks parameters of which one says what another may be.
func checkChat(r *Request) *Error {
	switch {
	case r.topLogprobs && !r.logprobs:
		return conflict("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.")
	case r.effort != "" && r.reasoningEffort != "" && r.effort != r.reasoningEffort:
		return conflict("reasoning_effort", "'reasoning_effort' and 'reasoning.effort' contradict each other: send one of them.")
	}
	return nil
}
