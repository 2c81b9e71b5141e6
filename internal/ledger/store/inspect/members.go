package inspect

import (
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// selectMembers reads who draws on a shared owner, or did, with the sums of what of its history was spent in the owner's name.
	selectMembers = `SELECT owners.name, routes.namespace, routes.name, scopes.consumer, members.settled, members.uncertain,
		CAST(coalesce(sum(history.settled >> 30), 0) AS BIGINT), CAST(coalesce(sum(history.settled & 1073741823), 0) AS BIGINT),
		CAST(coalesce(sum(history.uncertain >> 30), 0) AS BIGINT), CAST(coalesce(sum(history.uncertain & 1073741823), 0) AS BIGINT)
		FROM members JOIN scopes ON scopes.id = members.scope_id JOIN routes ON routes.id = scopes.route_id
		JOIN scopes AS own ON own.id = owner_id JOIN routes AS owners ON owners.id = own.route_id
		LEFT JOIN history ON history.scope_id = members.scope_id
			AND (owners.name = 'team/' || history.team OR owners.name NOT LIKE 'team/%')
		GROUP BY owners.name, routes.namespace, routes.name, scopes.consumer, members.settled, members.uncertain
		ORDER BY owners.name, routes.namespace, routes.name, scopes.consumer`

	// selectOwners reads what shared owners have spent, with the sums of their members.
	selectOwners = `SELECT owners.name, own.settled, own.uncertain,
		CAST(coalesce(sum(members.settled >> 30), 0) AS BIGINT), CAST(coalesce(sum(members.settled & 1073741823), 0) AS BIGINT),
		CAST(coalesce(sum(members.uncertain >> 30), 0) AS BIGINT), CAST(coalesce(sum(members.uncertain & 1073741823), 0) AS BIGINT)
		FROM routes AS owners JOIN scopes AS own ON own.route_id = owners.id LEFT JOIN members ON owner_id = own.id
		WHERE owners.namespace = '' GROUP BY owners.name, own.settled, own.uncertain ORDER BY owners.name`
)

// members expects what a consumer has spent in the name of a shared owner to be what of its history was spent in that name, and what the
// owner has spent to be the sum of that over all who draw on it.
func (p *prover) members() error {
	err := p.Rows(selectMembers, func(scan Scan) error {
		var owner, consumer string
		var key store.RouteKey
		var settled, uncertain int64
		var settledSum, uncertainSum parts
		err := scan(&owner, &key.Namespace, &key.Name, &consumer, &settled, &uncertain,
			&settledSum.high, &settledSum.low, &uncertainSum.high, &uncertainSum.low)
		about := scopeName(key, consumer) + " in the name of " + budget.Owner(owner).Words()
		const of = "what its history has in that name"
		p.differ(about, "settled", budget.USD, money.FromNano(settled), settledSum.amount(), of)
		p.differ(about, "uncertain", budget.USD, money.FromNano(uncertain), uncertainSum.amount(), of)
		return err
	})
	if err != nil {
		return err
	}
	return p.Rows(selectOwners, func(scan Scan) error {
		var owner string
		var settled, uncertain int64
		var settledSum, uncertainSum parts
		err := scan(&owner, &settled, &uncertain, &settledSum.high, &settledSum.low, &uncertainSum.high, &uncertainSum.low)
		about := budget.Owner(owner).Words()
		const of = "the sum of those who draw on it"
		p.differ(about, "settled", budget.USD, money.FromNano(settled), settledSum.amount(), of)
		p.differ(about, "uncertain", budget.USD, money.FromNano(uncertain), uncertainSum.amount(), of)
		return err
	})
}
