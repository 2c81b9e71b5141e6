package postgres

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
	"github.com/modelroute/modelroute/internal/money"
)

// TestADumpThatIsMadeInMidLoadIsRestored goes on from a dump, with proxies that know of more than is in it.
func TestADumpThatIsMadeInMidLoadIsRestored(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.Database(t)
	l := &load{limit: 1 << 40, replicas: []*Store{opened(t, Options{DSN: dsn}), opened(t, Options{DSN: dsn})}}
	var dump string
	l.under(t, func() {
		l.moves(t, l.replicas[0], 50)
		dump = server.Dump(t, dsn)
		l.moves(t, l.replicas[0], 50)
	})
	restored := opened(t, Options{DSN: server.Restore(t, dump)})
	audit(t, restored)
	before := spendOf(t, restored).Settled
	var spent int64
	for _, c := range l.clients {
		again := began(t, restored, c.credential.ProxyID)
		if again.applied > c.applied {
			t.Errorf("%d records of %s are in the dump, it has acknowledged %d", again.applied, c.credential.ProxyID, c.applied)
		}
		// A journal has more than was acknowledged last.
		c.credential, c.applied = again.credential, again.applied
		if err := c.ship(t.Context(), restored); err != nil {
			t.Errorf("%s: %v", c.credential.ProxyID, err)
		}
		spent += c.spent
	}
	if got := spendOf(t, restored); got.Settled != money.FromNano(spent) || got.Settled.Cmp(before) <= 0 {
		t.Errorf("the books had %s USD settled and have %+v now, the proxies spent %s USD", before, got, money.FromNano(spent))
	}
	verdict, err := restored.Verify(t.Context(), time.Now())
	if err != nil || len(verdict.Discrepancies) > 0 || verdict.Proxies != int64(len(l.clients)) {
		t.Errorf("the books: %+v, error %v", verdict, err)
	}
}
