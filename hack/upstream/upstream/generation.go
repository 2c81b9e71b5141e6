package upstream

import (
	"fmt"
	"net/http"
	"time"
)

// generation is one request on its way: what was asked, what is answered, and whether it is billed yet.
type generation struct {
	id        string
	started   time.Time
	api       api
	payer     account
	req       *request
	way       route
	faults    faults
	tag       string
	prompt    int // tokens of all prompts
	cached    int // of these, those read from a cache
	written   int // and those written to it
	prefixes  []prefix
	choices   []choice
	unseen    int // tokens of the choices that were made and are not answered (best_of)
	delivered int // tokens sent in a stream so far
	booked    bool
}

// plan decides everything about the answer to a valid request. Its errors are refusals, for which nothing is billed.
func (s *Server) plan(a api, payer account, req *request, f faults) (*generation, error) {
	ways, err := s.routes(req, a.endpoint())
	if err != nil {
		return nil, err
	}
	way := ways[0]
	if f.status != 0 && len(ways) > 1 {
		way, f.status = ways[1], 0 // A fallback takes over on any error, and is billed at its own price.
	}
	g := &generation{started: s.Now(), api: a, payer: payer, req: req, way: way, faults: f, prompt: req.promptTokens()}
	limit, err := g.limit()
	if err != nil {
		return nil, err
	}
	if err := afford(payer, s.usedOfLimit(payer), g, limit); err != nil {
		return nil, err
	}
	g.id = fmt.Sprintf("gen-%d-%s", g.started.Unix(), randomName())
	s.readCache(g)
	s.choose(g, limit)
	g.overrun()
	return g, nil
}

// limit is the most tokens of one choice: what the caller set, else what the model and its context leave.
func (g *generation) limit() (int, error) {
	model, prompt, wanted := g.way.model, g.req.longestPrompt(), g.req.maxTokens
	left := model.Context - prompt
	if left < max(wanted, min(1, g.req.n)) {
		e := badRequest("This endpoint's maximum context length is %d tokens. However, you requested about %d tokens "+
			"(%d of text input, %d in the output). Please reduce the length of either one.",
			model.Context, prompt+wanted, prompt, wanted)
		e.errorType = "context_length_exceeded"
		return 0, e
	}
	if model.MaxCompletion > 0 && wanted > model.MaxCompletion {
		e := badRequest("max_tokens is too large: %d. This model supports at most %d completion tokens.", wanted, model.MaxCompletion)
		e.errorType = "max_tokens_exceeded"
		return 0, e
	}
	if wanted > 0 {
		return wanted, nil
	}
	if model.MaxCompletion > 0 {
		return min(left, model.MaxCompletion), nil
	}
	return left, nil
}

// choose makes the choices: those that are answered, in the order of the prompts, and those that are only billed.
func (s *Server) choose(g *generation, limit int) {
	n := g.req.n
	for i := range g.req.prompts {
		for _, c := range s.generator(g, &g.req.prompts[i], limit).choices(max(n, g.req.bestOf)) {
			if c.index >= n {
				g.unseen += c.tokens
				continue
			}
			c.prompt, c.index = &g.req.prompts[i], i*n+c.index
			g.choices = append(g.choices, c)
		}
	}
}

func (s *Server) generator(g *generation, p *prompt, limit int) *generator {
	gen := &generator{
		req:     g.req,
		prompt:  p,
		about:   faultMarker.ReplaceAllString(p.lastUser(), ""),
		limit:   limit,
		usual:   s.AnswerTokens,
		exact:   g.faults.answerTokens,
		entropy: randomWords(),
	}
	if g.faults.split {
		gen.prefix = splitPrefix
	}
	if g.faults.overrun > 0 && g.req.maxTokens > 0 {
		gen.limit += g.faults.overrun
		gen.exact = gen.limit + 1
	}
	return gen
}

// overrun bills more than the limit also where the text itself could not grow: a call, a schema, an answer without limit.
func (g *generation) overrun() {
	if g.faults.overrun == 0 {
		return
	}
	for i := range g.choices {
		c := &g.choices[i]
		if g.req.maxTokens == 0 {
			c.tokens += g.faults.overrun
		} else {
			c.tokens = g.req.maxTokens + g.faults.overrun
		}
	}
}

// completion is the tokens of all choices.
func (g *generation) completion() int {
	sum := g.unseen
	for i := range g.choices {
		sum += g.choices[i].tokens
	}
	return sum
}

