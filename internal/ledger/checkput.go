package ledger

import (
	"fmt"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func checkPutRoute(request *ledgerpb.PutRouteRequest) error {
	var c checker
	c.route("route", request.GetRoute())
	c.must(len(request.GetServer()) <= maxIdentity, "server: is longer than %d bytes", maxIdentity)
	c.must(len(request.GetConsumers()) <= maxConsumers, "consumers: more than %d", maxConsumers)
	c.must(len(request.GetBudgets()) <= maxBudgets, "budgets: more than %d", maxBudgets)
	consumers := map[string]bool{"": true}
	for i, consumer := range request.GetConsumers() {
		c.name(fmt.Sprintf("consumers[%d]", i), consumer, maxName)
		c.must(!consumers[consumer], "consumers[%d]: %s is there twice", i, consumer)
		consumers[consumer] = true
	}
	c.budgets(request.GetBudgets(), consumers)
	for i, one := range request.GetBudgets() {
		c.must(one.GetRef().GetOwner() == "", "budgets[%d].ref.owner: a shared owner's budgets are put by PutShared", i)
	}
	c.members(request.GetMembers(), consumers)
	return c.err
}

func checkPutShared(request *ledgerpb.PutSharedRequest) error {
	var c checker
	c.owner("owner", request.GetOwner())
	c.budgets(request.GetBudgets(), map[string]bool{"": true})
	for i, one := range request.GetBudgets() {
		field, ref := fmt.Sprintf("budgets[%d]", i), one.GetRef()
		c.must(ref.GetOwner() == "" || ref.GetOwner() == request.GetOwner(), "%s.ref.owner: is %s, not the owner", field, ref.GetOwner())
		c.must(ref.GetUpstream() == "" && one.GetExceptUpstream() == "", "%s: a shared budget covers all upstreams, and names none", field)
	}
	return c.err
}

func (c *checker) owner(field, owner string) {
	c.must(budget.Owner(owner).IsValid(), "%s: is %q, must be team/TEAM or key/NAMESPACE/NAME", field, owner)
	c.must(len(owner) <= maxOwner, "%s: is longer than %d bytes", field, maxOwner)
}

// members checks who draws on what. A consumer spends in the name of one team at a time.
func (c *checker) members(members []*ledgerpb.Member, consumers map[string]bool) {
	taken, owners, team := map[store.Member]bool{}, map[string]int{}, map[string]string{}
	for i, one := range members {
		field := fmt.Sprintf("members[%d]", i)
		c.owner(field+".owner", one.GetOwner())
		key := store.Member{Consumer: one.GetConsumer(), Owner: budget.Owner(one.GetOwner())}
		c.must(key.Consumer != "" && consumers[key.Consumer], "%s.consumer: %q is none of the consumers", field, key.Consumer)
		c.must(!taken[key], "%s: %s draws on %s twice", field, key.Consumer, key.Owner)
		c.must(owners[key.Consumer] < maxOwnersEach, "%s: %s draws on more than %d owners", field, key.Consumer, maxOwnersEach)
		taken[key] = true
		owners[key.Consumer]++
		if name, isTeam := key.Owner.Team(); isTeam {
			c.must(team[key.Consumer] == "", "%s.owner: %s draws on the teams %s and %s", field, key.Consumer, team[key.Consumer], name)
			team[key.Consumer] = name
		}
	}
}

// budgets checks the budgets of a route, or of a shared owner.
func (c *checker) budgets(budgets []*ledgerpb.Budget, consumers map[string]bool) {
	type owner struct{ consumer, upstream string }
	taken, budgetsOf := map[store.Budget]bool{}, map[owner]int{}
	for i, one := range budgets {
		field := fmt.Sprintf("budgets[%d]", i)
		c.budget(field, one)
		ref := one.GetRef()
		of := owner{consumer: ref.GetConsumer(), upstream: ref.GetUpstream()}
		c.must(consumers[of.consumer], "%s.ref.consumer: %s is none of the consumers", field, of.consumer)
		c.must(budgetsOf[of] < maxBudgetsEach, "%s: more than %d budgets of one owner", field, maxBudgetsEach)
		budgetsOf[of]++
		key := store.Budget{
			Consumer: of.consumer, Coverage: budget.Coverage{Upstream: of.upstream}, Name: ref.GetName(), Unit: units[ref.GetUnit()],
		}
		c.must(!taken[key], "%s.ref.name: %s is there twice", field, key.Name)
		taken[key] = true
	}
}

func (c *checker) budget(field string, one *ledgerpb.Budget) {
	c.name(field+".ref.name", one.GetRef().GetName(), maxName)
	c.amount(field+".limit", one.GetLimit(), store.MaxLimit)
	_, known := enforcements[one.GetEnforcement()]
	c.must(known, "%s.enforcement: must be deny or warn", field)
	unit, known := units[one.GetRef().GetUnit()]
	c.must(known, "%s.ref.unit: %d is not known", field, one.GetRef().GetUnit())
	denies := one.GetEnforcement() == ledgerpb.Enforcement_ENFORCEMENT_DENY
	c.must(unit == budget.USD || denies, "%s.enforcement: must be deny for %s", field, unit)
	c.coverage(field, one, unit)
	period := periodOf(one)
	_, ofSeconds := period.Seconds()
	isRate := one.GetPeriod() == ledgerpb.Period_PERIOD_SECONDS
	c.must(period != "", "%s.period: must be set", field)
	c.must(ofSeconds == isRate, "%s.period_seconds: is %d, must be positive and no more than a year", field, one.GetPeriodSeconds())
	c.must(isRate == (unit != budget.USD), "%s.period: must be of seconds for requests and tokens, and of the calendar for money", field)
	if c.err == nil {
		_, err := budget.NewCalendar(period, one.GetTimeZone())
		c.must(err == nil, "%s.time_zone: %v", field, err)
	}
}

// coverage checks at which upstreams what is spent counts. A budget of an upstream has nothing else to cover, and only money can go on
// elsewhere.
func (c *checker) coverage(field string, one *ledgerpb.Budget, unit budget.Unit) {
	upstream, except := one.GetRef().GetUpstream(), one.GetExceptUpstream()
	c.upstream(field+".ref.upstream", upstream)
	c.upstream(field+".except_upstream", except)
	c.must(upstream == "" || one.GetRef().GetConsumer() == "", "%s.ref: is of a consumer and of an upstream", field)
	c.must(upstream == "" || except == "", "%s.except_upstream: must not be set for a budget of an upstream", field)
	c.must(upstream == "" && except == "" || unit == budget.USD, "%s.ref.unit: must be money where not all upstreams count", field)
}
