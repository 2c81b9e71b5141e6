package openai

import (
	"errors"
	"slices"
)

// Completions is POST /completions: a text, or several, each of which is gone on with.
var Completions = &Operation{
	Name:     "text_completion",
	Endpoint: "Completions",
	Path:     "/completions",
	Answer:   "a completion",

	parameters:   newParameters(completionsParameters, ownedParameters),
	required:     []string{"model", "prompt"},
	content:      "prompt",
	limits:       []string{"max_tokens"},
	defaultLimit: 16,
	check:        checkCompletions,
	leastTokens:  leastOfTexts,
	overhead:     completionsOverhead,

	read:         readCompletion,
	usageOption:  true,
	stream:       completionsStream,
	failure:      openAIFailure,
	failureEvent: completionsFailureEvent,
}

// maxBestOf is the most choices, and maxTextLogprobs the most tokens beside each one, that OpenAI's schema allows.
const (
	maxBestOf       = 20
	maxTextLogprobs = 5
)

// completionsParameters are those of a text's completion, from the references of OpenAI and OpenRouter and, where it is named, vLLM.
var completionsParameters = slices.Concat(
	asInChat("model"),
	[]parameter{
		{name: "prompt", role: prompt, from: both, want: wantTexts, content: readPrompt,
			about: "The text, or several, each of which is a prompt of its own; as text or as the ids of its tokens."},
		{name: "suffix", role: prompt, from: both, want: "a string", read: upTo(0), about: "What comes behind the completion."},
		{name: "echo", from: both, want: "a boolean", read: boolean, about: "Answer with the prompt before its completion."},
	},
	asInChat("stream", "stream_options", "usage"),
	[]parameter{
		{name: "max_tokens", from: both, want: "an integer of at least 0", read: readLimit(0, 0),
			about: "The most tokens of each choice; where it is absent 16, as OpenAI has it, wherever the proxy sends a limit."},
		{name: "n", from: both, want: "an integer from 1 to 128", read: readChoices,
			about: "How many choices of each prompt; each is paid for."},
		{name: "best_of", from: both, want: "an integer from 0 to 20", read: readBestOf,
			about: "How many choices are made, of which the best `n` are returned; each is paid for. Not on a stream."},
	},
	asInChat("stop", "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
		"logit_bias"),
	[]parameter{
		{name: "logprobs", from: both, want: "an integer from 0 to 20", read: readTextLogprobs(maxTopLogprobs), listed: true,
			narrower: map[Provider]rule{
				OpenAI:     {"an integer from 0 to 5", readTextLogprobs(maxTextLogprobs)},
				OpenRouter: {"an integer from 0 to 5", readTextLogprobs(maxTextLogprobs)},
			},
			about: "Answer with the tokens' log probabilities, and those of so many likely others."},
	},
	asInChat("seed", "reasoning", "user", "session_id", "trace"),
	[]parameter{{name: "prompt_embeds", role: owned, about: "vLLM: further prompts, each with completions of its own."}},
)

// checkCompletions checks parameters of which one says what another may be.
func checkCompletions(r *Request) *Error {
	switch {
	case r.bestOf == 0:
		return nil
	case r.bestOf < r.N:
		return conflict("best_of", "'best_of' must be at least 'n': that many are returned.")
	case r.Stream && r.bestOf > r.N:
		return conflict("best_of", "'best_of' must not be more than 'n' on a stream: which are best shows only in the end.")
	}
	return nil
}

func readBestOf(r *Request, name string, s *scanner) *Error {
	count, problem := readIntegerUpTo(name, s, 0, maxBestOf)
	if r.bestOf = 0; count != nil {
		r.bestOf = *count
	}
	return problem
}

func readTextLogprobs(most int64) reader {
	return func(_ *Request, name string, s *scanner) *Error {
		_, problem := readIntegerUpTo(name, s, 0, most)
		return problem
	}
}

// completionsOverhead is what can stand around a text: the marks of its begin and of a suffix, and, at providers of models that only chat,
// a conversation of one message, as OpenRouter makes it.
func completionsOverhead(*Request) int64 { return requestOverhead + messageOverhead }

// completionsStream turns a whole completion of a text into a stream. Its choices are those of a chunk already.
func completionsStream(body []byte, includeUsage bool) ([]byte, error) {
	return streamOf(body, includeUsage, textObject, func(choice completion) error {
		if isNothing(choice["text"]) {
			return errors.New("a choice of the completion has no text")
		}
		return nil
	})
}

// textObject is what a completion of a text, and a chunk of one, calls itself.
const textObject = "text_completion"

func completionsFailureEvent(d Dialect, e *Error) []byte {
	type choice struct {
		Index        int       `json:"index"`
		Text         string    `json:"text"`
		Logprobs     *struct{} `json:"logprobs"`
		FinishReason string    `json:"finish_reason"`
	}
	return failureChunk(d, e, textObject, choice{FinishReason: finishedByError})
}