// bill is the price of the prompt with so many completion tokens.
func (g *generation) bill(completion int) bill {
	surcharge := int64(0)
	if g.req.webSearch {
		surcharge = webSearchNano
	}
	prompt := g.way.price.prompt(g.prompt, g.cached, g.written)
	return newBill(prompt, g.way.price.Completion*int64(completion), surcharge, g.faults.cost == costBYOK)
}

// readCache finds what is cached of the prompt, and what its marks ask to be. The faults can say it instead.
func (s *Server) readCache(g *generation) {
	g.prefixes = g.req.prefixes()
	g.cached, g.written = s.cache.read(g.payer, g.way, g.prefixes, g.started)
	if g.faults.cached > 0 || g.faults.cacheWrite > 0 {
		g.cached = min(g.faults.cached, g.prompt)
		g.written = min(g.faults.cacheWrite, g.prompt-g.cached)
	}
}

// ending is how a generation came to its end, which decides its bill.
type ending int

const (
	completed ending = iota
	cancelled        // the caller hung up
	broken           // the connection broke on our side
	failed           // the provider failed: OpenRouter does not bill that
)

// book bills a generation, once: later calls change nothing. It comes before the last byte of an answer, so that whoever
// has the answer finds its record.
func (s *Server) book(g *generation, how ending) {
	if g.booked {
		return
	}
	g.booked = true
	now := s.Now()
	r := Record{
		ID: g.id, Time: now, Key: g.payer.label, KeyHash: g.payer.hash,
		Endpoint: g.api.endpoint(), Model: g.way.id, Provider: g.way.model.Provider, ServiceTier: g.way.tier,
		Choices: g.req.made(), PromptTokens: g.prompt, CachedTokens: g.cached, CacheWriteTokens: g.written,
		CompletionTokens: g.completion(), Streamed: g.streamed(), Cancelled: how == cancelled, FinishReason: g.finish(),
		User: g.req.user, Tag: g.tag, Fault: g.faults.text, LatencyMillis: now.Sub(g.started).Milliseconds(),
	}
	stops := g.faults.cancellable || g.way.model.Cancellable
	if how == failed || (how != completed && stops && g.streamed()) {
		r.CompletionTokens, r.FinishReason = g.delivered, ""
	}
	price := g.bill(r.CompletionTokens)
	switch {
	case how == failed:
		r.FinishReason, price = finishError, price.insured()
	case r.CompletionTokens == 0 && r.FinishReason == "":
		price = price.insured()
	}
	r.CostNanoUSD, r.CostUSD, r.IsBYOK = price.total(), FormatUSD(price.total()), price.byok
	if price.byok {
		r.BYOKNanoUSD = price.inference()
	}
	if how != failed {
		s.cache.keep(g.payer, g.way, g.prefixes, now)
	}
	s.books.add(r)
	s.Logger.Info("billed", "id", r.ID, "key", r.Key, "endpoint", r.Endpoint, "model", r.Model, "promptTokens", r.PromptTokens,
		"completionTokens", r.CompletionTokens, "costNanoUsd", r.CostNanoUSD, "streamed", r.Streamed,
		"cancelled", r.Cancelled, "finishReason", r.FinishReason, "tag", r.Tag, "fault", r.Fault)
}

// finish is how the first choice ended. Where no text was asked for there is none, and the end is a good one.
func (g *generation) finish() string {
	if len(g.choices) == 0 {
		return finishStop
	}
	return g.choices[0].finish
}

// streamed is whether the answer is a stream in fact, not only asked to be one.
func (g *generation) streamed() bool {
	_, can := g.api.(streamingAPI)
	return can && g.req.stream && !g.faults.json
}

// refuse answers with the failure that the faults ask for instead of an answer, and reports whether they do. Its error is
// such a failure too, and is still to be written.
func (s *Server) refuse(w http.ResponseWriter, g *generation) (bool, error) {
	f := &g.faults
	switch refusal := f.refusal(g.way.model.Provider); {
	case refusal != nil:
		if f.status == http.StatusTooManyRequests {
			w.Header().Set("X-RateLimit-Limit", "20")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", fmt.Sprint(g.started.Add(time.Minute).UnixMilli()))
		}
		return true, refusal
	case f.reset:
		reset(w)
	case f.error200 == faultBody:
		writeJSON(w, http.StatusOK, g.api.envelope(g.providerError()))
	case f.error200 == faultChoice:
		s.book(g, failed)
		w.Header().Set(generationHeader, g.id)
		writeJSON(w, http.StatusOK, g.api.failed(g))
	default:
		return false, nil
	}
	return true, nil
}

// providerError is the failure that the faults ask for once there is a status.
func (g *generation) providerError() *apiError { return g.faults.providerError(g.way.model.Provider) }
