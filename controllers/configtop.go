package controllers

import (
	"context"

	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// configTop is what stands at the top of the configuration of all proxies, whoever they are made for. Authority is nil where the ledger is
// reached without TLS. Its error is a *ledgerError.
func configTop(ctx context.Context, config Config, authority func(context.Context) ([]byte, error)) (routeconfig.Config, error) {
	top := routeconfig.Config{Version: routeconfig.Version, Ledger: routeconfig.Ledger{URL: config.LedgerURL}}
	if authority == nil {
		return top, nil
	}
	certificates, err := authority(ctx)
	if err != nil {
		return routeconfig.Config{}, &ledgerError{err}
	}
	top.Ledger.CA = string(certificates)
	return top, nil
}

// program is what all proxies run.
func (c Config) program() desired.Program {
	return desired.Program{Image: c.ProxyImage, PullPolicy: c.ProxyPullPolicy, Env: c.ProxyEnv}
}
