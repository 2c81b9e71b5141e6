package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// proxies lists the proxies that have money of the budgets.
func (c *command) proxies(ctx context.Context) error {
	var format string
	c.flags.StringVar(&format, "o", "table", "")
	if _, err := c.parse(0, 0, ""); err != nil {
		return err
	}
	if format != "table" && format != "json" {
		return usageError{fmt.Errorf("-o is %q, must be table or json", format)}
	}
	found, err := c.reachRunning(ctx)
	if err != nil {
		return err
	}
	listed, err := found.manager.ListProxies(callAs(ctx, ""), &ledgerpb.ListProxiesRequest{})
	if err != nil {
		return fmt.Errorf("listing the proxies: %w", told(err))
	}
	shown := make([]proxyShown, 0, len(listed.GetProxies()))
	for _, one := range listed.GetProxies() {
		shown = append(shown, showProxy(one))
	}
	if format == "json" {
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string][]proxyShown{"proxies": shown})
	}
	return writeProxies(c.out, shown)
}

// proxyShown is a proxy as it is printed. Amounts are in USD.
type proxyShown struct {
	ProxyID   string        `json:"proxyID"`
	Instance  string        `json:"instance"`
	LastHeard *time.Time    `json:"lastHeard"`
	Silent    bool          `json:"silent"`
	Released  bool          `json:"released"`
	Out       money.Amount  `json:"out"`
	Applied   int64         `json:"applied"`
	Budgets   []budgetShown `json:"budgets"`
	Release   *releaseShown `json:"release,omitempty"`
}

// budgetShown is what is out of one budget: of a route, or of an owner that routes share.
type budgetShown struct {
	Namespace string       `json:"namespace,omitempty"`
	Route     string       `json:"route,omitempty"`
	Owner     string       `json:"owner,omitempty"`
	Consumer  string       `json:"consumer,omitempty"`
	Upstream  string       `json:"upstream,omitempty"`
	Budget    string       `json:"budget"`
	Out       money.Amount `json:"out"`
}

// releaseShown says who gave the proxy up.
type releaseShown struct {
	By     string       `json:"by"`
	Reason string       `json:"reason"`
	At     time.Time    `json:"at"`
	Freed  money.Amount `json:"freed"`
}

func showProxy(one *ledgerpb.ProxyAccount) proxyShown {
	shown := proxyShown{
		ProxyID: one.GetProxyId(), Instance: one.GetInstance(), Silent: one.GetSilent(), Released: one.GetReleased(),
		Applied: one.GetApplied(), Budgets: []budgetShown{},
	}
	if heard := one.GetLastHeard(); heard != nil {
		at := heard.AsTime()
		shown.LastHeard = &at
	}
	for _, out := range one.GetOut() {
		amount := money.FromNano(out.GetAmountNanoUsd())
		shown.Out = shown.Out.Add(amount)
		shown.Budgets = append(shown.Budgets, budgetShown{
			Namespace: out.GetRoute().GetNamespace(), Route: out.GetRoute().GetName(),
			Owner:    out.GetBudget().GetOwner(),
			Consumer: out.GetBudget().GetConsumer(), Upstream: out.GetBudget().GetUpstream(), Budget: out.GetBudget().GetName(),
			Out: amount,
		})
	}
	if release := one.GetRelease(); release != nil {
		shown.Release = &releaseShown{
			By: release.GetBy(), Reason: release.GetReason(), At: release.GetAt().AsTime(),
			Freed: money.FromNano(release.GetFreedNanoUsd()),
		}
	}
	return shown
}

func writeProxies(out io.Writer, proxies []proxyShown) error {
	if len(proxies) == 0 {
		_, err := fmt.Fprintln(out, "No proxy has anything, and none was heard from since the ledger began to run.")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "PROXY\tINSTANCE\tLAST HEARD\tSILENT\tRELEASED\tOUT (USD)\tAPPLIED")
	for i := range proxies {
		one := &proxies[i]
		heard := "-"
		if one.LastHeard != nil {
			heard = one.LastHeard.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n",
			one.ProxyID, one.Instance, heard, yesNo(one.Silent), yesNo(one.Released), one.Out, one.Applied)
	}
	return table.Flush()
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
