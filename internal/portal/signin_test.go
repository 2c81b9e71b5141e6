package portal_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
)

const token = "a-visitors-own-token"

// closed is a source that shows routes to those alone who have a good token.
type closed struct{ source }

func (c *closed) List(ctx context.Context, visitor portal.Visitor, namespace string) ([]v1alpha1.ModelRoute, error) {
	if visitor.Token != token {
		return nil, portal.ErrUnknownVisitor
	}
	return c.source.List(ctx, visitor, namespace)
}

func (c *closed) Get(ctx context.Context, visitor portal.Visitor, namespace, name string) (*v1alpha1.ModelRoute, error) {
	if visitor.Token != token {
		return nil, portal.ErrUnknownVisitor
	}
	return c.source.Get(ctx, visitor, namespace, name)
}

func (c *closed) Teams(ctx context.Context, visitor portal.Visitor) ([]v1alpha1.TeamBudget, error) {
	if visitor.Token != token {
		return nil, portal.ErrUnknownVisitor
	}
	return c.source.Teams(ctx, visitor)
}

func whoIs(_ context.Context, visitor portal.Visitor) (string, error) {
	if visitor.Token != token {
		return "", portal.ErrUnknownVisitor
	}
	return "jane", nil
}

// guarded is a portal that visitors sign in to, and a browser in front of it.
type guarded struct {
	t       *testing.T
	handler http.Handler
	now     time.Time
	log     bytes.Buffer
	cookie  *http.Cookie
	// from is what the browser says of the site that sends it; empty for nothing.
	from string
	// authorization is what a proxy between the two adds to each request; empty for nothing.
	authorization string
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{t: t, now: now}
	g.handler = portal.New(portal.Options{
		Source: &closed{source{routes: []v1alpha1.ModelRoute{*sample(t)}}}, WhoIs: whoIs,
		Now: func() time.Time { return g.now }, Logger: slog.New(slog.NewTextHandler(&g.log, nil)),
	})
	return g
}

func (g *guarded) send(method, path, form string) (*http.Response, string) {
	g.t.Helper()
	request := httptest.NewRequestWithContext(g.t.Context(), method, path, strings.NewReader(form))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if g.from != "" {
		request.Header.Set("Sec-Fetch-Site", g.from)
	}
	if g.authorization != "" {
		request.Header.Set("Authorization", g.authorization)
	}
	if g.cookie != nil {
		request.AddCookie(g.cookie)
	}
	recorder := httptest.NewRecorder()
	g.handler.ServeHTTP(recorder, request)
	answer := recorder.Result()
	for _, set := range answer.Cookies() {
		g.cookie = set
		if set.MaxAge < 0 {
			g.cookie = nil
		}
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer, string(body)
}

func (g *guarded) wantSentTo(answer *http.Response, place string) {
	g.t.Helper()
	if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || got != place {
		g.t.Errorf("%s to %q, want to be sent to %q", answer.Status, got, place)
	}
}

func TestWhoHasNotSignedInIsAskedToAndComesBack(t *testing.T) {
	g := newGuarded(t)
	answer, _ := g.send(http.MethodGet, "/?q=mixtral", "")
	g.wantSentTo(answer, "/sign-in?next=%2F%3Fq%3Dmixtral")
	_, page := g.send(http.MethodGet, answer.Header.Get("Location"), "")
	wantContains(t, page, `name="next" value="/?q=mixtral"`, `type="password"`)

	answer, _ = g.send(http.MethodPost, "/sign-in", url.Values{"token": {token}, "next": {"/?q=mixtral"}}.Encode())
	g.wantSentTo(answer, "/?q=mixtral")
	answer, page = g.send(http.MethodGet, "/?q=mixtral", "")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("who has signed in gets %s", answer.Status)
	}
	wantContains(t, page, "Mixtral 8x22B Instruct", "Sign out")
	if strings.Contains(page+g.log.String(), token) {
		t.Error("the token is on a page or in the log")
	}
	wantContains(t, g.log.String(), "user=jane")
}

func TestTheCookieIsForThisSiteAloneAndIsNotTheToken(t *testing.T) {
	g := newGuarded(t)
	answer, _ := g.send(http.MethodPost, "/sign-in", "token="+token)
	set := answer.Header.Get("Set-Cookie")
	wantContains(t, set, "__Host-modelroute=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Strict", "; Max-Age=28800")
	if strings.Contains(set, token) || strings.Contains(set, "Domain") {
		t.Errorf("the cookie is %s", set)
	}
}

func TestASessionEndsWithTheVisitorOrByItself(t *testing.T) {
	g := newGuarded(t)
	g.send(http.MethodPost, "/sign-in", "token="+token)
	before := g.cookie
	answer, _ := g.send(http.MethodPost, "/sign-out", "")
	g.wantSentTo(answer, "/sign-in")
	g.cookie = before
	answer, _ = g.send(http.MethodGet, "/", "")
	g.wantSentTo(answer, "/sign-in?next=%2F")

	g.send(http.MethodPost, "/sign-in", "token="+token)
	g.now = g.now.Add(8*time.Hour - time.Second)
	if answer, _ = g.send(http.MethodGet, "/", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("after less than eight hours it is %s", answer.Status)
	}
	g.now = g.now.Add(time.Second)
	answer, _ = g.send(http.MethodGet, "/", "")
	g.wantSentTo(answer, "/sign-in?next=%2F")
}

func TestATokenThatIsNotGoodBeginsNoSession(t *testing.T) {
	g := newGuarded(t)
	for form, status := range map[string]int{
		"token=wrong": http.StatusForbidden, "token=": http.StatusBadRequest, "": http.StatusBadRequest,
		"token=" + strings.Repeat("a", 100<<10): http.StatusBadRequest,
	} {
		answer, page := g.send(http.MethodPost, "/sign-in", form)
		if answer.StatusCode != status || g.cookie != nil {
			t.Errorf("%.20q: %s, %v", form, answer.Status, g.cookie)
		}
		wantContains(t, page, `role="alert"`)
	}
	g.send(http.MethodPost, "/sign-in", "token="+token)
	g.cookie.Value = "a-guess" //nolint:gosec // It is what a browser sends, which has no attributes.
	answer, _ := g.send(http.MethodGet, "/", "")
	g.wantSentTo(answer, "/sign-in?next=%2F")
}

func TestAnotherSiteCannotSignAnybodyInOrOut(t *testing.T) {
	g := newGuarded(t)
	g.from = "cross-site"
	for _, path := range []string{"/sign-in", "/sign-out"} {
		answer, _ := g.send(http.MethodPost, path, "token="+token)
		if answer.StatusCode != http.StatusForbidden || g.cookie != nil {
			t.Errorf("%s from another site: %s", path, answer.Status)
		}
	}
}

func TestNobodyIsSentToAnotherSite(t *testing.T) {
	for _, place := range []string{
		"//evil.example", "https://evil.example/", `/\evil.example`, `\\evil.example`, "javascript:alert(1)", "evil", "", "///evil.example",
		"/%2Fevil.example", "//evil.example@a/",
	} {
		g := newGuarded(t)
		answer, _ := g.send(http.MethodPost, "/sign-in", url.Values{"token": {token}, "next": {place}}.Encode())
		if got := answer.Header.Get("Location"); got != "/" {
			t.Errorf("%q leads to %q", place, got)
		}
	}
}
