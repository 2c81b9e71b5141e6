package usage

import (
	"context"
	"fmt"

	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// Whose spend is shown.
const (
	byRoute    = "route"
	byConsumer = "consumer"
	byTeam     = "team"
	byKey      = "key"
	byDay      = "day"
)

var sides = []string{byRoute, byConsumer, byTeam, byKey, byDay}

// ofCluster shows what a cluster's status says.
func (o *options) ofCluster(ctx context.Context) error {
	found, err := o.cluster.Connect()
	if err != nil {
		return err
	}
	accounts, err := read(ctx, found, o.by)
	if err != nil {
		return err
	}
	return o.writeReport(accounts, none(found, o.by))
}

// writeReport writes accounts in the format that was asked for; for people, if there are none, that there are none.
func (o *options) writeReport(accounts []account, none string) error {
	switch o.output {
	case outputJSON:
		return writeJSON(o.Out, report{By: o.by, Accounts: accounts})
	case outputCSV:
		return writeCSV(o.Out, accounts)
	}
	if len(accounts) == 0 {
		_, err := fmt.Fprintln(o.Out, none)
		return err
	}
	return writeAccounts(o.Shell, o.by, accounts)
}

// read reads the accounts of one side.
func read(ctx context.Context, from *cluster.Cluster, by string) ([]account, error) {
	switch by {
	case byTeam:
		teams, err := from.TeamBudgets(ctx)
		return teamAccounts(teams), err
	case byKey:
		modelKeys, err := from.ModelKeys(ctx)
		return keyAccounts(modelKeys), err
	}
	routes, err := from.Routes(ctx)
	if by == byConsumer {
		return consumerAccounts(routes), err
	}
	return routeAccounts(routes), err
}

func none(found *cluster.Cluster, by string) string {
	switch by {
	case byTeam:
		return "There are no TeamBudgets in the cluster."
	case byKey:
		return found.None("ModelKeys")
	case byConsumer:
		return found.None("consumers of ModelRoutes")
	}
	return found.None("ModelRoutes")
}
