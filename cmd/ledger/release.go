package main

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// release gives up on a proxy that is gone for good.
func (c *command) release(ctx context.Context) error {
	var reason, by string
	c.flags.StringVar(&reason, "reason", "", "")
	c.flags.StringVar(&by, "by", "", "")
	words, err := c.parse(1, 1, "the id of a proxy")
	switch {
	case err != nil:
		return err
	case reason == "":
		return usageError{errors.New("--reason is missing: it is kept in the books, so say why the proxy is gone for good")}
	}
	found, err := c.reachRunning(ctx)
	if err != nil {
		return err
	}
	freed, err := found.manager.ReleaseProxy(callAs(ctx, by), &ledgerpb.ReleaseProxyRequest{ProxyId: words[0], Reason: reason})
	if err != nil {
		return explainRelease(words[0], err)
	}
	amount := money.FromNano(freed.GetFreedNanoUsd())
	if amount.IsZero() {
		fmt.Fprintf(c.out, "Released proxy %s. Nothing was out with it.\n", words[0])
		return nil
	}
	fmt.Fprintf(c.out, "Released proxy %s: %s USD are free again, over all budgets.\n", words[0], amount)
	return nil
}

// explainRelease says what to do about a refusal.
func explainRelease(proxy string, err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeNotFound:
		return fmt.Errorf("no proxy has the id %s. An id is what `ledger proxies` lists in its first column; "+
			"it is not the name of a pod", proxy)
	case connect.CodeFailedPrecondition:
		return fmt.Errorf("proxy %s is alive or was until just now, and it gives back by itself what it does not need. "+
			"If its pod or node is gone, wait until `ledger proxies` shows it as silent, and release it then", proxy)
	}
	return fmt.Errorf("releasing proxy %s: %w", proxy, told(err))
}
