package portal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

const (
	typedKey = "mrk_that-somebody-types-into-the-form"
	question = `{"model": "mixtral-8x22b-instruct", "messages": [{"role": "user", "content": "What is a ledger?"}]}`
	askPath  = samplePath + "/v1/chat/completions"
	patience = 30 * time.Second
)

// relaying is a portal that asks a route for its visitors. All of it is real but the cluster's DNS: whatever the name, it is the route's.
type relaying struct {
	t       *testing.T
	url     string
	browser http.RoundTripper
	log     syncbuffer.Buffer
	// dialed is the address that was connected to last, and reached is how many requests the route got.
	dialed  atomic.Value
	reached atomic.Int32
}

// setup is what differs between tests; the zero value is the sample route.
type setup struct {
	edit func(*v1alpha1.ModelRoute)
	// encrypted is a route that speaks TLS, under a certificate of nobody's.
	encrypted bool
	// http2 is a browser that speaks HTTP/2 with the portal, which takes TLS.
	http2 bool
	// pageTime is how long the server gives a page; 0 for ever.
	pageTime time.Duration
	// dial connects to the route; nil for the usual way.
	dial func(context.Context, string, string) (net.Conn, error)
}

func newRelaying(t *testing.T, with setup, answer http.HandlerFunc) *relaying {
	t.Helper()
	a := &relaying{t: t}
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.reached.Add(1)
		answer(w, r)
	}))
	behind.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if with.encrypted {
		behind.StartTLS()
	} else {
		behind.Start()
	}
	t.Cleanup(behind.Close)
	route := sample(t)
	if with.edit != nil {
		with.edit(route)
	}
	transport := portal.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		a.dialed.Store(address)
		if with.dial != nil {
			return with.dial(ctx, network, address)
		}
		return new(net.Dialer).DialContext(ctx, network, behind.Listener.Addr().String())
	}
	server := httptest.NewUnstartedServer(portal.New(portal.Options{
		Source: &closed{source{routes: []v1alpha1.ModelRoute{*route}}}, WhoIs: whoIs, Relay: transport,
		Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&a.log, nil)),
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = with.pageTime, with.pageTime
	if server.EnableHTTP2 = with.http2; with.http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.Close()
		if said := a.log.String(); strings.Contains(said, typedKey) || strings.Contains(said, token) || strings.Contains(said, "ledger?") {
			t.Errorf("the log has what is nobody's business:\n%s", said)
		}
	})
	a.url, a.browser = server.URL, server.Client().Transport
	return a
}

// request is one as the page's script sends it, behind a proxy that says who the visitor is.
func (a *relaying) request(ctx context.Context, path, body string) *http.Request {
	a.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-Api-Key", typedKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return request
}

