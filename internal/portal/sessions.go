package portal

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

const (
	// sessionCookie has the session's id. Browsers take a cookie of this prefix only over a trusted connection, and for this host alone.
	sessionCookie = "__Host-modelroute"
	// sessionTime is how long a visitor is known after signing in.
	sessionTime = 8 * time.Hour
	// maxSessions bounds how many visitors are known at a time; whoever signs in after that takes the place of the one who has been in the
	// longest.
	maxSessions = 10_000
)

// sessions are the visitors who have signed in. Their tokens are in the memory of this process and nowhere else: the browser has a number
// that means nothing elsewhere.
type sessions struct {
	now  func() time.Time
	mu   sync.Mutex
	byID map[string]session
}

type session struct {
	visitor Visitor
	ends    time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: map[string]session{}}
}

// begin makes a session and returns its cookie.
func (s *sessions) begin(visitor Visitor) *http.Cookie {
	id, now := rand.Text(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, ends := "", now.Add(sessionTime)
	for other, one := range s.byID {
		if !one.ends.After(now) {
			delete(s.byID, other)
		} else if one.ends.Before(ends) {
			oldest, ends = other, one.ends
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
	s.byID[id] = session{visitor: visitor, ends: now.Add(sessionTime)}
	return cookie(id, sessionTime)
}

// of is the visitor who sends a request; the zero value if they are not known, or not any more.
func (s *sessions) of(r *http.Request) Visitor {
	sent, err := r.Cookie(sessionCookie)
	if err != nil {
		return Visitor{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, known := s.byID[sent.Value]; known && found.ends.After(s.now()) {
		return found.visitor
	}
	return Visitor{}
}

// end forgets the visitor who sends a request, and returns the cookie that has the browser forget the session.
func (s *sessions) end(r *http.Request) *http.Cookie {
	if sent, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.byID, sent.Value)
	}
	return cookie("", -time.Second)
}

func cookie(value string, life time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	}
}
