package portal

import (
	"net/http"
	"strings"
)

// visitorOf is who sends a request: whoever the token is of that the request brings by itself, or else whoever has signed in here.
func (p *Portal) visitorOf(r *http.Request) Visitor {
	if token, brought := broughtToken(r); brought {
		return Visitor{Token: token}
	}
	return p.sessions.of(r)
}

// broughtToken is the bearer token that a request has, as those have that come through a proxy which signs people in, or from a program;
// false if it has none. It is read for this one request, and kept nowhere.
func broughtToken(r *http.Request) (token string, brought bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false // It is for something else in front of us, such as a password.
	}
	return strings.TrimSpace(token), true
}

// isSignedIn reports whether there is somebody whom we can sign out: whoever brings a token is signed in elsewhere.
func (p *Portal) isSignedIn(r *http.Request) bool {
	_, brought := broughtToken(r)
	return !brought && p.sessions.of(r) != Visitor{}
}

// unaccepted is what whoever brings a token is told that is not good. To sign in here would not help them: they would bring it again.
var unaccepted = Problem{
	Status: http.StatusUnauthorized, Title: "This cluster does not know you",
	Advice: "You are signed in by something in front of this page, and the API server does not accept the token that it sends along: " +
		"it may have expired, or the API server does not know its issuer or its audience. Sign in there again; if that does not help, " +
		"tell those who run it.",
}

// askWhoItIs has a visitor who is not known say who they are.
func (p *Portal) askWhoItIs(w http.ResponseWriter, r *http.Request) {
	if _, brought := broughtToken(r); !brought {
		p.askToSignIn(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	p.write(w, r, unaccepted.Status, problemPage, Page{Title: unaccepted.Title, Content: unaccepted})
}
