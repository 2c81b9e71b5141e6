// Package upstream is an OpenRouter-compatible upstream for machines without internet or key. It speaks the wire of
// POST /chat/completions, its sister endpoints and those around them, and keeps books of what it billed: the truth that a proxy's own
// figures are compared with. It shares no code with the proxy, so that no mistake can be on both sides.
package upstream

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Options decides how a Server answers. The zero value accepts any key that begins with sk-or- and answers at once.
type Options struct {
	Models []Model // default DefaultModels
	Keys   []Key   // the keys accepted; none and AnyKey false means any
	AnyKey bool    // accept any key that begins with sk-or-, beside Keys

	AnswerTokens    int           // about the length of an answer that the prompt leaves open; default 120
	TokensPerChunk  int           // tokens in one event of a stream; default 1
	CommentEvery    int           // data events between two keep-alive comments; default 16
	FirstTokenDelay time.Duration // before the first token
	TokenDelay      time.Duration // for each token after it
	GenerationDelay time.Duration // until GET /generation knows a generation; default 500ms, negative is none
	CreditsNano     int64         // what GET /credits says was bought, in nano-USD; default 1000 USD
	KeepRecords     int           // records kept in the books; default 100000 (totals count all)

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default discards
}

func (o Options) withDefaults() Options {
	if o.Models == nil {
		o.Models = DefaultModels()
	}
	o.AnyKey = o.AnyKey || len(o.Keys) == 0
	o.AnswerTokens = positive(o.AnswerTokens, 120)
	o.TokensPerChunk = positive(o.TokensPerChunk, 1)
	o.CommentEvery = positive(o.CommentEvery, 16)
	o.KeepRecords = positive(o.KeepRecords, 100_000)
	if o.GenerationDelay == 0 {
		o.GenerationDelay = 500 * time.Millisecond
	}
	if o.CreditsNano == 0 {
		o.CreditsNano = 1000 * nanoPerUSD
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func positive(value, otherwise int) int {
	if value > 0 {
		return value
	}
	return otherwise
}

// Server is the upstream. It is an http.Handler, safe for concurrent use.
type Server struct {
	Options
	models map[string]Model
	keys   *keyring
	books  *books
	cache  promptCache
	mux    *http.ServeMux
}

// New makes an upstream with empty books.
func New(options Options) *Server {
	o := options.withDefaults()
	s := &Server{
		Options: o,
		models:  map[string]Model{},
		keys:    newKeyring(o.Keys, o.AnyKey),
		books:   newBooks(o.KeepRecords),
		cache:   promptCache{until: map[cacheKey]time.Time{}},
		mux:     http.NewServeMux(),
	}
	for _, m := range o.Models {
		s.models[m.ID] = m
	}
	for _, base := range []string{"/api/v1", "/v1"} {
		for _, a := range []api{chatAPI{}, completionsAPI{}, embeddingsAPI{}, messagesAPI{}, responsesAPI{}} {
			s.handle(a.envelope, http.MethodPost, base+"/"+string(a.endpoint()), s.generate(a))
		}
		s.get(base+"/models", s.serveModels)
		s.get(base+"/models/{author}/{slug}", s.serveModel)
		s.get(base+"/models/{author}/{slug}/endpoints", s.serveEndpoints)
		s.get(base+"/model/{author}/{slug}", s.serveModel)
		s.get(base+"/key", s.serveKey)
		s.get(base+"/credits", s.serveCredits)
		s.get(base+"/generation", s.serveGeneration)
		s.handleMethods(openRouterAPI{}.envelope, base+"/keys", map[string]handler{
			http.MethodGet: s.managed(s.serveKeys), http.MethodPost: s.managed(s.serveCreateKey),
		})
		s.handleMethods(openRouterAPI{}.envelope, base+"/keys/{hash}", map[string]handler{
			http.MethodGet: s.managed(s.serveManagedKey), http.MethodPatch: s.managed(s.serveUpdateKey),
			http.MethodDelete: s.managed(s.serveDeleteKey),
		})
	}
	s.mux.HandleFunc("GET /billed", s.serveBilled)
	s.mux.HandleFunc("DELETE /billed", s.serveClear)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { newError(http.StatusNotFound, "Not Found").write(w) })
	return s
}

// get routes what is read.
func (s *Server) get(path string, serve handler) {
	s.handle(openRouterAPI{}.envelope, http.MethodGet, path, serve)
}

// handle routes one method of a path and refuses the others. Errors come in the envelope given.
func (s *Server) handle(envelope func(*apiError) any, method, path string, serve handler) {
	s.handleMethods(envelope, path, map[string]handler{method: serve})
}

// handler serves one method of a path. Its error is the answer.
type handler func(http.ResponseWriter, *http.Request) error

// handleMethods routes some methods of a path and refuses the others.
func (s *Server) handleMethods(envelope func(*apiError) any, path string, methods map[string]handler) {
	for method, serve := range methods {
		s.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				e := asAPIError(err)
				s.Logger.Info("refused", "path", r.URL.Path, "status", e.status, "type", e.errorType, "tag", r.Header.Get(TagHeader))
				e.writeAs(w, envelope)
			}
		})
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	s.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allowed)
		newError(http.StatusMethodNotAllowed, "Method Not Allowed").writeAs(w, envelope)
	})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Billed is what GET /billed answers, for tests in the same process.
func (s *Server) Billed(filter Filter) Statement { return s.books.statement(filter) }

// ClearBooks forgets every record and total, and with them what keys have spent of their limits.
func (s *Server) ClearBooks() { s.books.clear() }

func (s *Server) serveBilled(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name := range q {
		if name != "key" && name != "tag" && name != "since_id" { // A slip of the pen must not choose all records.
			badRequest("Unknown parameter %q: expected key, tag or since_id", name).write(w)
			return
		}
	}
	writeJSON(w, http.StatusOK, s.Billed(Filter{Key: q.Get("key"), Tag: q.Get("tag"), SinceID: q.Get("since_id")}))
}

func (s *Server) serveClear(w http.ResponseWriter, _ *http.Request) {
	s.ClearBooks()
	w.WriteHeader(http.StatusNoContent)
}

// wait sleeps unless the caller hangs up first, which it reports as false.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func randomWords() entropy {
	var raw [16]byte
	_, _ = crand.Read(raw[:]) // crypto/rand never fails.
	return entropy{binary.BigEndian.Uint64(raw[:]), binary.BigEndian.Uint64(raw[8:])}
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// randomName is the last part of a generation's id.
func randomName() string {
	var raw [20]byte
	_, _ = crand.Read(raw[:]) // crypto/rand never fails.
	var name strings.Builder
	for _, b := range raw {
		name.WriteByte(idAlphabet[int(b)%len(idAlphabet)])
	}
	return name.String()
}
