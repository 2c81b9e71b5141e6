package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// untilCorrected waits until so many attempts were corrected, and the ledger knows.
func (w *world) untilCorrected(attempts string) {
	w.t.Helper()
	counted := `modelroute_proxy_corrections_total{namespace="ai-platform",result="exact",route="mixtral-8x22b-instruct"} ` + attempts + "\n"
	w.eventually(attempts+" attempts are corrected", func() bool { return strings.Contains(w.metrics(), counted) })
	w.settled()
}

func TestWhatIsUncertainIsCorrectedOnceTheUpstreamTellsWhatItCost(t *testing.T) {
	w := begin(t, setup{
		// The upstream knows an answer only a while after it has ended, so that the first question comes too early.
		upstream:     upstream.Options{GenerationDelay: 200 * time.Millisecond},
		budgets:      []*ledgerpb.Budget{monthly("", 100_000_000_000), monthly(consumerName, 100_000_000_000)},
		correctAfter: 20 * time.Millisecond,
	})
	w.ask(asking("cut=3", short+streamed))
	w.ask(asking("missing-usage", short+streamed))
	w.ask(asking("missing-usage", short))
	w.ask(asking("missing-usage,byok", short))
	w.untilCorrected("4")
	w.booksAgree()
}

func TestWhatNoUpstreamTellsStaysUncertain(t *testing.T) {
	for reason, test := range map[string]struct {
		edit  func(*routeconfig.Config)
		fault string
	}{
		"it names no generation": {func(*routeconfig.Config) {}, "lost"},
		"it is another provider": {func(config *routeconfig.Config) {
			config.Routes[0].Upstreams[0].Provider = routeconfig.OpenAICompatible
		}, "missing-usage"},
	} {
		t.Run(reason, func(t *testing.T) {
			w := begin(t, setup{
				budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, edit: test.edit, correctAfter: time.Millisecond,
			})
			before := w.mark()
			w.ask(asking(test.fault, short))
			w.uncertainlyBooked(t, before)
			w.terminate()
			w.over()
			w.uncertainlyBooked(t, before)
		})
	}
}
