package portal

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

const (
	signInPath  = "/sign-in"
	signOutPath = "/sign-out"
	// maxSignInBytes bounds what a browser sends to sign in: tokens of people with many groups have some kilobytes.
	maxSignInBytes = 64 << 10
)

// SignIn is the page on which visitors say who they are.
type SignIn struct {
	// Next is where they wanted to go.
	Next string
	// Problem says why they could not sign in; empty if they have not tried.
	Problem string
}

// showSignIn serves the page. A browser that came from another site has not sent its cookie, so that whoever is known already can go on as
// well.
func (p *Portal) showSignIn(w http.ResponseWriter, r *http.Request) {
	p.writeSignIn(w, r, http.StatusOK, "")
}

func (p *Portal) writeSignIn(w http.ResponseWriter, r *http.Request, status int, problem string) {
	p.write(w, r, status, "sign-in.html", Page{Title: "Sign in", Content: SignIn{Next: next(r.FormValue("next")), Problem: problem}})
}

// signIn begins a session with the token that a visitor sends, if it is good.
func (p *Portal) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxSignInBytes)
	visitor := Visitor{Token: strings.TrimSpace(r.PostFormValue("token"))}
	if visitor.Token == "" {
		p.writeSignIn(w, r, http.StatusBadRequest, "Enter a token.")
		return
	}
	name, err := p.options.WhoIs(r.Context(), visitor)
	switch {
	case errors.Is(err, ErrUnknownVisitor):
		p.writeSignIn(w, r, http.StatusForbidden,
			"The API server does not accept this token: it may have expired, or be one of another cluster.")
		return
	case err != nil:
		p.fail(w, r, aboutRoutes, err)
		return
	}
	p.options.Logger.LogAttrs(r.Context(), slog.LevelInfo, "Somebody signs in", slog.String("user", name))
	http.SetCookie(w, p.sessions.begin(visitor))
	http.Redirect(w, r, next(r.PostFormValue("next")), http.StatusSeeOther) //nolint:gosec // next is a place of this site.
}

func (p *Portal) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, p.sessions.end(r))
	http.Redirect(w, r, signInPath, http.StatusSeeOther)
}

// askToSignIn sends a visitor to the page on which they say who they are, and from there back.
func (p *Portal) askToSignIn(w http.ResponseWriter, r *http.Request) {
	query := url.Values{"next": {next(r.URL.RequestURI())}}
	http.Redirect(w, r, signInPath+"?"+query.Encode(), http.StatusSeeOther)
}

// next is a place of this site to go to: never one of another, whatever a link says.
func next(wanted string) string {
	found, err := url.Parse(wanted)
	if err != nil || found.Scheme != "" || found.Host != "" || found.User != nil || strings.Contains(wanted, `\`) ||
		!strings.HasPrefix(found.Path, "/") || strings.HasPrefix(found.Path, "//") {
		return "/"
	}
	return (&url.URL{Path: found.Path, RawQuery: found.RawQuery}).String()
}
