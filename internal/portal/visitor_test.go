package portal_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestWhoComesThroughAProxyThatSignsThemInIsKnownByTheTokenThatItSendsAlong(t *testing.T) {
	g := newGuarded(t)
	g.authorization = "Bearer " + token
	for _, path := range []string{"/", samplePath, "/teams"} {
		answer, page := g.send(http.MethodGet, path, "")
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s is %s", path, answer.Status)
		}
		if strings.Contains(page, "Sign out") {
			t.Errorf("%s has us sign out somebody whom we have not signed in", path)
		}
		if strings.Contains(page+g.log.String(), token) {
			t.Errorf("the token is on %s or in the log", path)
		}
		wantPrivate(t, answer)
	}
	if g.cookie != nil {
		t.Errorf("they get a session as well: %s", g.cookie)
	}
	g.authorization = "bearer " + token // As RFC 9110 has it, a scheme is a word without regard to case.
	if answer, _ := g.send(http.MethodGet, "/", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("in small letters it is %s", answer.Status)
	}
	g.authorization = ""
	answer, _ := g.send(http.MethodGet, "/", "")
	g.wantSentTo(answer, "/sign-in?next=%2F")
}

// wantPrivate fails if anything between us and the visitor may keep an answer, or give it to somebody else.
func wantPrivate(t *testing.T, answer *http.Response) {
	t.Helper()
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	wantContains(t, answer.Header.Get("Vary"), "Authorization", "Cookie")
}

func TestATokenThatIsSentAlongGoesBeforeASession(t *testing.T) {
	g := newGuarded(t)
	g.send(http.MethodPost, "/sign-in", "token="+token)
	for _, bad := range []string{"Bearer of-somebody-else", "Bearer ", "Bearer"} {
		g.authorization = bad
		for _, path := range []string{"/", samplePath, "/teams", "/teams/search"} {
			answer, page := g.send(http.MethodGet, path, "")
			if answer.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("with %q %s is %s, %v", bad, path, answer.Status, answer.Header)
			}
			wantContains(t, page, "This cluster does not know you", "it may have expired")
			if strings.Contains(page+g.log.String(), "of-somebody-else") {
				t.Errorf("the token is on %s or in the log", path)
			}
			wantPrivate(t, answer)
		}
	}
}

func TestAPasswordForSomethingInFrontIsNoToken(t *testing.T) {
	g := newGuarded(t)
	g.authorization = "Basic amFuZTpzZWNyZXQ="
	answer, _ := g.send(http.MethodGet, "/", "")
	g.wantSentTo(answer, "/sign-in?next=%2F")
	g.send(http.MethodPost, "/sign-in", "token="+token)
	if answer, _ = g.send(http.MethodGet, "/", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("who has signed in gets %s", answer.Status)
	}
}

func TestWhatEverybodyLoadsIsKeptForEverybody(t *testing.T) {
	_, page := get(t, newPortal(&source{}), "/")
	for _, match := range loaded.FindAllStringSubmatch(page, -1) {
		answer, _ := get(t, newPortal(&source{}), match[1])
		if got := answer.Header.Get("Vary"); got != "" {
			t.Errorf("%s varies by %s", match[1], got)
		}
	}
}
