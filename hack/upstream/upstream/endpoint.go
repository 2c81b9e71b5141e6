package upstream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxBody is the largest body accepted, in bytes.
const maxBody = 32 << 20

// Endpoint is the last part of the path that a generation is asked for at.
type Endpoint string

// The endpoints that there are.
const (
	ChatCompletions Endpoint = "chat/completions"
	Completions     Endpoint = "completions"
	Embeddings      Endpoint = "embeddings"
	Messages        Endpoint = "messages"
	Responses       Endpoint = "responses"
)

// api is how one endpoint reads its requests and writes its answers. What lies between, from the plan to the books, is
// the same for all of them.
type api interface {
	endpoint() Endpoint
	// secret is the API key that a caller gives, or empty.
	secret(h http.Header) string
	// parse reads and checks a body. Its errors are apiErrors.
	parse(h http.Header, body []byte) (*request, error)
	// answered is the answer in one piece.
	answered(g *generation) any
	// failed is an answer with status 200 that says that the provider failed.
	failed(g *generation) any
	// envelope is an answer that is an error.
	envelope(e *apiError) any
}

// streamingAPI is an api that has streams as well.
type streamingAPI interface {
	api
	// script is the answer as a stream, with so many tokens in an event.
	script(g *generation, perEvent int) script
	// failure is the event by which a stream says that the provider failed, after so many events of the script.
	failure(g *generation, sent int) event
}

// openRouterAPI is what OpenRouter does alike at most of its endpoints.
type openRouterAPI struct{}

func (openRouterAPI) envelope(e *apiError) any { return e.envelope() }

// secret is a bearer token.
func (openRouterAPI) secret(h http.Header) string {
	scheme, secret, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// generate serves one endpoint.
func (s *Server) generate(a api) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		payer, err := s.keys.authenticate(a.secret(r.Header))
		if err != nil {
			return err
		}
		if err := mayGenerate(payer); err != nil {
			return err
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				return newError(http.StatusRequestEntityTooLarge, "Request body is larger than %d bytes", maxBody)
			}
			return badRequest("Reading the body failed")
		}
		req, err := a.parse(r.Header, body)
		if err != nil {
			return err
		}
		f, err := chosenFaults(r.Header, req)
		if err != nil {
			return err
		}
		g, err := s.plan(a, payer, req, f)
		if err != nil {
			return err
		}
		g.tag = r.Header.Get(TagHeader)
		return s.answer(w, r, g)
	}
}

// answer answers, or returns the error that the faults ask for instead.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, g *generation) error {
	patient := wait(r.Context(), g.faults.delay)
	if refused, err := s.refuse(w, g); refused {
		return err
	}
	switch {
	case !patient:
		s.book(g, cancelled)
	case g.faults.lost:
		s.book(g, completed)
		reset(w)
	case g.streamed():
		s.stream(w, r, g, g.api.(streamingAPI))
	default:
		s.answerJSON(w, r, g)
	}
	return nil
}

// answerJSON answers in one piece. A generation without a stream is never cancelled: it is billed in full.
func (s *Server) answerJSON(w http.ResponseWriter, r *http.Request, g *generation) {
	how := completed
	if !wait(r.Context(), s.FirstTokenDelay+time.Duration(g.completion())*s.TokenDelay) {
		how = cancelled
	}
	s.book(g, how)
	w.Header().Set(generationHeader, g.id)
	writeJSON(w, http.StatusOK, g.api.answered(g))
}

// generationHeader names the generation before the body comes.
const generationHeader = "X-Generation-Id"

// reset closes the connection without an answer, with RST where it is TCP.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 has its own reset, which net/http sends for this panic.
	}
	plain := conn
	if secured, ok := conn.(*tls.Conn); ok {
		plain = secured.NetConn()
	}
	if tcp, ok := plain.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // The connection is given up in any case.
	}
	_ = plain.Close()
}
