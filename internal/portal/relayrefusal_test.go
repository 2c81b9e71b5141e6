package portal_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestWhoMayNotSeeARouteOrComesFromElsewhereDoesNotAskIt(t *testing.T) {
	for name, test := range map[string]struct {
		edit    func(*http.Request)
		status  int
		message string
	}{
		"another site":       {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "cross-origin"},
		"a site beside":      {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403, "cross-origin"},
		"an old browser":     {func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, 403, "cross-origin"},
		"another method":     {func(r *http.Request) { r.Method = http.MethodPut }, 405, "Method Not Allowed"},
		"reading it":         {func(r *http.Request) { r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0 }, 405, "Method Not Allowed"},
		"another path":       {func(r *http.Request) { r.URL.Path = samplePath + "/v1/models" }, 404, "404"},
		"another route":      {func(r *http.Request) { r.URL.Path = "/routes/ai-platform/none/v1/chat/completions" }, 404, "There is no such route."},
		"a wrong token":      {func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") }, 401, "You are not signed in any more."},
		"nobody":             {func(r *http.Request) { r.Header.Del("Authorization") }, 401, "You are not signed in any more."},
		"the key alone":      {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+typedKey) }, 401, "You are not signed in any more."},
		"too long a request": {func(r *http.Request) { *r = *ofSize(r, 1<<20+1) }, 413, "The body is larger than 1048576 bytes."},
	} {
		t.Run(name, func(t *testing.T) {
			a := newRelaying(t, setup{}, noAnswer)
			request := a.request(t.Context(), askPath, question)
			test.edit(request)
			answer, body := a.ask(request)
			if answer.StatusCode != test.status || a.reached.Load() != 0 {
				t.Errorf("%s, want %d; %d requests reach the route", answer.Status, test.status, a.reached.Load())
			}
			wantContains(t, body, test.message)
		})
	}
}

// ofSize is a request with a body of so many bytes.
func ofSize(r *http.Request, size int) *http.Request {
	made := r.Clone(r.Context())
	made.Body, made.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat(" ", size))), int64(size)
	return made
}

func TestWhoeverWritesAStatusCannotHaveKeysSentElsewhere(t *testing.T) {
	const host = "mixtral-8x22b-instruct.ai-platform.svc"
	for _, endpoint := range []string{
		"", "http://evil.example/v1", "http://" + host + ".evil.example/v1", "http://mixtral-8x22b-instruct.other.svc/v1",
		"http://other.ai-platform.svc/v1", "http://169.254.169.254/v1", "http://evil@" + host + "/v1", "http://" + host + ":8081/v1",
		"http://" + host + "/v1/../admin", "http://" + host + "/v1?a=b", "http://" + host, "https://" + host + "/v1",
		"ftp://" + host + "/v1", "//" + host + "/v1",
		"http://kubernetes.default.svc/v1", "http://front-gateway.ai-platform.svc/v1", " http://" + host + "/v1",
	} {
		a := newRelaying(t, setup{edit: func(route *v1alpha1.ModelRoute) { route.Status.Endpoint = endpoint }}, noAnswer)
		answer, body := a.ask(a.request(t.Context(), askPath, question))
		want, message := http.StatusBadGateway, "is not that of its Service"
		if endpoint == "" {
			want, message = http.StatusServiceUnavailable, "has no endpoint yet"
		}
		if dialed := a.dialed.Load(); answer.StatusCode != want || dialed != nil {
			t.Errorf("%q: %s, after a connection to %v", endpoint, answer.Status, dialed)
		}
		wantContains(t, body, message)
	}
}
