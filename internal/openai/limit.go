package openai

import (
	"slices"
	"strconv"
)

// routesLimit is the name under which a route sets the completion limit, whatever the operation calls it.
const routesLimit = "max_completion_tokens"

// readLimit makes the reader of the completion limit whose name has this place among the operation's, and which is at least least.
func readLimit(place int, least int64) reader {
	return func(r *Request, name string, s *scanner) (problem *Error) {
		r.limits[place], problem = readInteger(name, s, least)
		return problem
	}
}

// isLimit reports whether a parameter is the operation's completion limit, under whichever name.
func (o *Operation) isLimit(p *parameter) bool { return slices.Contains(o.limits, p.name) }

// CompletionLimit returns the completion limit, in tokens per choice; nil if the request names none. Of two the larger counts, because
// upstreams differ in which of the names they obey.
func (r *Request) CompletionLimit() *int64 {
	today, deprecated := r.limits[0], r.limits[1]
	if deprecated == nil || today != nil && *today > *deprecated {
		return today
	}
	return deprecated
}

// LimitCompletion makes the request carry a completion limit of at most limit tokens: it lowers those that are named and are larger, and
// where none is named it sets the one that the provider surely honours. It changes nothing where nothing is completed.
func (r *Request) LimitCompletion(limit int64, provider Provider) {
	none := r.CompletionLimit() == nil
	for place, name := range r.Operation.limits {
		if named := r.limits[place]; none && name == r.Operation.limitName(provider) || named != nil && *named > limit {
			r.limits[place] = &limit
			r.replace(name, strconv.AppendInt(nil, limit, 10))
		}
	}
}

// LimitByDefault names the limit that the operation's reference has for a request that names none, so that a server which has another does
// not make it dearer.
func (r *Request) LimitByDefault(provider Provider) {
	if limit := r.Operation.defaultLimit; limit > 0 && r.CompletionLimit() == nil {
		r.LimitCompletion(limit, provider)
	}
}

// nameLimit gives the client's completion limit the name that the provider surely honours. The number keeps its text. Where both are sent
// both stay, except at OpenAI and Mistral, which refuse that: there the value of the deprecated one goes.
func (r *Request) nameLimit(provider Provider) {
	limits := r.Operation.limits
	if len(limits) < len(r.limits) {
		return
	}
	if provider == Mistral {
		r.forgetNull(limits[0]) // It asks for nothing, and Mistral does not know the name.
	}
	if provider == OpenRouter || r.CompletionLimit() == nil {
		return
	}
	name, other := r.Operation.limitName(provider), limits[1]
	if name == other {
		other = limits[0]
	}
	old := r.document.find(other)
	if old == nil || string(r.document.valueOf(old)) == "null" {
		return
	}
	switch at := r.document.find(name); {
	case at == nil:
		old.name, old.renamed = name, true
	case provider == Mistral, string(r.document.valueOf(at)) == "null":
		at.value = r.document.valueOf(old)
		old.removed = true
	case provider == OpenAI:
		old.removed = true
		r.limits[1] = nil
		r.edited = nil
		return
	default:
		return
	}
	r.limits[0], r.limits[1] = r.limits[1], r.limits[0]
	if provider == Mistral {
		r.limits[0] = nil
	}
	r.edited = nil
}

// forgetNull takes out a member that is null.
func (r *Request) forgetNull(name string) {
	if m := r.document.find(name); m != nil && string(r.document.valueOf(m)) == "null" {
		r.remove(m)
	}
}
