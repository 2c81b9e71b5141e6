// Package portal is the web page on which people find the models of their organisation: what each costs, how to ask it, and how its budgets
// stand. Everything that a page shows is made from a ModelRoute, a TeamBudget and what a History has by pure functions; the routes and the
// teams come from a Source, which decides who may see which of them. The pages are made here, on the server: what runs in the browser only
// copies examples and streams answers, and nothing is loaded from anywhere else.
package portal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/openai"
)

// Options are what a portal is made of.
type Options struct {
	Source Source
	// History tells what routes spent over time; nil where nobody can, which their pages then say.
	History History
	// Accept says why a request is to be refused before anything is looked up for it; nil where none is. The error is an ErrForbidden.
	Accept func(*http.Request) error
	// WhoIs returns the name of a visitor, or ErrUnknownVisitor if their token is not good. With it visitors sign in, or bring their token
	// with each request; it is nil where everybody may see what the source has.
	WhoIs func(context.Context, Visitor) (name string, err error)
	// APIPath is the base path, on the same origin as the pages, of the API that serves all routes, such as "/v1"; empty if there is none.
	// With it there is a playground.
	APIPath string
	// Relay asks the endpoints of routes what visitors ask in the playground, where there is no APIPath; nil for no playground there.
	// NewTransport makes one.
	Relay  http.RoundTripper
	Now    func() time.Time
	Logger *slog.Logger
}

// Portal serves the pages. It is an http.Handler.
type Portal struct {
	options  Options
	sessions *sessions
	mux      *http.ServeMux
}

// New makes a portal.
func New(options Options) *Portal {
	p := &Portal{options: options, sessions: newSessions(options.Now), mux: http.NewServeMux()}
	p.mux.HandleFunc("GET /{$}", p.overview)
	p.mux.HandleFunc("GET /routes/{namespace}/{name}", p.route)
	p.mux.HandleFunc("GET /teams", p.teams)
	p.mux.HandleFunc("GET /teams/{team}", p.team)
	p.mux.HandleFunc("GET "+assetsPath+"{name}", serveAsset)
	// Other sites cannot have a browser ask a route, sign in or sign out.
	sameOrigin := http.NewCrossOriginProtection()
	if options.Relay != nil {
		p.mux.Handle("POST "+relayPath("{namespace}", "{name}")+openai.Chat.Path, sameOrigin.Handler(http.HandlerFunc(p.relay)))
	}
	if options.WhoIs != nil {
		p.mux.HandleFunc("GET "+signInPath, p.showSignIn)
		p.mux.Handle("POST "+signInPath, sameOrigin.Handler(http.HandlerFunc(p.signIn)))
		p.mux.Handle("POST "+signOutPath, sameOrigin.Handler(http.HandlerFunc(p.signOut)))
	}
	return p
}

// ServeHTTP answers requests for pages.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	if p.options.Accept != nil {
		if err := p.options.Accept(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
	}
	p.mux.ServeHTTP(w, r)
}

// Beside serves the pages, and everything else by the handler: the portal has only the paths that it knows.
func (p *Portal) Beside(other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := p.mux.Handler(r); pattern == "" {
			other.ServeHTTP(w, r)
			return
		}
		p.ServeHTTP(w, r)
	})
}

// setHeaders has the browser load nothing from other hosts, run nothing that is not a file of ours, and keep nothing of a page that shows
// what others may not see. Whom a page is for is what Vary names.
func setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Authorization, Cookie")
}

// overview serves the list of routes.
func (p *Portal) overview(w http.ResponseWriter, r *http.Request) {
	query, namespace := r.FormValue("q"), r.FormValue("namespace")
	routes, err := p.options.Source.List(r.Context(), p.visitorOf(r), namespace)
	if err != nil {
		p.fail(w, r, aboutRoutes, err)
		return
	}
	p.write(w, r, http.StatusOK, "overview.html", Page{
		Title: "Models", Content: NewOverview(routes, query, namespace, p.options.Now()),
	})
}

