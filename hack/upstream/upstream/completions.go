package upstream

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
)

// completionsAPI is POST /completions: a text, or many, each to go on with by itself.
type completionsAPI struct{ openRouterAPI }

// completionDetail is what only completions know of a request.
type completionDetail struct {
	echo     bool
	suffix   string
	logprobs *int // how many alternatives of each token; nil for none of it
}

// defaultMaxTokens is the limit of a completion that sets none. Source: OpenAI's schema.
const defaultMaxTokens = 16

// completionRanges has what only completions take.
var completionRanges = append(slices.Concat(samplingRanges, limitRanges),
	numberRange{"best_of", 1, 20, true},
	numberRange{"logprobs", 0, 5, true},
)

func (completionsAPI) endpoint() Endpoint { return Completions }

func (completionsAPI) parse(_ http.Header, body []byte) (*request, error) {
	f, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := checkNumbers(f, completionRanges...); err != nil {
		return nil, err
	}
	var detail completionDetail
	req := &request{
		maxTokens: defaultMaxTokens,
		n:         max(1, f.integer("n")),
		bestOf:    f.integer("best_of"),
	}
	if limit := f.integer("max_tokens"); limit > 0 {
		req.maxTokens = limit
	}
	err = firstError(
		func() error { return readShared(f, req) },
		func() error { return readStop(f, req) },
		func() error { return readTexts(f, req, "prompt") },
		func() error { return read(f, "echo", &detail.echo) },
		func() error { return read(f, "suffix", &detail.suffix) },
		func() error { return checkBestOf(req) },
	)
	if err != nil {
		return nil, err
	}
	if !f.absent("logprobs") {
		count := f.integer("logprobs")
		detail.logprobs = &count
	}
	for i := range req.prompts {
		req.prompts[i].tokens += CountTokens(detail.suffix)
	}
	req.detail = detail
	return req, nil
}

// checkBestOf refuses what OpenAI refuses: a choice can be the best only of as many as are asked for, and only once all are made.
func checkBestOf(req *request) error {
	switch {
	case req.bestOf == 0:
		return nil
	case req.bestOf < req.n:
		return badRequest(`Invalid input for "best_of": %d is less than "n", which is %d`, req.bestOf, req.n)
	case req.stream && req.bestOf > req.n:
		return badRequest(`Invalid input for "best_of": results of best_of cannot be streamed`)
	default:
		return nil
	}
}

// maxTexts is how many texts one request may have. Source: OpenAI's schema.
const maxTexts = 2048

// readTexts reads one text or many, each as a string or as the numbers of its tokens.
func readTexts(f fields, req *request, name string) error {
	var many []json.RawMessage
	switch {
	case f.absent(name):
		return badRequest("Invalid input for %q: required", name)
	case json.Unmarshal(f[name], &many) != nil, isNumbers(f[name]):
		many = []json.RawMessage{f[name]}
	case len(many) == 0 || len(many) > maxTexts:
		return badRequest("Invalid input for %q: expected between 1 and %d texts", name, maxTexts)
	}
	for _, raw := range many {
		p, ok := textPrompt(raw)
		if !ok {
			return badRequest("Invalid input for %q: expected text or tokens, or an array of either", name)
		}
		req.prompts = append(req.prompts, p)
	}
	return nil
}

func isNumbers(raw json.RawMessage) bool {
	var ids []uint32
	return json.Unmarshal(raw, &ids) == nil && len(ids) > 0
}

// textPrompt is a text with the mark of its begin, or the tokens that are numbered, as they are.
func textPrompt(raw json.RawMessage) (prompt, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return prompt{messages: []message{{Role: roleUser, text: text}}, text: text, tokens: 1 + CountTokens(text)}, true
	}
	var ids []uint32
	if json.Unmarshal(raw, &ids) != nil || len(ids) == 0 {
		return prompt{}, false
	}
	text = "tokens " + compact(raw) // What the numbers mean only a real tokenizer knows.
	return prompt{messages: []message{{Role: roleUser, text: text}}, text: text, tokens: len(ids)}, true
}

