package upstream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// maxBody is the largest body accepted, in bytes.
const maxBody = 32 << 20

func (s *Server) serveChat(w http.ResponseWriter, r *http.Request) error {
	payer, err := s.keys.authenticate(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return newError(http.StatusRequestEntityTooLarge, "Request body is larger than %d bytes", maxBody)
		}
		return badRequest("Reading the body failed")
	}
	req, err := parseChat(body)
	if err != nil {
		return err
	}
	f, err := chosenFaults(r.Header, req)
	if err != nil {
		return err
	}
	g, err := s.plan(payer, req, f)
	if err != nil {
		return err
	}
	g.tag = r.Header.Get(TagHeader)
	s.answer(w, r, g)
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, g *generation) {
	patient := wait(r.Context(), g.faults.delay)
	if s.refuse(w, g) {
		return
	}
	switch {
	case !patient:
		s.book(g, cancelled)
	case g.faults.lost:
		s.book(g, completed)
		reset(w)
	case g.streamed():
		s.stream(w, r, g)
	default:
		s.answerJSON(w, r, g)
	}
}

// answerJSON answers in one piece. A generation without a stream is never cancelled: it is billed in full.
func (s *Server) answerJSON(w http.ResponseWriter, r *http.Request, g *generation) {
	how := completed
	if !wait(r.Context(), s.FirstTokenDelay+time.Duration(g.completion())*s.TokenDelay) {
		how = cancelled
	}
	s.book(g, how)
	w.Header().Set(generationHeader, g.id)
	writeJSON(w, http.StatusOK, g.answered())
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
