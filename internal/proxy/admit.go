package proxy

import (
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// admission is a request as it will be sent, with the most that it can cost.
type admission struct {
	grant *grant
	// body is what goes upstream.
	body []byte
	// stream says that the client wants server-sent events, includeUsage that it asked for the usage among them.
	stream, includeUsage bool
	choices              int64
	prices               pricing.Prices
	worst                money.Amount
}

// admit reads a body, refuses what the route does not allow, and makes of it the request that goes upstream. It has no effect on anything
// else.
func admit(caller *principal, body []byte) (*admission, *openai.Error) {
	chat, refusal := openai.ParseChat(body)
	if refusal != nil {
		return nil, refusal
	}
	granted, refusal := caller.grantFor(chat.Model)
	if refusal != nil {
		return nil, refusal
	}
	if name, forbidden := openai.ForbiddenField(chat); forbidden {
		return nil, openai.InvalidRequest(name,
			"%s is not the client's to set here: it could change the model or the price, which belong to the route.", name)
	}
	if granted.denies() && chat.UnboundedInput != "" {
		return nil, openai.InvalidRequest(chat.UnboundedInput,
			"%s is not text, so its cost has no bound, and this key has a budget that must hold.", chat.UnboundedInput)
	}
	for _, parameter := range granted.route.Defaults {
		if err := chat.SetDefault(parameter.Name, parameter.Value); err != nil {
			return nil, openai.Internal()
		}
	}
	upstream := granted.upstream()
	admitted := &admission{
		grant:        granted,
		stream:       chat.Stream,
		includeUsage: chat.IncludeUsage,
		choices:      chat.N,
		prices:       pricesOf(upstream),
	}
	admitted.worst = pricing.WorstCase(boundOf(chat, granted), admitted.prices)
	chat.SetModel(upstream.Model)
	if chat.Stream {
		chat.RequestUsage()
	}
	admitted.body = chat.Body()
	return admitted, nil
}

// grantFor finds the route by the model that a request names.
func (p *principal) grantFor(model string) (*grant, *openai.Error) {
	if model == "" {
		return nil, openai.InvalidRequest("model", "model is missing.")
	}
	granted, found := p.models[model]
	if !found {
		return nil, openai.ModelNotFound(model)
	}
	return granted, nil
}

// boundOf bounds a request. Where a budget denies, the completion limit that is reserved for is also the one that is sent.
func boundOf(chat *openai.Chat, granted *grant) pricing.Bound {
	model := granted.route.Model
	prompt := openai.PromptTokensBound(chat, model.ContextLength)
	if chat.UnboundedInput != "" {
		prompt = model.ContextLength
	}
	requested := chat.CompletionLimit()
	if requested == nil && !granted.denies() {
		requested = &model.ContextLength
	}
	limit := pricing.CompletionLimit(requested, model.MaxCompletionTokens, model.ContextLength, prompt)
	if granted.denies() {
		chat.LimitCompletion(limit, limitField(granted.upstream().Provider))
	}
	return pricing.Bound{PromptTokens: prompt, CompletionTokens: limit, Choices: chat.N, ContextLength: model.ContextLength}
}

// limitField is the name under which a provider surely honours a completion limit that the client did not send. OpenAI refuses the old
// name for its newer models; many compatible servers know only the old one and would ignore the new one, and with it the budget.
func limitField(provider routeconfig.Provider) string {
	if provider == routeconfig.OpenAICompatible {
		return "max_tokens"
	}
	return "max_completion_tokens"
}
