package proxy_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// impatient gives the first upstream a second to begin its answer, and a second for each pause.
func impatient(config *routeconfig.Config) {
	config.Routes[0].Upstreams[0].FirstByteTimeoutSeconds = 1
	config.Routes[0].Upstreams[0].IdleTimeoutSeconds = 1
}

func TestAnotherUpstreamServesWhatOneIsTooSlowFor(t *testing.T) {
	for name, body := range map[string]string{
		"its answer does not begin":            asking("delay=20s", short),
		"its stream does not begin":            asking("delay=20s", short+streamed),
		"its stream has a header and no event": asking("first-byte-delay=20s", short+streamed),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, other := withSecond(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, edit: impatient})
			w.ask(body).expectOK(t)
			if got := len(other.received.all()); got != 1 {
				t.Errorf("the second upstream got %d requests", got)
			}
			w.settled()
			if spent := w.routeSpend(); spent.Settled != other.halfPrice() || spent.Uncertain == 0 {
				t.Errorf("spent is %+v, want %d settled, and the first one's hold uncertain", spent, other.halfPrice())
			}
		})
	}
}

func TestAStreamThatPausesForTooLongEndsWithAnError(t *testing.T) {
	w, other := withSecond(t, setup{edit: impatient})
	w.received.answerWith(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	answer := w.ask(asking("", short+streamed))
	if answer.status != http.StatusOK || !strings.Contains(answer.body, "upstream_timeout") || strings.Contains(answer.body, "[DONE]") {
		t.Errorf("status %d: %s", answer.status, answer.body)
	}
	if got := len(other.received.all()); got != 0 {
		t.Errorf("the second upstream got %d requests for a stream that had begun", got)
	}
}

func TestAClientThatIsSlowIsNoUpstreamThatIsSilent(t *testing.T) {
	w, _ := withSecond(t, setup{edit: impatient})
	response, err := w.client.Do(w.chat(t.Context(), asking("big=8000000,answer=50", short+streamed)))
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	time.Sleep(2500 * time.Millisecond) // To be slow is the point: what is sent does not fit into the buffers between.
	ended := false
	lines := bufio.NewReaderSize(response.Body, 16<<20)
	for !ended {
		line, err := lines.ReadString('\n')
		w.must(err)
		if strings.Contains(line, `"error"`) {
			t.Fatalf("the client got %.300s", line)
		}
		ended = strings.HasPrefix(line, "data: [DONE]")
	}
}
