package upstream

import (
	"net/http"
	"slices"
	"strings"
)

// Model is one entry of the catalogue, served by one provider.
type Model struct {
	ID                  string // author/slug
	Name                string
	Description         string
	Created             int64 // Unix seconds
	HuggingFaceID       string
	Context             int // tokens, prompt and completion together
	MaxCompletion       int // tokens; 0 is what the context leaves
	Price               Price
	Provider            string
	Cancellable         bool // whether a caller that hangs up stops the generation and its bill
	Tokenizer           string
	InstructType        string
	SupportedParameters []string
	Endpoints           []Endpoint // where it is served; none is wherever text is made
}

// serves is whether a model has an endpoint.
func (m Model) serves(e Endpoint) bool {
	if len(m.Endpoints) == 0 {
		return e != Embeddings
	}
	return slices.Contains(m.Endpoints, e)
}

// DefaultModels is the catalogue when Options names none: the model page's model, a dearer one whose provider cancels, so
// that a request which escapes to it shows in the books, and one for embeddings. (No provider sells a cache of Mixtral's
// prompts. This one does, so that the model can stand for any.)
func DefaultModels() []Model {
	return []Model{
		{
			ID:            "mistralai/mixtral-8x22b-instruct",
			Name:          "Mistral: Mixtral 8x22B Instruct",
			Description:   "Mistral's official instruct fine-tune of Mixtral 8x22B: 39B active parameters of 141B.",
			Created:       1713312000,
			HuggingFaceID: "mistralai/Mixtral-8x22B-Instruct-v0.1",
			Context:       65536,
			Price:         Price{Prompt: 2000, Completion: 6000, CacheRead: 200, CacheWrite: 2500},
			Provider:      "Mistral",
			Tokenizer:     "Mistral",
			InstructType:  "mistral",
			SupportedParameters: []string{
				"frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "response_format", "seed",
				"stop", "structured_outputs", "temperature", "tool_choice", "tools", "top_p",
			},
		},
		{
			ID:            "openai/gpt-4o",
			Name:          "OpenAI: GPT-4o",
			Description:   "A dearer model of another provider, one that stops when its caller hangs up.",
			Created:       1715558400,
			Context:       128000,
			MaxCompletion: 16384,
			Price:         Price{Prompt: 2500, Completion: 10000, CacheRead: 1250},
			Provider:      "OpenAI",
			Cancellable:   true,
			Tokenizer:     "GPT",
			SupportedParameters: []string{
				"frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "response_format", "seed",
				"stop", "structured_outputs", "temperature", "tool_choice", "tools", "top_p",
			},
		},
		{
			ID:                  "openai/text-embedding-3-small",
			Name:                "OpenAI: Text Embedding 3 Small",
			Description:         "Turns text into vectors of 1536 numbers, or fewer.",
			Created:             1706140800,
			Context:             8192,
			Price:               Price{Prompt: 20},
			Provider:            "OpenAI",
			Tokenizer:           "GPT",
			SupportedParameters: []string{"dimensions", "encoding_format"},
			Endpoints:           []Endpoint{Embeddings},
		},
	}
}

// dearVariants are the suffixes of a model's id that route to other endpoints; here they all cost twice as much.
var dearVariants = map[string]bool{
	"nitro": true, "floor": true, "online": true, "thinking": true, "extended": true, "exacto": true,
}

// variantFactor is the price of a variant or of the priority tier, as a multiple of the model's own.
const variantFactor = 2

// route is a model as one request reaches it: the id it was asked by and the price of that way.
type route struct {
	model Model
	id    string
	price Price
	tier  string
}

// lookup finds a model by its id, with or without a variant.
func (s *Server) lookup(id string) (route, error) {
	base, variant, hasVariant := strings.Cut(id, ":")
	model, known := s.models[base]
	switch {
	case !known:
		return route{}, unknownModel(id)
	case !hasVariant:
		return route{model: model, id: id, price: model.Price}, nil
	case dearVariants[variant]:
		return route{model: model, id: id, price: model.Price.times(variantFactor)}, nil
	case variant == "free":
		return route{}, unavailable(http.StatusNotFound, "no_endpoints", "No endpoints found for "+id+".", []string{id}, "")
	default:
		return route{}, unknownModel(id)
	}
}

func unknownModel(id string) error {
	return unavailable(http.StatusBadRequest, "model_not_found", id+" is not a valid model ID", []string{id}, "")
}

// routes lists the ways a request may take, in its order: its model, then its fallbacks. It is never empty without an error.
func (s *Server) routes(req *request, at Endpoint) ([]route, error) {
	ids := req.models
	if req.model != "" {
		ids = append([]string{req.model}, ids...)
	}
	if len(ids) == 0 {
		return nil, badRequest("No models provided")
	}
	factor, tier := int64(1), "default"
	if req.serviceTier == "priority" || req.serviceTier == "fast" {
		factor, tier = variantFactor, "priority"
	}
	var (
		allowed []route
		refusal error
	)
	for _, id := range ids {
		way, err := s.lookup(id)
		if err != nil {
			return nil, err
		}
		way.price, way.tier = way.price.times(factor), tier
		if !way.model.serves(at) {
			refusal = unavailable(http.StatusBadRequest, "wrong_endpoint", id+" is not served at /"+string(at), ids, "")
			continue
		}
		if err := req.provider.admits(way, ids); err != nil {
			refusal = err
			continue
		}
		allowed = append(allowed, way)
	}
	if len(allowed) == 0 {
		return nil, refusal
	}
	return allowed, nil
}
