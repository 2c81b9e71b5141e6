package ledger

import (
	"fmt"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// What a request may hold. Kubernetes' own names are shorter.
const (
	maxName      = 253
	maxIdentity  = 512
	maxHash      = 128
	maxProxyID   = 64
	maxRoutes    = 1000
	maxConsumers = 10_000
	maxBudgets   = 20_000
	maxInFlight  = 20_000
	maxDemands   = 1000
	maxRecords   = 1000
	maxReason    = 1000
	// maxBudgetsEach bounds the budgets of one route, consumer, upstream or shared owner: all of them are checked in one statement.
	maxBudgetsEach = 32
	// maxOwner bounds the name of a shared owner, maxOwnersEach those on which one consumer draws: a team and a key, and room for more.
	maxOwner      = 2*maxName + len("key//")
	maxOwnersEach = 4
	// maxCharges is in how many accounts a request can be held: those of its route, consumer, upstream and owners.
	maxCharges = (3 + maxOwnersEach) * maxBudgetsEach
)

// checker finds the first field of a request that is wrong.
type checker struct{ err error }

// must notes a fault unless it holds. The format begins with the field.
func (c *checker) must(holds bool, format string, arguments ...any) {
	if c.err == nil && !holds {
		c.err = connect.Errorf(connect.CodeInvalidArgument, format, arguments...)
	}
}

func (c *checker) name(field, name string, longest int) {
	c.must(name != "", "%s: must be set", field)
	c.must(len(name) <= longest, "%s: is longer than %d bytes", field, longest)
}

func (c *checker) route(field string, route *ledgerpb.RouteRef) {
	c.name(field+".namespace", route.GetNamespace(), maxName)
	c.name(field+".name", route.GetName(), maxName)
}

func (c *checker) upstream(field, name string) {
	c.must(len(name) <= maxName, "%s: is longer than %d bytes", field, maxName)
}

func (c *checker) amount(field string, nano, most int64) {
	c.must(nano >= 0 && nano <= most, "%s: is %d, must be between 0 and %d", field, nano, most)
}

func (c *checker) session(session *ledgerpb.Session) {
	c.name("session.proxy_id", session.GetProxyId(), maxProxyID)
	c.must(session.GetEpoch() > 0, "session.epoch: must be positive")
	c.must(len(session.GetToken()) == tokenBytes, "session.token: must have %d bytes", tokenBytes)
}

func checkOpenSession(request *ledgerpb.OpenSessionRequest) error {
	var c checker
	c.name("proxy_id", request.GetProxyId(), maxProxyID)
	c.must(len(request.GetInstance()) <= maxName, "instance: is longer than %d bytes", maxName)
	c.must(len(request.GetRoutes()) > 0 && len(request.GetRoutes()) <= maxRoutes, "routes: must be between 1 and %d", maxRoutes)
	for i, route := range request.GetRoutes() {
		c.route(fmt.Sprintf("routes[%d]", i), route)
	}
	return c.err
}

func checkHeartbeat(request *ledgerpb.HeartbeatRequest) error {
	var c checker
	c.session(request.GetSession())
	c.must(len(request.GetConfigHash()) <= maxHash, "config_hash: is longer than %d bytes", maxHash)
	c.must(len(request.GetInFlight()) <= maxInFlight, "in_flight: more than %d", maxInFlight)
	for i, one := range request.GetInFlight() {
		prefix := fmt.Sprintf("in_flight[%d].", i)
		c.route(prefix+"route", one.GetRoute())
		c.name(prefix+"consumer", one.GetConsumer(), maxName)
		c.upstream(prefix+"upstream", one.GetUpstream())
		c.amount(prefix+"amount_nano_usd", one.GetAmountNanoUsd(), store.MaxSum)
	}
	return c.err
}

func checkDraw(request *ledgerpb.DrawRequest) error {
	var c checker
	c.session(request.GetSession())
	c.must(request.GetSequence() > 0, "sequence: must be positive")
	c.must(request.GetAfter() >= 0, "after: must not be negative")
	c.must(len(request.GetDemands()) > 0 && len(request.GetDemands()) <= maxDemands, "demands: must be between 1 and %d", maxDemands)
	for i, one := range request.GetDemands() {
		prefix := fmt.Sprintf("demands[%d].", i)
		c.route(prefix+"route", one.GetRoute())
		c.name(prefix+"consumer", one.GetConsumer(), maxName)
		c.upstream(prefix+"upstream", one.GetUpstream())
		c.amount(prefix+"amount_nano_usd", one.GetAmountNanoUsd(), store.MaxAmount)
		c.amount(prefix+"want_nano_usd", one.GetWantNanoUsd(), store.MaxAmount)
		c.amount(prefix+"requests", one.GetRequests(), store.MaxAmount)
		c.amount(prefix+"tokens", one.GetTokens(), store.MaxAmount)
		c.amount(prefix+"want_requests", one.GetWantRequests(), store.MaxAmount)
		c.amount(prefix+"want_tokens", one.GetWantTokens(), store.MaxAmount)
		c.charges(prefix+"have", one.GetHave())
	}
	return c.err
}

func (c *checker) charges(field string, charges []*ledgerpb.Charge) {
	c.must(len(charges) <= maxCharges, "%s: more than %d", field, maxCharges)
	for i, one := range charges {
		c.charge(fmt.Sprintf("%s[%d].", field, i), one)
	}
}

func (c *checker) charge(prefix string, one *ledgerpb.Charge) {
	c.must(one.GetLease() > 0, "%slease: must be positive", prefix)
	c.amount(prefix+"amount", one.GetAmount(), store.MaxSum)
}

func checkAppend(request *ledgerpb.AppendRequest) error {
	var c checker
	c.session(request.GetSession())
	c.must(request.GetFirst() > 0, "first: must be positive")
	c.must(len(request.GetRecords()) <= maxRecords, "records: more than %d", maxRecords)
	for i, one := range request.GetRecords() {
		c.record(fmt.Sprintf("records[%d].", i), one)
	}
	return c.err
}

func (c *checker) record(prefix string, one *ledgerpb.Record) {
	switch kind := one.GetKind().(type) {
	case *ledgerpb.Record_Settlement:
		c.settlement(prefix+"settlement.", kind.Settlement)
	case *ledgerpb.Record_Returned:
		c.charge(prefix+"returned.", kind.Returned)
	case *ledgerpb.Record_ReleaseAll:
		c.must(kind.ReleaseAll, "%srelease_all: must be true", prefix)
	default:
		c.must(false, "%skind: must be set", prefix)
	}
}

func (c *checker) settlement(prefix string, one *ledgerpb.Settlement) {
	c.route(prefix+"route", one.GetRoute())
	c.name(prefix+"consumer", one.GetConsumer(), maxName)
	c.amount(prefix+"amount_nano_usd", one.GetAmountNanoUsd(), store.MaxAmount)
	c.amount(prefix+"replaces_nano_usd", one.GetReplacesNanoUsd(), store.MaxAmount)
	c.amount(prefix+"requests", one.GetRequests(), store.MaxAmount)
	c.amount(prefix+"tokens", one.GetTokens(), store.MaxAmount)
	c.must(len(one.GetModel()) <= maxName, "%smodel: is longer than %d bytes", prefix, maxName)
	c.upstream(prefix+"upstream", one.GetUpstream())
	c.must(len(one.GetTeam()) <= maxName, "%steam: is longer than %d bytes", prefix, maxName)
	used := one.GetUsed()
	c.amount(prefix+"used.prompt", used.GetPrompt(), store.MaxAmount)
	c.amount(prefix+"used.cached", used.GetCached(), store.MaxAmount)
	c.amount(prefix+"used.cache_write", used.GetCacheWrite(), store.MaxAmount)
	c.amount(prefix+"used.completion", used.GetCompletion(), store.MaxAmount)
	c.amount(prefix+"used.reasoning", used.GetReasoning(), store.MaxAmount)
	c.charges(prefix+"charges", one.GetCharges())
	certainty := one.GetCertainty()
	known := certainty == ledgerpb.Settlement_CERTAINTY_EXACT || certainty == ledgerpb.Settlement_CERTAINTY_UNCERTAIN
	c.must(known, "%scertainty: must be exact or uncertain", prefix)
}

func checkListUpstreamSpend(request *ledgerpb.ListUpstreamSpendRequest) error {
	var c checker
	c.route("route", request.GetRoute())
	return c.err
}

func checkReleaseProxy(request *ledgerpb.ReleaseProxyRequest) error {
	var c checker
	c.name("proxy_id", request.GetProxyId(), maxProxyID)
	c.name("reason", request.GetReason(), maxReason)
	return c.err
}
