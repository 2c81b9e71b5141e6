package upstream

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/http"
)

// embeddingsAPI is POST /embeddings: a vector for each text. It has no stream and no completion.
type embeddingsAPI struct{ openRouterAPI }

// vectorShape is how the vectors of one request are wanted.
type vectorShape struct {
	dimensions int
	base64     bool
}

// defaultDimensions is the length of a vector where the caller does not say.
const defaultDimensions = 1536

func (embeddingsAPI) endpoint() Endpoint { return Embeddings }

func (embeddingsAPI) parse(_ http.Header, body []byte) (*request, error) {
	f, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := checkNumbers(f, numberRange{"dimensions", 1, defaultDimensions, true}); err != nil {
		return nil, err
	}
	shape, encoding := vectorShape{dimensions: defaultDimensions}, ""
	req := &request{}
	err = firstError(
		func() error { return readShared(f, req) },
		func() error { return readTexts(f, req, "input") },
		func() error { return read(f, "encoding_format", &encoding) },
	)
	if err != nil {
		return nil, err
	}
	switch encoding {
	case "", "float":
	case "base64":
		shape.base64 = true
	default:
		return nil, badRequest(`Invalid input for "encoding_format": expected float or base64`)
	}
	if wanted := f.integer("dimensions"); wanted > 0 {
		shape.dimensions = wanted
	}
	for i := range req.prompts {
		if req.prompts[i].messages[0].text == "" {
			return nil, badRequest(`Invalid input for "input": input cannot be an empty string`)
		}
	}
	req.detail = shape
	return req, nil
}

type embeddingList struct {
	Object   string          `json:"object"`
	Data     []embedding     `json:"data"`
	Model    string          `json:"model"`
	ID       string          `json:"id"`
	Provider string          `json:"provider"`
	Usage    *embeddingUsage `json:"usage,omitempty"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or their little-endian 32-bit floats in base64
}

type embeddingUsage struct {
	PromptTokens int `json:"prompt_tokens"`
	TotalTokens  int `json:"total_tokens"`
	costs
}

func (embeddingsAPI) answered(g *generation) any {
	shape, _ := g.req.detail.(vectorShape)
	out := embeddingList{Object: "list", Model: g.way.id, ID: g.id, Provider: g.way.model.Provider}
	for i := range g.req.prompts {
		out.Data = append(out.Data, embedding{Object: "embedding", Index: i, Embedding: shape.embed(g.req.prompts[i].text)})
	}
	if g.faults.usage != usageMissing {
		out.Usage = &embeddingUsage{PromptTokens: g.prompt, TotalTokens: g.prompt, costs: g.costs(0)}
	}
	return out
}

// failed has no vector to put an error beside, so the error is all there is.
func (a embeddingsAPI) failed(g *generation) any { return a.envelope(g.providerError()) }

// embed is a vector of length 1 that depends on nothing but the text.
func (s vectorShape) embed(text string) any {
	sum := sha256.Sum256([]byte(text))
	seed := [...]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
	random := rand.New(rand.NewPCG(seed[0], seed[1])) //nolint:gosec // No secret comes of it.
	vector, square := make([]float64, s.dimensions), 0.0
	for i := range vector {
		vector[i] = random.NormFloat64()
		square += vector[i] * vector[i]
	}
	numbers := make([]float32, s.dimensions)
	var raw []byte
	for i, value := range vector {
		numbers[i] = float32(value / math.Sqrt(square))
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(numbers[i]))
	}
	if s.base64 {
		return base64.StdEncoding.EncodeToString(raw)
	}
	return numbers
}