type textChoice struct {
	Index              int       `json:"index"`
	Text               string    `json:"text"`
	Logprobs           *logprobs `json:"logprobs"`
	FinishReason       *string   `json:"finish_reason"`
	NativeFinishReason *string   `json:"native_finish_reason"`
}

// logprobs are lists of one entry for each token.
type logprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"` // in characters of the choice's text
}

func (completionsAPI) answered(g *generation) any {
	detail := g.completionDetail()
	out := g.emptyCompletion(objectText)
	for i := range g.choices {
		c := &g.choices[i]
		echoed := detail.echoed(c)
		text := textChoice{
			Index: c.index, Text: echoed + c.content(), FinishReason: &c.finish, NativeFinishReason: &c.finish,
			Logprobs: detail.probabilities(c.pieces, len(echoed)),
		}
		if detail.echo {
			text.Text += detail.suffix
		}
		out.Choices = append(out.Choices, text)
	}
	out.Usage = g.usage(g.completion())
	return out
}

func (completionsAPI) failed(g *generation) any {
	out, finish := g.emptyCompletion(objectText), finishError
	body := g.providerError().body()
	out.Choices = []any{struct {
		textChoice
		Error errorBody `json:"error"`
	}{textChoice{FinishReason: &finish, NativeFinishReason: &finish}, body}}
	return out
}

func (completionsAPI) script(g *generation, perEvent int) script {
	return g.textChunks().script(g, perEvent)
}

func (completionsAPI) failure(g *generation, _ int) event { return g.textChunks().failure(g) }

func (g *generation) textChunks() chunker {
	detail, finish := g.completionDetail(), finishError
	return chunker{
		object: objectText,
		choice: detail.part,
		empty:  textChoice{},
		failed: textChoice{FinishReason: &finish, NativeFinishReason: &finish},
	}
}

func (g *generation) completionDetail() completionDetail { return g.req.detail.(completionDetail) }

// part is the choice of the event of one part. A choice opens only with an echo.
func (d completionDetail) part(p part) any {
	out := textChoice{Index: p.choice.index, Text: p.text}
	switch p.kind {
	case partOpening:
		if !d.echo {
			return nil
		}
		out.Text = d.echoed(p.choice)
	case partEnd:
		out.FinishReason, out.NativeFinishReason = &p.choice.finish, &p.choice.finish
		if d.echo {
			out.Text = d.suffix
		}
	default:
		out.Logprobs = d.probabilities([]string{p.text}, 0)
	}
	return out
}

// echoed is what stands before the text of a choice.
func (d completionDetail) echoed(c *choice) string {
	if !d.echo {
		return ""
	}
	return c.prompt.text
}

// probabilities are made up: each token is likely, and its alternatives ever less.
func (d completionDetail) probabilities(pieces []string, offset int) *logprobs {
	if d.logprobs == nil {
		return nil
	}
	out := logprobs{Tokens: slices.Clone(pieces), TokenLogprobs: []float64{}, TopLogprobs: []map[string]float64{}, TextOffset: []int{}}
	if out.Tokens == nil {
		out.Tokens = []string{}
	}
	for _, piece := range pieces {
		top := map[string]float64{}
		for rank := range *d.logprobs {
			top[piece+strings.Repeat("~", rank)] = likelihood(rank)
		}
		out.TokenLogprobs = append(out.TokenLogprobs, likelihood(0))
		out.TopLogprobs = append(out.TopLogprobs, top)
		out.TextOffset = append(out.TextOffset, offset)
		offset += len(piece)
	}
	return &out
}

// likelihood is a half for the first rank, a quarter for the next, and so on, as a natural logarithm.
func likelihood(rank int) float64 { return -math.Ln2 * float64(rank+1) }