func (a *relaying) send(request *http.Request) *http.Response {
	a.t.Helper()
	answer, err := a.browser.RoundTrip(request) // It follows no redirects.
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// ask sends a question, and returns the whole answer.
func (a *relaying) ask(request *http.Request) (*http.Response, string) {
	a.t.Helper()
	answer := a.send(request)
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer, string(body)
}

func noAnswer(http.ResponseWriter, *http.Request) {}

func TestARouteIsAskedWithWhatIsTypedOnItsPageAndNothingElse(t *testing.T) {
	var got http.Header
	var host, path, body string
	a := newRelaying(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		got, host, path, body = r.Header, r.Host, r.Method+" "+r.URL.String(), string(content)
		for _, name := range []string{"Set-Cookie", "Server", "Location", "Access-Control-Allow-Origin", "Content-Security-Policy"} {
			w.Header().Set(name, "of the route")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Request-Id", "request-1")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error": {"message": "Too many."}}`)
	})
	request := a.request(t.Context(), askPath, question)
	request.Header.Set("Cookie", "_oauth2_proxy=somebody")
	request.Header.Set("X-Forwarded-User", "somebody")
	answer, said := a.ask(request)

	want := http.Header{
		"Authorization": {"Bearer " + typedKey}, "Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(len(question))},
		"Accept": {"text/event-stream, application/json"}, "User-Agent": {"modelroute-portal"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the header that the route gets (-want +got):\n%s", diff)
	}
	if host != "mixtral-8x22b-instruct.ai-platform.svc" || path != "POST /v1/chat/completions" || body != question {
		t.Errorf("%s is asked %s %s", host, path, body)
	}
	if dialed := a.dialed.Load(); dialed != "mixtral-8x22b-instruct.ai-platform.svc:80" {
		t.Errorf("the connection goes to %s", dialed)
	}
	if answer.StatusCode != http.StatusTooManyRequests || said != `{"error": {"message": "Too many."}}` {
		t.Errorf("%s: %s", answer.Status, said)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Retry-After": "7", "X-Request-Id": "request-1",
		"Set-Cookie": "", "Server": "", "Location": "", "Access-Control-Allow-Origin": "",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s of the answer is %q, want %q", name, got, want)
		}
	}
	wantContains(t, answer.Header.Get("Content-Security-Policy"), "default-src 'none'")
	wantPrivate(t, answer)
}

func TestWhoHasSignedInHereAsksByTheSession(t *testing.T) {
	a := newRelaying(t, setup{}, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("the route gets the cookie")
		}
	})
	signIn := a.request(t.Context(), "/sign-in", "token="+token)
	signIn.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	signIn.Header.Del("Authorization")
	request := a.request(t.Context(), askPath, question)
	request.Header.Del("Authorization")
	request.AddCookie(a.send(signIn).Cookies()[0])
	if answer, body := a.ask(request); answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", answer.Status, body)
	}
}

func TestAnAnswerIsPassedOnWhileItIsMadeForAsLongAsThatTakes(t *testing.T) {
	const pageTime = time.Second
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			begun := make(chan struct{})
			a := newRelaying(t, setup{pageTime: pageTime, http2: proto == "HTTP/2.0"}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: first\n\n")
				_ = http.NewResponseController(w).Flush()
				<-begun
				time.Sleep(pageTime + pageTime/4)
				_, _ = io.WriteString(w, "data: last\n\n")
			})
			answer := a.send(a.request(t.Context(), askPath, question))
			read := bufio.NewReader(answer.Body)
			if first, err := read.ReadString('\n'); err != nil || first != "data: first\n" || answer.Proto != proto {
				t.Fatalf("%s: %q, %v", answer.Proto, first, err)
			}
			close(begun)
			rest, err := io.ReadAll(read)
			if err != nil || string(rest) != "\ndata: last\n\n" {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

func TestWhoGoesAwayEndsWhatTheyAsked(t *testing.T) {
	ended := make(chan struct{})
	a := newRelaying(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	ctx, goAway := context.WithCancel(t.Context())
	a.send(a.request(ctx, askPath, question))
	goAway()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the route goes on")
	}
}

func TestAnAnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	a := newRelaying(t, setup{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	body, err := io.ReadAll(a.send(a.request(t.Context(), askPath, question)).Body)
	if err == nil {
		t.Errorf("it ends well, with %q", body)
	}
}

func TestARouteThatSendsElsewhereIsNotFollowed(t *testing.T) {
	a := newRelaying(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/v1/models", http.StatusTemporaryRedirect)
	})
	answer, _ := a.ask(a.request(t.Context(), askPath, question))
	if answer.StatusCode != http.StatusTemporaryRedirect || answer.Header.Get("Location") != "" || a.reached.Load() != 1 {
		t.Errorf("%s to %q, after %d requests", answer.Status, answer.Header.Get("Location"), a.reached.Load())
	}
}

func TestALongPromptReachesTheRouteWhole(t *testing.T) {
	var got int64
	a := newRelaying(t, setup{}, func(_ http.ResponseWriter, r *http.Request) { got, _ = io.Copy(io.Discard, r.Body) })
	if answer, body := a.ask(ofSize(a.request(t.Context(), askPath, ""), 1<<20)); answer.StatusCode != http.StatusOK || got != 1<<20 {
		t.Errorf("%s, after %d bytes: %s", answer.Status, got, body)
	}
}

func TestARouteOfAGatewayIsAskedAtTheGateway(t *testing.T) {
	a := newRelaying(t, setup{edit: func(route *v1alpha1.ModelRoute) {
		route.Spec.GatewayRef.Name, route.Status.Endpoint = "front", "http://front-gateway.ai-platform.svc/v1"
	}}, noAnswer)
	answer, body := a.ask(a.request(t.Context(), askPath, question))
	if dialed := a.dialed.Load(); answer.StatusCode != http.StatusOK || dialed != "front-gateway.ai-platform.svc:80" {
		t.Errorf("%s, from %v: %s", answer.Status, dialed, body)
	}
}

func TestWhyARouteIsNotReachedIsSaid(t *testing.T) {
	encrypted := func(route *v1alpha1.ModelRoute) {
		route.Spec.Proxy = &v1alpha1.Proxy{ProxyPods: v1alpha1.ProxyPods{TLS: v1alpha1.TLS{SecretRef: v1alpha1.SecretReference{Name: "tls"}}}}
		route.Status.Endpoint = "https://mixtral-8x22b-instruct.ai-platform.svc/v1"
	}
	failing := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	tooSlow := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Nanosecond}).DialContext(ctx, network, "192.0.2.1:80")
	}
	for name, test := range map[string]struct {
		with    setup
		status  int
		message string
	}{
		"a NetworkPolicy that lets nothing through": {setup{dial: tooSlow}, 504,
			"There is no connection to mixtral-8x22b-instruct.ai-platform.svc within 5s. If the route or its gateway has a networkPolicy"},
		"an authority of its own": {setup{encrypted: true, edit: encrypted}, 502, "has a certificate of an authority that this server does not know"},
		"no such name": {setup{dial: failing(&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}})}, 502,
			"There is no mixtral-8x22b-instruct.ai-platform.svc in the cluster's DNS."},
		"no DNS":         {setup{dial: failing(&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}})}, 504, "does not answer in time"},
		"nothing at all": {setup{dial: failing(errors.New("10.0.0.7 is on fire"))}, 502, "cannot be reached. Try again in a little while."},
	} {
		t.Run(name, func(t *testing.T) {
			a := newRelaying(t, test.with, noAnswer)
			answer, body := a.ask(a.request(t.Context(), askPath, question))
			if answer.StatusCode != test.status || a.reached.Load() != 0 {
				t.Errorf("%s, want %d", answer.Status, test.status)
			}
			wantContains(t, body, `{"error":{"message":"`, test.message)
			wantContains(t, a.log.String(), "A route cannot be asked", "mixtral-8x22b-instruct.ai-platform.svc")
			if strings.Contains(body, "10.0.0.7") {
				t.Errorf("what failed on the way is for the log alone: %s", body)
			}
		})
	}
}

func TestThePlaygroundOfAClusterAsksTheRouteThroughThisServer(t *testing.T) {
	page := func(edit func(*v1alpha1.ModelRoute), relay http.RoundTripper) string {
		route := sample(t)
		edit(route)
		_, body := get(t, portal.New(portal.Options{
			Source: &source{routes: []v1alpha1.ModelRoute{*route}}, Relay: relay,
			Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		}), samplePath)
		return body
	}
	unchanged := func(*v1alpha1.ModelRoute) {}
	wantContains(t, page(unchanged, portal.NewTransport()), `data-api="`+samplePath+`/v1" data-model="mixtral-8x22b-instruct"`, "through this server")
	for name, body := range map[string]string{
		"that has no endpoint": page(func(route *v1alpha1.ModelRoute) { route.Status.Endpoint = "" }, portal.NewTransport()),
		"that does not chat": page(func(route *v1alpha1.ModelRoute) {
			route.Spec.Model.OutputModalities = []v1alpha1.OutputModality{v1alpha1.OutputEmbeddings}
		}, portal.NewTransport()),
		"of a portal that asks none": page(unchanged, nil),
	} {
		if strings.Contains(body, "playground") {
			t.Errorf("a route %s has a form to try it", name)
		}
	}
}
