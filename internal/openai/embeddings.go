package openai

import (
	"slices"

	"github.com/modelroute/modelroute/internal/pricing"
)

// Embeddings is POST /embeddings: a vector for each text. Nothing is completed, and there are no streams.
var Embeddings = &Operation{
	Name:     "embeddings",
	Endpoint: "Embeddings",
	Path:     "/embeddings",
	Answer:   "a list of embeddings",

	parameters: newParameters(embeddingsParameters, ownedParameters),
	required:   []string{"model", "input"},
	content:    "input",
	overhead:   embeddingsOverhead,

	read:    readEmbeddings,
	failure: openAIFailure,
}

// embeddingsParameters are those of embeddings, from the references of OpenAI, OpenRouter and Mistral and, where it is named,
// vLLM.
var embeddingsParameters = slices.Concat(
	asInChat("model"),
	[]parameter{
		{name: "input", role: prompt, from: everyone, want: wantTexts, content: readInput,
			about: "The text, or several, each of which gets a vector; as text or as the ids of its tokens."},
		{name: "dimensions", from: everyone, want: "an integer of at least 1", read: integer(1),
			spelled: map[Provider]spelling{Mistral: {name: "output_dimension"}}, about: "How long the vectors are."},
		{name: "output_dimension", from: Mistral, want: "an integer of at least 1", read: integer(1),
			about: "Mistral's name of `dimensions`."},
		{name: "encoding_format", from: everyone, want: listOf(encodings), read: oneOf(encodings),
			about: "How the vectors are written. The SDKs ask for `base64` by themselves, which is a third of the size."},
		{name: "input_type", role: prompt, from: OpenRouter, want: "a string", read: upTo(0),
			about: "What the texts are for, such as `search_query`."},
	},
	asInChat("user", "session_id", "trace"),
	[]parameter{{name: "messages", role: owned, about: "vLLM: a conversation in place of `input`."}},
)

var encodings = []string{"float", "base64"}

func readInput(r *Request, name string, s *scanner) (int64, *Error) {
	texts := &textReader{request: r, name: name, scanner: s, parts: true, filled: true}
	return texts.read()
}

// textOverhead bounds what models of embeddings have around a text, in tokens: the marks of its begin and end, and what a server puts
// before it by its type, of which the instructions of E5 and Qwen 3 have about 20.
const textOverhead = 64

func embeddingsOverhead(*Request) int64 { return textOverhead }

// readEmbeddings reads a list of embeddings.
func readEmbeddings(s *scanner, _ *pricing.Usage) outcome {
	var o outcome
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "usage":
			if value := s.span(); s.err == nil && string(value) != "null" {
				o.usage, o.usageErr = promptUsage.parse(value)
			}
		case "error":
			if value := s.span(); s.err == nil && !isFalsy(value) {
				o.reported = parseReported(value)
			}
		case "data":
			value := s.span()
			o.generated = s.err == nil && !isEmpty(value)
		default:
			s.walk()
		}
	}
	return o
}
