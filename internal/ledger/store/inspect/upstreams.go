package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// selectUpstreams sums the history of a scope up by upstream.
const selectUpstreams = `SELECT upstream,
	CAST(sum(settled >> 30) AS BIGINT), CAST(sum(settled & 1073741823) AS BIGINT),
	CAST(sum(uncertain >> 30) AS BIGINT), CAST(sum(uncertain & 1073741823) AS BIGINT)
	FROM history WHERE scope_id = $1 GROUP BY upstream`

// UpstreamSpend returns what a route ever spent, by upstream, sorted by name. store.ErrUnknownRoute.
func UpstreamSpend(r Reading, route store.RouteKey) ([]store.UpstreamSpend, error) {
	var scope int64
	err := r.Rows(`SELECT scopes.id FROM routes JOIN scopes ON route_id = routes.id WHERE namespace = $1 AND name = $2 AND consumer = ''`,
		func(scan Scan) error { return scan(&scope) }, route.Namespace, route.Name)
	switch {
	case err != nil:
		return nil, err
	case scope == 0:
		return nil, fmt.Errorf("%w: %s/%s", store.ErrUnknownRoute, route.Namespace, route.Name)
	}
	var all []store.UpstreamSpend
	err = r.Rows(selectUpstreams, func(scan Scan) error {
		var one store.UpstreamSpend
		var settled, uncertain parts
		err := scan(&one.Name, &settled.high, &settled.low, &uncertain.high, &uncertain.low)
		one.Settled, one.Uncertain = settled.amount(), uncertain.amount()
		all = append(all, one)
		return err
	}, scope)
	slices.SortFunc(all, func(a, b store.UpstreamSpend) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}
