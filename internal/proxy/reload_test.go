package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// serves waits until the proxy serves the configuration of this hash.
func (w *world) serves(hash string) {
	w.t.Helper()
	w.eventually("the proxy serves "+hash, func() bool {
		return strings.Contains(w.metrics(), fmt.Sprintf("modelroute_proxy_config_hash_info{sha256=%q} 1\n", hash))
	})
}

// pausedStream is a stream that is held up at the upstream after its first event.
type pausedStream struct {
	response *http.Response
	first    string
	rest     *bufio.Reader
	resume   chan struct{}
}

// pauseStream begins a stream and returns once its first event is at the client.
func (w *world) pauseStream() *pausedStream {
	w.t.Helper()
	stream := &pausedStream{resume: make(chan struct{})}
	w.received.answerWith(func(answer http.ResponseWriter, request *http.Request) {
		w.upstream.ServeHTTP(&pausingWriter{ResponseWriter: answer, resume: stream.resume}, request)
	})
	response, err := w.client.Do(w.chat(w.t.Context(), asking("answer=10", short+streamed)))
	w.must(err)
	stream.response, stream.rest = response, bufio.NewReader(response.Body)
	stream.first, err = stream.rest.ReadString('\n')
	w.must(err)
	w.received.answerWith(nil)
	return stream
}

// finish lets the stream go on and returns the whole of it.
func (s *pausedStream) finish(t *testing.T) reply {
	t.Helper()
	close(s.resume)
	rest, err := io.ReadAll(s.rest)
	_ = s.response.Body.Close()
	return reply{status: s.response.StatusCode, header: s.response.Header, body: s.first + string(rest), broken: err}
}

// pausingWriter lets one data event through and waits before the next.
type pausingWriter struct {
	http.ResponseWriter
	resume chan struct{}
	events int
}

func (p *pausingWriter) Write(content []byte) (int, error) {
	if strings.HasPrefix(string(content), "data: ") {
		if p.events++; p.events == 2 {
			<-p.resume
		}
	}
	return p.ResponseWriter.Write(content)
}

func (p *pausingWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// holdUntil answers a request once release is closed.
func holdUntil(release <-chan struct{}, next http.Handler) http.HandlerFunc {
	return func(answer http.ResponseWriter, request *http.Request) {
		<-release
		next.ServeHTTP(answer, request)
	}
}

func TestAReloadDropsNoStreamAndRefusesARevokedKey(t *testing.T) {
	const successor = "mr-search-successor"
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	stream := w.pauseStream()

	config := w.config
	config.Routes[0].Consumers = []routeconfig.Consumer{{Name: consumerName, Denies: true, Keys: []routeconfig.Key{keyOf("k_2", successor)}}}
	config.Routes[0].Defaults = []routeconfig.Parameter{{Name: "seed", Value: json.RawMessage(`1`)}}
	hash := w.deliver(config)
	w.serves(hash)
	w.eventually("the ledger knows what the proxy serves", func() bool { return w.ledger.acknowledged(t) == hash })

	w.ask(asking("", "")).expectFailure(t, http.StatusUnauthorized, "invalid_api_key")
	request := w.chat(t.Context(), asking("", short))
	request.Header.Set("Authorization", "Bearer "+successor)
	w.do(request).expectOK(t)
	if !strings.Contains(w.last().body, `"seed":1`) {
		t.Errorf("the new defaults are not used: %s", w.last().body)
	}
	if _, done := stream.finish(t).expectOK(t).chunks(t); !done {
		t.Error("the stream that had begun before the reload does not end well")
	}
	w.booksAgree()
}

func TestASuspendedRouteRefusesWhatIsNewAndEndsWhatIsUnderWay(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	stream := w.pauseStream()

	w.config.Routes[0].Suspended = true
	w.serves(w.deliver(w.config))
	asked := len(w.received.all())
	for _, body := range []string{asking("", ""), asking("", short+streamed)} {
		refused := w.ask(body)
		refused.expectFailure(t, http.StatusServiceUnavailable, "route_suspended")
		if got := refused.header.Get("X-Should-Retry"); got != "false" {
			t.Errorf("SDKs are told %q: they would try again and again", got)
		}
	}
	if got := len(w.received.all()) - asked; got != 0 {
		t.Errorf("the upstream was asked %d times", got)
	}
	if got := w.status(w.adminURL + "/readyz"); got != http.StatusOK {
		t.Errorf("readiness %d: a proxy that can say why it refuses stays ready", got)
	}
	if _, done := stream.finish(t).expectOK(t).chunks(t); !done {
		t.Error("the stream that had begun before does not end well")
	}

	w.config.Routes[0].Suspended = false
	w.serves(w.deliver(w.config))
	w.ask(asking("", "")).expectOK(t)
	w.booksAgree()
}

func TestABadConfigurationKeepsTheLastGoodOne(t *testing.T) {
	w := begin(t, setup{})
	const failed, succeeded = "\nmodelroute_proxy_config_last_reload_successful 0\n", "\nmodelroute_proxy_config_last_reload_successful 1\n"
	good := w.deliver(w.config)
	clash := w.config
	other := clash.Routes[0]
	other.Name = "other"
	clash.Routes = append(clash.Routes[:1:1], other)
	badCA := w.config
	badCA.Ledger.CA = "no certificate"
	encoded := func(config routeconfig.Config) string {
		text, err := routeconfig.Encode(config)
		w.must(err)
		return string(text)
	}
	for name, bad := range map[string]string{
		"no JSON":                             "{",
		"an unknown field":                    `{"version":"modelroute.dev/config/v1","surprise":1}`,
		"another version":                     strings.Replace(encoded(w.config), "config/v1", "config/v9", 1),
		"a key that reaches two of one model": encoded(clash),
		"an authority that is no certificate": encoded(badCA),
	} {
		t.Run(name, func(t *testing.T) {
			w.write(w.dir+"/"+configsource.Key, bad)
			w.eventually("the failure is shown", func() bool { return strings.Contains(w.metrics(), failed) })
			w.serves(good)
			w.ask(asking("", "")).expectOK(t)
			w.deliver(w.config)
			w.eventually("the success is shown", func() bool { return strings.Contains(w.metrics(), succeeded) })
		})
	}
	w.booksAgree()
}

func TestTheLedgersAddressFollowsTheConfiguration(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	w.ask(asking("", short)).expectOK(t)
	w.config.Ledger = w.ledger.move(t)
	w.serves(w.deliver(w.config))
	w.eventually("the proxy serves with the ledger at its new address", func() bool { return w.ask(asking("", short)).status == http.StatusOK })
	w.booksAgree()
}

func TestAProxyIsNotReadyBeforeItsFirstConfiguration(t *testing.T) {
	w := prepare(t, setup{})
	config := w.config
	w.write(w.dir+"/"+configsource.Key, "not yet")
	w.start(setup{})
	w.eventually("the failure is shown", func() bool { return strings.Contains(w.logs.String(), "refused") })
	if got := w.status(w.adminURL + "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("readiness %d", got)
	}
	w.ask(asking("", "")).expectFailure(t, http.StatusServiceUnavailable, "starting")
	w.deliver(config)
	w.eventually("the proxy is ready", func() bool { return w.status(w.adminURL+"/readyz") == http.StatusOK })
	w.ask(asking("", "")).expectOK(t)
	if got := w.upstream.Billed(upstream.Filter{}).Count; got != 1 {
		t.Errorf("the upstream billed %d requests", got)
	}
}
