package tokenreview

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/modelroute/modelroute/internal/ledger/auth"
)

const audience = "modelroute-ledger"

// apiServer answers TokenReviews over HTTP as the API server does, and can be broken.
type apiServer struct {
	*httptest.Server
	asked  atomic.Int64
	broken atomic.Bool
	// accepted is what it says of the token "good".
	mu       sync.Mutex
	accepted bool
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{accepted: true}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.broken.Load() {
			http.Error(w, "etcd is away", http.StatusInternalServerError)
			return
		}
		var review authenticationv1.TokenReview
		if r.Method != http.MethodPost || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			t.Errorf("asked %s %s", r.Method, r.URL.Path)
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Errorf("reading the review: %v", err)
		}
		if got := review.Spec.Audiences; len(got) != 1 || got[0] != audience {
			t.Errorf("audiences %v, want %s", got, audience)
		}
		review.Status = s.statusOf(review.Spec.Token)
		review.TypeMeta = metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(review); err != nil {
			t.Errorf("answering: %v", err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) statusOf(token string) authenticationv1.TokenReviewStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{audience}, User: authenticationv1.UserInfo{Username: "system:serviceaccount:ai:chat"},
	}
	switch {
	case token == "good" && s.accepted:
		return known
	case token == "foreign":
		known.Audiences = []string{"https://kubernetes.default.svc"}
		return known
	}
	return authenticationv1.TokenReviewStatus{Error: "the token is not valid: " + token}
}

func (s *apiServer) accept(accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = accepted
}

// world is an authenticator, the API server that it asks, and its clock.
type world struct {
	*Authenticator
	t      *testing.T
	server *apiServer
	clock  *time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := newAPIServer(t)
	reviewer, err := NewReviewer(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, time.November, 17, 12, 0, 0, 0, time.UTC)
	return &world{t: t, server: server, clock: &clock, Authenticator: New(reviewer, audience, func() time.Time { return clock })}
}

func (w *world) advance(by time.Duration) { *w.clock = w.clock.Add(by) }

func (w *world) want(token string, identity auth.Identity, wantErr error) {
	w.t.Helper()
	got, err := w.Authenticate(w.t.Context(), token)
	if got != identity || !errors.Is(err, wantErr) {
		w.t.Errorf("Authenticate(%q) = %q, %v, want %q, %v", token, got, err, identity, wantErr)
	}
	if err != nil && token != "" && strings.Contains(err.Error(), token) {
		w.t.Errorf("the error holds the token: %v", err)
	}
}

func (w *world) wantAsked(times int64) {
	w.t.Helper()
	if got := w.server.asked.Load(); got != times {
		w.t.Errorf("the API server was asked %d times, want %d", got, times)
	}
}

const chat = auth.Identity("system:serviceaccount:ai:chat")

func TestWhoIsKnown(t *testing.T) {
	w := newWorld(t)
	w.want("good", chat, nil)
	w.want("forged", "", auth.ErrUnauthenticated)
	w.want("foreign", "", auth.ErrUnauthenticated)
	w.want("", "", auth.ErrUnauthenticated)
}

func TestAnAnswerIsKeptForAMinute(t *testing.T) {
	w := newWorld(t)
	w.want("good", chat, nil)
	w.advance(59 * time.Second)
	w.want("good", chat, nil)
	w.wantAsked(1)
	w.server.accept(false)
	w.advance(time.Second)
	w.want("good", "", auth.ErrUnauthenticated)
	w.wantAsked(2)
}

func TestARefusalIsKeptForSeconds(t *testing.T) {
	w := newWorld(t)
	w.server.accept(false)
	for range 100 {
		w.want("good", "", auth.ErrUnauthenticated)
	}
	w.wantAsked(1)
	w.server.accept(true)
	w.advance(6 * time.Second)
	w.want("good", chat, nil)
}

func TestWhileTheAPIServerIsAway(t *testing.T) {
	w := newWorld(t)
	w.want("good", chat, nil)
	w.server.broken.Store(true)
	w.advance(4 * time.Minute)
	w.want("good", chat, nil)
	w.want("unknown so far", "", auth.ErrUnavailable)
	w.advance(2 * time.Minute)
	w.want("good", "", auth.ErrUnavailable)
	w.server.broken.Store(false)
	w.advance(2 * time.Second)
	w.want("good", chat, nil)
	w.want("unknown so far", "", auth.ErrUnauthenticated)
}

func TestAFailingAPIServerIsLeftAloneForASecond(t *testing.T) {
	w := newWorld(t)
	w.server.broken.Store(true)
	w.want("good", "", auth.ErrUnavailable)
	asked := w.server.asked.Load()
	for range 10 {
		w.want("good", "", auth.ErrUnavailable)
	}
	w.wantAsked(asked)
}

// hanging is an API server that takes questions and gives no answers.
type hanging struct{ limits []time.Duration }

func (h *hanging) Review(ctx context.Context, _ *authenticationv1.TokenReview) (*authenticationv1.TokenReview, error) {
	asked := time.Now()
	<-ctx.Done()
	h.limits = append(h.limits, time.Since(asked))
	return nil, ctx.Err()
}

func TestAnAPIServerThatHangsIsNotWaitedForWhereAnOlderAnswerWillDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := &hanging{}
		a := New(silent, audience, time.Now)
		*a.answerFor(sha256.Sum256([]byte("good"))) = answer{at: time.Now(), identity: chat}
		time.Sleep(2 * time.Minute)
		if got, err := a.Authenticate(t.Context(), "good"); got != chat || err != nil {
			t.Errorf("a token that was good two minutes ago is %q, %v", got, err)
		}
		if got, err := a.Authenticate(t.Context(), "unknown so far"); got != "" || !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("a token that was never seen is %q, %v", got, err)
		}
		if want := []time.Duration{renewTimeout, reviewTimeout}; !slices.Equal(silent.limits, want) {
			t.Errorf("the API server was waited for %v, want %v", silent.limits, want)
		}
	})
}

func TestACallerThatGoesAwaySpoilsNoAnswer(t *testing.T) {
	w := newWorld(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := w.Authenticate(gone, "good"); got != chat || err != nil {
		t.Errorf("the answer for a caller that has gone is %q, %v", got, err)
	}
	w.want("good", chat, nil)
	w.wantAsked(1)
}

func TestManyCallsWithANewTokenAskOnce(t *testing.T) {
	w := newWorld(t)
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() { w.want("good", chat, nil) })
	}
	calls.Wait()
	w.wantAsked(1)
}

func TestTheMemoryOfAnswersIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range maxAnswers + 10 {
		w.answerFor([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if got := len(w.answers); got > maxAnswers {
		t.Errorf("%d answers are remembered, want at most %d", got, maxAnswers)
	}
}