// route serves the page of a route.
func (p *Portal) route(w http.ResponseWriter, r *http.Request) {
	visitor := p.visitorOf(r)
	found, err := p.options.Source.Get(r.Context(), visitor, r.PathValue("namespace"), r.PathValue("name"))
	if err != nil {
		p.fail(w, r, aboutRoutes, err)
		return
	}
	shown, err := NewRoute(found, p.options.Now())
	if err != nil {
		p.fail(w, r, aboutRoutes, err)
		return
	}
	p.linkTeams(r.Context(), visitor, shown.Consumers)
	shown.Spending = p.spending(r.Context(), found)
	page := Page{Title: shown.Title, Content: shown}
	if shown.Chats {
		page.Playground = p.playground(found)
	}
	p.write(w, r, http.StatusOK, "route.html", page)
}

// Playground is the form to try a route.
type Playground struct {
	// API is the base path, on this origin, at which the route is asked.
	API string
	// Relayed says that this server asks the route for the visitor: it is no part of the API.
	Relayed bool
}

// playground is that of a route; nil if it cannot be asked from here.
func (p *Portal) playground(route *v1alpha1.ModelRoute) *Playground {
	switch {
	case p.options.APIPath != "":
		return &Playground{API: p.options.APIPath}
	case p.options.Relay != nil && route.Status.Endpoint != "":
		return &Playground{API: relayPath(route.Namespace, route.Name), Relayed: true}
	}
	return nil
}

// problemPage is the template of a Problem.
const problemPage = "problem.html"

// Problem is a page that says why there is no other.
type Problem struct {
	Status        int
	Title, Advice string
	// Namespaced says that naming a namespace may help.
	Namespaced bool
}

// subject is what a page is about, with what is said where there is none.
type subject struct{ unreadable, notFound, forbidden Problem }

const tryAgain = "Try again in a little while."

var (
	aboutRoutes = subject{
		unreadable: Problem{Status: http.StatusBadGateway, Title: "The routes cannot be read at the moment", Advice: tryAgain},
		notFound:   Problem{Status: http.StatusNotFound, Title: "There is no such route", Advice: "Look for it in the list of models."},
		forbidden: Problem{
			Status: http.StatusForbidden, Title: "You may not see this", Namespaced: true,
			Advice: "To see the routes of a namespace you need a role there that lets you list ModelRoutes, such as view.",
		},
	}
	aboutTeams = subject{
		unreadable: Problem{Status: http.StatusBadGateway, Title: "The teams cannot be read at the moment", Advice: tryAgain},
		notFound: Problem{
			Status: http.StatusNotFound, Title: "There is no such team", Advice: "Teams have a page when they have a TeamBudget.",
		},
		forbidden: Problem{
			Status: http.StatusForbidden, Title: "You may not see this",
			Advice: "To see teams you need a role in the whole cluster that lets you list TeamBudgets, such as view.",
		},
	}
)

// fail says to the visitor why there is no page. What failed on the way is for the log alone.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, about subject, err error) {
	problem := about.unreadable
	switch {
	case errors.Is(err, ErrUnknownVisitor) && p.options.WhoIs != nil:
		p.askWhoItIs(w, r)
		return
	case errors.Is(err, ErrNotFound):
		problem = about.notFound
	case errors.Is(err, ErrForbidden):
		problem = about.forbidden
	default:
		p.options.Logger.LogAttrs(r.Context(), slog.LevelError, "A page cannot be made", slog.Any("error", err))
	}
	p.write(w, r, problem.Status, problemPage, Page{Title: problem.Title, Content: problem})
}

// Page is what all pages have.
type Page struct {
	Title string
	// SignedIn says that there is somebody to sign out.
	SignedIn bool
	// Playground is the form to try the route of the page; nil for none.
	Playground *Playground
	Content    any
}

// write makes the whole page before it sends any of it, so that one that fails is not half of one.
func (p *Portal) write(w http.ResponseWriter, r *http.Request, status int, name string, page Page) {
	page.SignedIn = p.isSignedIn(r)
	var made bytes.Buffer
	if err := templates[name].ExecuteTemplate(&made, "page.html", page); err != nil {
		p.options.Logger.LogAttrs(r.Context(), slog.LevelError, "A page cannot be written", slog.Any("error", err))
		http.Error(w, "This page cannot be written. The log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(made.Bytes())
}
