package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// wantUpstreams compares what the route ever spent at each upstream.
func (b *books) wantUpstreams(want ...store.UpstreamSpend) {
	b.t.Helper()
	got, err := b.UpstreamSpend(b.t.Context(), chat)
	if err != nil {
		b.t.Fatalf("UpstreamSpend: %v", err)
	}
	if diff := cmp.Diff(want, got, amounts); diff != "" {
		b.t.Errorf("the spend by upstream (-want +got):\n%s", diff)
	}
}

func runUpstreams(t *testing.T, open Open) {
	at := func(name, settled, uncertain string) store.UpstreamSpend {
		return store.UpstreamSpend{Name: name, Settled: dollars(t, settled), Uncertain: dollars(t, uncertain)}
	}
	t.Run("what was spent is told by upstream, whoever spent it, on which model and when", func(t *testing.T) {
		b := newBooks(t, open)
		b.wantUpstreams()
		other := b.attempt(noon, "spare", store.Settlement{Amount: dollars(t, "4")})
		other.Settlement.Model = "mistral"
		b.report(
			b.attempt(noon, "spare", store.Settlement{Amount: dollars(t, "1")}),
			b.attempt(noon.Add(-time.Hour), "spare", store.Settlement{Consumer: "bob", Amount: dollars(t, "2")}),
			other,
			b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "8"), Source: store.Estimated}),
			b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "0.5"), Uncertain: true}),
		)
		b.wantUpstreams(at("main", "8", "0.5"), at("spare", "7", "0"))
		b.restart()
		b.wantUpstreams(at("main", "8", "0.5"), at("spare", "7", "0"))
	})
	t.Run("what was uncertain and is known now is settled at its upstream", func(t *testing.T) {
		b := newBooks(t, open)
		b.report(b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "8"), Uncertain: true}))
		known := b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "3"), Replaces: dollars(t, "8")})
		known.Settlement.Requests = 0
		b.report(known)
		b.wantUpstreams(at("main", "3", "0"))
	})
	t.Run("it stays when budgets are edited, when the route is emptied, and when old history is carried forward", func(t *testing.T) {
		b := newBooks(t, open)
		b.report(
			b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "1")}),
			b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "0.25"), Uncertain: true}),
		)
		b.putRoute(store.Route{Namespace: "ai", Name: "chat"})
		b.advance(2 * store.MinRetention)
		if err := b.Compact(t.Context(), b.now(), b.now().Add(-store.MinRetention)); err != nil {
			t.Fatalf("Compact: %v", err)
		}
		b.wantUpstreams(at("main", "1", "0.25"))
	})
	t.Run("large sums saturate as the books do", func(t *testing.T) {
		b := newBooks(t, open)
		for range 3 {
			b.report(b.attempt(b.now(), "main", store.Settlement{Amount: money.FromNano(store.MaxAmount)}))
			b.advance(store.Bucket)
		}
		b.wantUpstreams(store.UpstreamSpend{Name: "main", Settled: money.FromNano(store.MaxSum)})
	})
	t.Run("of other routes nothing is told", func(t *testing.T) {
		b := newBooks(t, open)
		b.report(b.attempt(noon, "main", store.Settlement{Amount: dollars(t, "1")}))
		b.putRoute(store.Route{Namespace: "ai", Name: "code", Consumers: []string{"alice"}})
		if got, err := b.UpstreamSpend(t.Context(), store.RouteKey{Namespace: "ai", Name: "code"}); err != nil || len(got) > 0 {
			t.Errorf("a route that spent nothing spent %+v, error %v", got, err)
		}
		if _, err := b.UpstreamSpend(t.Context(), store.RouteKey{Namespace: "ai", Name: "other"}); !errors.Is(err, store.ErrUnknownRoute) {
			t.Errorf("error %v, want ErrUnknownRoute", err)
		}
	})
}
