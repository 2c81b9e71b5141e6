package proxy

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// ownedBy is what clients are told of who owns the models: for them it is this endpoint.
const ownedBy = "modelroute"

// listModels tells a caller which models its key reaches.
func (s *server) listModels(w http.ResponseWriter, r *http.Request, current *table, record *record) {
	record.quiet = true
	caller := s.identify(w, r, current, record)
	if caller == nil {
		return
	}
	models := make([]openai.ModelInfo, 0, len(caller.grants))
	for _, granted := range caller.grants {
		models = append(models, modelInfo(granted))
	}
	writeJSON(w, openai.ModelsList(models))
}

// showModel tells a caller of one model, by its name or an alias.
func (s *server) showModel(name string) handler {
	return func(w http.ResponseWriter, r *http.Request, current *table, record *record) {
		record.quiet = true
		caller := s.identify(w, r, current, record)
		if caller == nil {
			return
		}
		granted, found := caller.models[name]
		if !found {
			s.refuse(w, record, openai.ModelNotFound(name))
			return
		}
		record.grant = granted
		writeJSON(w, openai.ModelObject(modelInfo(granted)))
	}
}

func modelInfo(granted *grant) openai.ModelInfo {
	model := granted.route.Model
	return openai.ModelInfo{
		ID:                  model.Name,
		Name:                model.DisplayName,
		Description:         model.Description,
		OwnedBy:             ownedBy,
		Created:             model.Created,
		ContextLength:       model.ContextLength,
		MaxCompletionTokens: model.MaxCompletionTokens,
		InputModalities:     model.InputModalities,
		OutputModalities:    model.OutputModalities,
		SupportedParameters: model.SupportedParameters,
		Prices:              granted.highestPrices(),
		Unpriced:            granted.isUnpriced(),
		Endpoints:           granted.paths(),
	}
}

// highestPrices are what a client can plan with, since it does not choose the upstream: no request costs more, whichever serves it.
func (g *grant) highestPrices() pricing.Prices {
	var highest pricing.Prices
	for i := range g.route.Upstreams {
		if upstream := &g.route.Upstreams[i]; g.mayServe(upstream) {
			highest = highest.Highest(pricesOf(upstream))
		}
	}
	return highest
}

// isUnpriced reports whether of an upstream that may serve a request no price is known.
func (g *grant) isUnpriced() bool {
	return slices.ContainsFunc(g.route.Upstreams, func(one routeconfig.Upstream) bool { return one.Unpriced && g.mayServe(&one) })
}

func writeJSON(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // A client that has gone is no error of ours.
}
