package proxy

import (
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// minCompletion is the shortest completion, in tokens, that a request is sent for whose client named no limit: less is of no use to
// anybody, and some providers refuse it.
const minCompletion = 16

// admission is a request as it will be sent, with the most that it can cost.
type admission struct {
	grant *grant
	// upstream is where the request goes.
	upstream *routeconfig.Upstream
	request  *openai.Request
	// bound is what is reserved for. unlimited says that neither the client nor the route named a completion limit, so that it may be
	// lowered to what the budgets have.
	bound     pricing.Bound
	unlimited bool
	prices    pricing.Prices
	// stream says that the client wants server-sent events, includeUsage that it asked for the usage among them.
	stream, includeUsage bool
	// choices is how many choices the answer has, of all prompts.
	choices int64
	// body is what goes upstream; seal makes it.
	body []byte
}

// worst is the most that the request can cost.
func (a *admission) worst() money.Amount { return pricing.WorstCase(a.bound, a.prices) }

// mostTokens is the most tokens that the request can have.
func (a *admission) mostTokens() int64 { return pricing.MostTokens(a.bound) }

// within lowers the completion limit until the request costs no more than the amount, though not below minCompletion. It reports whether
// that changed anything.
func (a *admission) within(amount money.Amount) bool {
	return a.lower(pricing.CompletionWithin(amount, a.bound, a.prices))
}

// withinTokens is within for the tokens of a rate limit.
func (a *admission) withinTokens(tokens int64) bool {
	return a.lower(pricing.CompletionWithinTokens(tokens, a.bound))
}

func (a *admission) lower(limit int64) bool {
	limit = max(limit, min(minCompletion, a.bound.CompletionTokens))
	lowered := a.unlimited && limit < a.bound.CompletionTokens
	if lowered {
		a.bound.CompletionTokens = limit
	}
	return lowered
}

// seal makes the body. Where requests are to have a limit, the one that was reserved for is also the one that is sent.
func (a *admission) seal() {
	if a.grant.limits() {
		a.request.LimitCompletion(a.bound.CompletionTokens, providerOf(a.upstream.Provider))
	}
	a.body = a.request.Body()
}

// admit reads a body, refuses what the route does not allow, and makes of it the request that goes to the upstream that is picked. It
// has no effect on anything else.
func admit(
	operation *openai.Operation, caller *principal, body []byte, pick func(*routeconfig.Route) *routeconfig.Upstream,
) (*admission, *openai.Error) {
	request, refusal := operation.Parse(body)
	if refusal != nil {
		return nil, refusal
	}
	granted, refusal := caller.grantFor(request.Model)
	if refusal != nil {
		return nil, refusal
	}
	upstream := pick(granted.route)
	if upstream == nil {
		return nil, openai.EndpointNotFound(request.Model, basePath+operation.Path, granted.paths())
	}
	if refusal := refuseAnywhere(request, granted, len(body)); refusal != nil {
		return nil, refusal
	}
	if refusal := holdToRules(request, granted, upstream); refusal != nil {
		return nil, refusal
	}
	admitted := &admission{
		grant:        granted,
		upstream:     upstream,
		request:      request,
		bound:        boundOf(request, granted),
		unlimited:    granted.denies() && operation.Completes() && request.CompletionLimit() == nil,
		prices:       pricesOf(upstream),
		stream:       request.Stream,
		includeUsage: request.IncludeUsage,
		choices:      request.N * request.Prompts,
	}
	if err := address(request, upstream); err != nil {
		return nil, openai.Internal()
	}
	return admitted, nil
}

// address makes of a request what its upstream is to get.
func address(request *openai.Request, upstream *routeconfig.Upstream) error {
	request.SetModel(upstream.Model)
	for _, parameter := range upstream.Parameters {
		if err := request.Set(parameter.Name, parameter.Value); err != nil {
			return err
		}
	}
	if request.Stream && !providerOf(upstream.Provider).ReportsUsageUnasked() {
		request.RequestUsage()
	}
	return nil
}

// grantFor finds the route by the model that a request names.
func (p *principal) grantFor(model string) (*grant, *openai.Error) {
	if model == "" {
		return nil, openai.InvalidRequest("model", "model is missing.")
	}
	granted, found := p.models[model]
	switch {
	case found && granted.route.Suspended:
		return nil, openai.RouteSuspended(model)
	case found:
		return granted, nil
	}
	if name, suffix, isVariant := p.variantOf(model); isVariant {
		return nil, openai.InvalidRequest("model",
			"model: the suffix %.40q is not the client's to set here: it could change the model or the price, which belong to the route. "+
				"Send %q.", suffix, name)
	}
	return nil, openai.ModelNotFound(model)
}

// boundOf bounds a request, by what its client and its route allow.
func boundOf(request *openai.Request, granted *grant) pricing.Bound {
	model := granted.route.Model
	bound := pricing.Bound{
		Prompts:       request.Prompts,
		PromptTokens:  openai.PromptTokensBound(request, model.ContextLength),
		Choices:       request.Choices(),
		ContextLength: model.ContextLength,
	}
	if request.Operation.Completes() {
		requested := request.CompletionLimit()
		if requested == nil && !granted.denies() {
			requested = &model.ContextLength
		}
		bound.CompletionTokens = pricing.CompletionLimit(requested, mostCompletion(granted.route), model.ContextLength, bound.PromptTokens)
	}
	return bound
}
