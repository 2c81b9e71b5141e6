package upstream

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// catalogueModel is a model in the shape of GET /models. Prices are strings in USD per token.
type catalogueModel struct {
	ID                  string          `json:"id"`
	CanonicalSlug       string          `json:"canonical_slug"`
	HuggingFaceID       string          `json:"hugging_face_id"`
	Name                string          `json:"name"`
	Created             int64           `json:"created"`
	Description         string          `json:"description"`
	ContextLength       int             `json:"context_length"`
	Architecture        architecture    `json:"architecture"`
	Pricing             pricing         `json:"pricing"`
	TopProvider         topProvider     `json:"top_provider"`
	PerRequestLimits    json.RawMessage `json:"per_request_limits"`
	SupportedParameters []string        `json:"supported_parameters"`
	DefaultParameters   json.RawMessage `json:"default_parameters"`
	ExpirationDate      *string         `json:"expiration_date"`
	Links               modelLinks      `json:"links"`
}

// The kinds of input and output that these models have.
const (
	modalityText       = "text"
	modalityEmbeddings = "embeddings"
)

// output is the kind of a model's answers.
func (m Model) output() string {
	if m.serves(Embeddings) {
		return modalityEmbeddings
	}
	return modalityText
}

type modelLinks struct {
	Details string `json:"details"`
}

type architecture struct {
	Modality         string   `json:"modality"`
	InputModalities  []string `json:"input_modalities"`
	OutputModalities []string `json:"output_modalities"`
	Tokenizer        string   `json:"tokenizer"`
	InstructType     *string  `json:"instruct_type"`
}

type pricing struct {
	Prompt            string `json:"prompt"`
	Completion        string `json:"completion"`
	CacheRead         string `json:"input_cache_read,omitempty"`
	CacheWrite        string `json:"input_cache_write,omitempty"`
	Request           string `json:"request"`
	Image             string `json:"image"`
	WebSearch         string `json:"web_search"`
	InternalReasoning string `json:"internal_reasoning"`
}

type topProvider struct {
	ContextLength       int  `json:"context_length"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	IsModerated         bool `json:"is_moderated"`
}

func (m Model) maxCompletion() *int {
	if m.MaxCompletion == 0 {
		return nil
	}
	return &m.MaxCompletion
}

func (m Model) pricing() pricing {
	p := pricing{
		Prompt: FormatUSD(m.Price.Prompt), Completion: FormatUSD(m.Price.Completion),
		Request: "0", Image: "0", WebSearch: "0", InternalReasoning: "0",
	}
	if m.Price.CacheRead > 0 {
		p.CacheRead = FormatUSD(m.Price.CacheRead)
	}
	if m.Price.CacheWrite > 0 {
		p.CacheWrite = FormatUSD(m.Price.CacheWrite)
	}
	return p
}

func (m Model) catalogue() catalogueModel {
	out := catalogueModel{
		ID: m.ID, CanonicalSlug: m.ID, HuggingFaceID: m.HuggingFaceID, Name: m.Name, Created: m.Created,
		Description: m.Description, ContextLength: m.Context,
		Architecture: architecture{
			Modality: "text->" + m.output(), InputModalities: []string{modalityText},
			OutputModalities: []string{m.output()}, Tokenizer: m.Tokenizer,
		},
		Pricing:             m.pricing(),
		TopProvider:         topProvider{ContextLength: m.Context, MaxCompletionTokens: m.maxCompletion()},
		PerRequestLimits:    jsonNull,
		SupportedParameters: m.SupportedParameters,
		DefaultParameters:   jsonNull,
		Links:               modelLinks{Details: "/api/v1/models/" + m.ID + "/endpoints"},
	}
	if m.InstructType != "" {
		out.Architecture.InstructType = &m.InstructType
	}
	return out
}

// maxPageSize and pageSize are how many models a page may have, and has where only an offset is given.
const (
	maxPageSize = 1000
	pageSize    = 500
)

// page reads which models are asked for: limit and offset, or all of them where neither is given.
func page(q url.Values, count int) (from, to int, err error) {
	if !q.Has("limit") && !q.Has("offset") {
		return 0, count, nil
	}
	read := func(name string, otherwise, low, high int) int {
		value := otherwise
		if text := q.Get(name); text != "" {
			n, bad := strconv.Atoi(text)
			if bad != nil || n < low || n > high {
				err = badRequest("Invalid input for %q: expected an integer between %d and %d", name, low, high)
			}
			value = n
		}
		return value
	}
	limit, offset := read("limit", pageSize, 1, maxPageSize), read("offset", 0, 0, math.MaxInt32)
	from = min(offset, count)
	return from, min(from+limit, count), err
}

// listed are the models with one of the kinds of output asked for, separated by commas: text if none is, or all.
func (s *Server) listed(outputs string) []Model {
	if outputs == "all" {
		return s.Models
	}
	kinds := strings.Split(cmp.Or(outputs, modalityText), ",")
	return slices.DeleteFunc(slices.Clone(s.Models), func(m Model) bool { return !slices.Contains(kinds, m.output()) })
}

// serveModels answers GET /models, which needs no key. Pages are opt-in.
func (s *Server) serveModels(w http.ResponseWriter, r *http.Request) error {
	models := s.listed(r.URL.Query().Get("output_modalities"))
	from, to, err := page(r.URL.Query(), len(models))
	if err != nil {
		return err
	}
	data := make([]catalogueModel, 0, to-from)
	for _, m := range models[from:to] {
		data = append(data, m.catalogue())
	}
	var next *string
	if to < len(models) {
		query := r.URL.Query()
		query.Set("limit", strconv.Itoa(to-from))
		query.Set("offset", strconv.Itoa(to))
		link := r.URL.Path + "?" + query.Encode()
		next = &link
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"data": data, "total_count": len(models), "links": map[string]*string{"next": next},
	})
	return nil
}

func (s *Server) namedModel(r *http.Request) (Model, error) {
	id := r.PathValue("author") + "/" + r.PathValue("slug")
	m, ok := s.models[id]
	if !ok {
		return Model{}, newError(http.StatusNotFound, "Model %q not found", id)
	}
	return m, nil
}

func (s *Server) serveModel(w http.ResponseWriter, r *http.Request) error {
	m, err := s.namedModel(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, envelope{m.catalogue()})
	return nil
}

type endpoint struct {
	Name                string   `json:"name"`
	ProviderName        string   `json:"provider_name"`
	ContextLength       int      `json:"context_length"`
	Pricing             pricing  `json:"pricing"`
	Quantization        string   `json:"quantization"`
	MaxCompletionTokens *int     `json:"max_completion_tokens"`
	SupportedParameters []string `json:"supported_parameters"`
	Status              int      `json:"status"`
	UptimeLast30m       float64  `json:"uptime_last_30m"`
}

// serveEndpoints answers GET /models/{author}/{slug}/endpoints: the one provider of a model.
func (s *Server) serveEndpoints(w http.ResponseWriter, r *http.Request) error {
	m, err := s.namedModel(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, envelope{map[string]any{
		"id": m.ID, "name": m.Name, "created": m.Created, "description": m.Description,
		"architecture": m.catalogue().Architecture,
		"endpoints": []endpoint{{
			Name: m.Provider + " | " + m.ID, ProviderName: m.Provider, ContextLength: m.Context, Pricing: m.pricing(),
			Quantization: "unknown", MaxCompletionTokens: m.maxCompletion(), SupportedParameters: m.SupportedParameters,
			UptimeLast30m: 100,
		}},
	}})
	return nil
}
