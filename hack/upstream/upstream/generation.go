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
	payer     account
	req       *chatRequest
	way       route
	faults    faults
	tag       string
	prompt    int // tokens
	choices   []choice
	delivered int // tokens sent in a stream so far
	booked    bool
}

// plan decides everything about the answer to a valid request. Its errors are refusals, for which nothing is billed.
func (s *Server) plan(payer account, req *chatRequest, f faults) (*generation, error) {
	ways, err := s.routes(req)
	if err != nil {
		return nil, err
	}
	way := ways[0]
	if f.status != 0 && len(ways) > 1 {
		way, f.status = ways[1], 0 // A fallback takes over on any error, and is billed at its own price.
	}
	g := &generation{started: s.Now(), payer: payer, req: req, way: way, faults: f, prompt: promptTokens(req)}
	limit, err := g.limit()
	if err != nil {
		return nil, err
	}
	if err := afford(payer, s.books.credits(payer.label), g, limit); err != nil {
		return nil, err
	}
	g.id = fmt.Sprintf("gen-%d-%s", g.started.Unix(), randomName())
	g.choices = s.generator(g, limit).choices()
	g.overrun()
	return g, nil
}

// limit is the most tokens of one choice: what the caller set, else what the model and its context leave.
func (g *generation) limit() (int, error) {
	model, wanted := g.way.model, g.req.maxTokens
	left := model.Context - g.prompt
	if left < max(1, wanted) {
		e := badRequest("This endpoint's maximum context length is %d tokens. However, you requested about %d tokens "+
			"(%d of text input, %d in the output). Please reduce the length of either one.",
			model.Context, g.prompt+wanted, g.prompt, wanted)
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

func (s *Server) generator(g *generation, limit int) *generator {
	gen := &generator{
		req:     g.req,
		limit:   limit,
		usual:   s.AnswerTokens,
		exact:   g.faults.answerTokens,
		prompt:  faultMarker.ReplaceAllString(g.req.lastUser(), ""),
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
	sum := 0
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
	return newBill(g.way.price, g.prompt, completion, surcharge, g.faults.cost == costBYOK)
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
		ID: g.id, Time: now, Key: g.payer.label, KeyHash: g.payer.hash, Model: g.way.id, Provider: g.way.model.Provider,
		ServiceTier: g.way.tier, Choices: len(g.choices), PromptTokens: g.prompt, CompletionTokens: g.completion(),
		Streamed: g.streamed(), Cancelled: how == cancelled, FinishReason: g.choices[0].finish,
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
	s.books.add(r)
	s.Logger.Info("billed", "id", r.ID, "key", r.Key, "model", r.Model, "promptTokens", r.PromptTokens,
		"completionTokens", r.CompletionTokens, "costNanoUsd", r.CostNanoUSD, "streamed", r.Streamed,
		"cancelled", r.Cancelled, "finishReason", r.FinishReason, "tag", r.Tag, "fault", r.Fault)
}

// streamed is whether the answer is a stream in fact, not only asked to be one.
func (g *generation) streamed() bool { return g.req.stream && !g.faults.json }

// usage is the usage object for so many completion tokens, or nil where the faults leave it out.
func (g *generation) usage(completion int) *usage {
	if g.faults.usage == usageMissing {
		return nil
	}
	u := &usage{PromptTokens: g.prompt, CompletionTokens: completion, TotalTokens: g.prompt + completion}
	if g.req.webSearch {
		u.ServerToolUse = &serverToolUse{WebSearchRequests: 1}
	}
	if g.faults.cost != costNone {
		u.setCost(g.bill(completion), g.faults.cost == costExponent)
	}
	return u
}

// refuse answers with the failure that the faults ask for instead of an answer, and reports whether they do.
func (s *Server) refuse(w http.ResponseWriter, g *generation) bool {
	f := &g.faults
	switch refusal := f.refusal(g.way.model.Provider); {
	case refusal != nil:
		if f.status == http.StatusTooManyRequests {
			w.Header().Set("X-RateLimit-Limit", "20")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", fmt.Sprint(g.started.Add(time.Minute).UnixMilli()))
		}
		refusal.write(w)
	case f.reset:
		reset(w)
	case f.error200 == faultBody:
		writeJSON(w, http.StatusOK, f.providerError(g.way.model.Provider).envelope())
	case f.error200 == faultChoice:
		s.book(g, failed)
		w.Header().Set(generationHeader, g.id)
		writeJSON(w, http.StatusOK, g.failedCompletion())
	default:
		return false
	}
	return true
}
