package proxy

import (
	"net/http"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// The headers that tell a client what its request cost and what is left. Amounts are decimals in USD.
const (
	// costHeader is what was booked for the request, with all its attempts. On a stream it is a trailer, since it is known at the end.
	costHeader = "X-Modelroute-Cost"
	// remainingHeader is what was left of the tightest budget when the money was held, and budgetHeader which one that is.
	remainingHeader = "X-Modelroute-Budget-Remaining"
	budgetHeader    = "X-Modelroute-Budget"
)

// tellsCost says whether the route lets its clients see what they spend.
func (r *record) tellsCost() bool {
	return r.grant != nil && r.grant.route.CostHeaders != routeconfig.OmitCostHeaders
}

// tellCost puts the cost into a header that has not been sent.
func (r *record) tellCost(header http.Header) {
	if r.tellsCost() {
		header.Set(costHeader, r.cost.String())
	}
}

// announceCost puts the cost into a header, or says in it that the cost follows because it is not settled yet.
func (x *exchange) announceCost() {
	switch {
	case x.held.settled:
		x.record.tellCost(x.client.header())
	case x.record.tellsCost():
		x.client.header().Set("Trailer", costHeader)
		x.record.costTrails = true
	}
}

// trailCost sends the cost after a stream, if that was announced.
func (r *record) trailCost(header http.Header) {
	if r.costTrails {
		r.tellCost(header)
	}
}

// tellBudget tells the client where it stands with the tightest of its budgets.
func (h *holding) tellBudget(header http.Header) {
	if !h.record.tellsCost() {
		return
	}
	if tightest, found := h.hold.Tightest(); found {
		header.Set(remainingHeader, tightest.Remaining.String())
		header.Set(budgetHeader, tightest.Budget)
	}
}
