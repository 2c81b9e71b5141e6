package sqlite

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) func() store.Store {
		dir := t.TempDir()
		return func() store.Store {
			opened, err := Open(t.Context(), Options{Dir: dir, Now: now})
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			return opened
		}
	})
}
