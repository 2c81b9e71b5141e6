package compile

import (
	"cmp"
	"slices"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/catalog"
)

// completeModel adds to the model what the route leaves out.
func (c *Completed) completeModel(route *v1alpha1.ModelRoute) {
	known := c.knownOfModel(route)
	model := &c.Route.Spec.Model
	if model.ContextLength == 0 && known.ContextLength == 0 {
		c.awaitLists()
	}
	model.ContextLength = cmp.Or(model.ContextLength, known.ContextLength)
	if model.MaxCompletionTokens == 0 && known.MaxCompletionTokens > 0 {
		model.MaxCompletionTokens = max(known.MaxCompletionTokens, mostAsked(route))
		if model.ContextLength > 0 {
			model.MaxCompletionTokens = min(model.MaxCompletionTokens, model.ContextLength)
		}
	}
	if len(model.InputModalities) == 0 {
		model.InputModalities = named[v1alpha1.Modality](known.InputModalities)
	}
	// Content of another kind than text has prices of its own: a client may ask for it only where the route says so.
	embeddings := string(v1alpha1.OutputEmbeddings)
	if len(model.OutputModalities) == 0 && slices.Contains(known.OutputModalities, embeddings) {
		model.OutputModalities = []v1alpha1.OutputModality{v1alpha1.OutputEmbeddings}
	}
	if len(model.SupportedParameters) > 0 {
		return
	}
	c.SupportedParameters = known.SupportedParameters
	if route.Spec.Parameters != nil && route.Spec.Parameters.Unsupported != "" {
		model.SupportedParameters = known.SupportedParameters
	}
}

// awaitLists has the route wait for all lists that will be read.
func (c *Completed) awaitLists() {
	for _, one := range c.Upstreams {
		if one.Listed.State == ListPending && !slices.Contains(c.Pending, one.Name) {
			c.Pending = append(c.Pending, one.Name)
		}
	}
}

// mostAsked is the largest completion limit that the route itself sets.
func mostAsked(route *v1alpha1.ModelRoute) int64 {
	most := int64(0)
	if route.Spec.Parameters != nil {
		for _, tokens := range limitsOf(route.Spec.Parameters) {
			most = max(most, tokens)
		}
	}
	return most
}

// knownOfModel puts together what is known of the model at all upstreams. The longest context counts, since it bounds what a request costs
// whichever serves it; of all else, what the first upstream says that says anything.
func (c *Completed) knownOfModel(route *v1alpha1.ModelRoute) catalog.Facts {
	var known catalog.Facts
	lacksList := false
	for _, one := range c.Upstreams {
		lacksList = lacksList || one.Listed.State == ListPending || one.Listed.State == ListUnavailable
		facts := one.Listed.Facts
		if facts == nil {
			builtIn, _ := catalog.BuiltIn(string(one.Provider), one.ID)
			facts = &builtIn
		}
		known = joined(known, *facts)
	}
	if !lacksList {
		return known
	}
	before := c.knownBefore(route)
	if before.ContextLength > 0 {
		known.ContextLength = 0 // What is known of the other upstreams was put together with this one's.
	}
	return joined(before, known)
}

// knownBefore is what the route's status says was in force of the same model at the same upstreams.
func (c *Completed) knownBefore(route *v1alpha1.ModelRoute) catalog.Facts {
	status := route.Status.Model
	isSame := slices.EqualFunc(route.Status.Upstreams, c.Upstreams, func(status v1alpha1.UpstreamStatus, one CompletedUpstream) bool {
		return one.isOf(status)
	})
	if status == nil || !isSame {
		return catalog.Facts{}
	}
	return catalog.Facts{
		ContextLength: status.ContextLength, MaxCompletionTokens: status.MaxCompletionTokens,
		InputModalities:     sortedNames(status.InputModalities),
		OutputModalities:    sortedNames(status.OutputModalities),
		SupportedParameters: slices.Sorted(slices.Values(status.SupportedParameters)),
	}
}

func joined(first, second catalog.Facts) catalog.Facts {
	or := func(a, b []string) []string {
		if len(a) > 0 {
			return a
		}
		return b
	}
	return catalog.Facts{
		ContextLength:       max(first.ContextLength, second.ContextLength),
		MaxCompletionTokens: cmp.Or(first.MaxCompletionTokens, second.MaxCompletionTokens),
		InputModalities:     or(first.InputModalities, second.InputModalities),
		OutputModalities:    or(first.OutputModalities, second.OutputModalities),
		SupportedParameters: or(first.SupportedParameters, second.SupportedParameters),
	}
}
