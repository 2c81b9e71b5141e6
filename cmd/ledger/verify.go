package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// verify proves that the books agree with themselves. Its exit status is 1 if they do not, and 2 if that could not be found out.
func (c *command) verify(ctx context.Context) error {
	words, err := c.parse(0, 1, "")
	if err != nil {
		return err
	}
	verdict, err := c.verdict(ctx, words)
	if err != nil {
		return statusError{error: err, status: exitUnknown}
	}
	c.printVerdict(verdict)
	if count := len(verdict.Discrepancies); count > 0 {
		return fmt.Errorf("the books do not agree with themselves in %d places. Keep a backup of them as they are and report it; "+
			"docs/ledger.md says how to go on", count)
	}
	return nil
}

// verdict looks at a file if one is named, else at the books in the data directory: through the ledger that has them open, or by itself.
func (c *command) verdict(ctx context.Context, files []string) (store.Verdict, error) {
	if len(files) > 0 {
		path, err := absolute(files[0])
		if err != nil {
			return store.Verdict{}, err
		}
		return sqlite.VerifyFile(ctx, path, c.now())
	}
	found, err := c.reach(ctx)
	if errors.Is(err, errNotRunning) {
		return sqlite.VerifyDir(ctx, c.dataDir, c.now())
	}
	if err != nil {
		return store.Verdict{}, err
	}
	message, err := found.admin.Verify(callAs(ctx, ""), &ledgerpb.VerifyRequest{})
	if err != nil {
		return store.Verdict{}, fmt.Errorf("verifying: %w", told(err))
	}
	return verdictOf(message), nil
}

func (c *command) printVerdict(verdict store.Verdict) {
	fmt.Fprintf(c.out, "Looked at %d routes and consumers, %d windows, %d leases and %d proxies.\n",
		verdict.Scopes, verdict.Windows, verdict.Leases, verdict.Proxies)
	for _, one := range verdict.Restorations {
		if one.RestoredAt.IsZero() {
			fmt.Fprintf(c.out, "Note: these books are the backup of %s.\n", one.TakenAt.Format(time.RFC3339))
			continue
		}
		fmt.Fprintf(c.out,
			"Note: restored at %s from the backup of %s: of what was spent in between these books know what proxies reported again.\n",
			one.RestoredAt.Format(time.RFC3339), one.TakenAt.Format(time.RFC3339))
	}
	for _, one := range verdict.Debts {
		fmt.Fprintf(c.out, "Debt: %s: %s.\n", one.About, one.Problem)
	}
	for _, one := range verdict.Discrepancies {
		fmt.Fprintf(c.out, "WRONG: %s: %s.\n", one.About, one.Problem)
	}
	if len(verdict.Discrepancies) == 0 {
		fmt.Fprintln(c.out, "The books agree with themselves.")
	}
}

func verdictOf(message *ledgerpb.VerifyResponse) store.Verdict {
	verdict := store.Verdict{
		Scopes: message.GetScopes(), Windows: message.GetWindows(), Leases: message.GetLeases(), Proxies: message.GetProxies(),
		Discrepancies: findings(message.GetDiscrepancies()), Debts: findings(message.GetDebts()),
	}
	for _, one := range message.GetRestorations() {
		verdict.Restorations = append(verdict.Restorations, store.Restoration{
			TakenAt: timeOf(one.GetTakenAt()), RestoredAt: timeOf(one.GetRestoredAt()),
		})
	}
	return verdict
}

// timeOf is zero for none.
func timeOf(at *timestamppb.Timestamp) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.AsTime()
}

func findings(messages []*ledgerpb.Finding) []store.Finding {
	found := make([]store.Finding, 0, len(messages))
	for _, one := range messages {
		found = append(found, store.Finding{About: one.GetAbout(), Problem: one.GetProblem()})
	}
	return found
}
