// Package tokenreview authenticates the ledger's callers by asking the Kubernetes API server whose a projected ServiceAccount token is.
package tokenreview

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/modelroute/modelroute/internal/ledger/auth"
)

const (
	// fresh is how long an answer is taken without asking again.
	fresh = time.Minute
	// stale is how long an accepted token stays accepted while the API server cannot be asked, so that its short absence does not
	// stop the data plane.
	stale = 5 * time.Minute
	// freshRefusal is how long a refusal is taken without asking again, so that a caller with a wrong token does not keep the API
	// server busy.
	freshRefusal = 5 * time.Second
	// pause is how long the API server is left alone after it failed to answer, so that callers do not queue up behind one time-out
	// after the other.
	pause = time.Second
	// maxAnswers bounds the memory of answers.
	maxAnswers = 10_000
	// reviewTimeout bounds one question; renewTimeout bounds one that an older answer can stand in for, so that an API server that hangs
	// does not hold up every proxy again and again.
	reviewTimeout = 5 * time.Second
	renewTimeout  = 500 * time.Millisecond
)

// Reviewer asks the API server: it returns the review with its status filled in.
type Reviewer interface {
	Review(ctx context.Context, review *authenticationv1.TokenReview) (*authenticationv1.TokenReview, error)
}

// Authenticator asks the API server and remembers its answers by the hash of the token.
type Authenticator struct {
	reviewer Reviewer
	audience string
	now      func() time.Time

	mu      sync.Mutex
	answers map[[sha256.Size]byte]*answer
}

var _ auth.Authenticator = (*Authenticator)(nil)

// answer is what the API server said of a token.
type answer struct {
	// asking is held while the API server is asked, so that many calls with one new token ask once. It guards the rest.
	asking   sync.Mutex
	at       time.Time
	identity auth.Identity
	// reason is why the token is refused.
	reason string
	// failure is what went wrong when the API server was last asked, at failedAt; nil if it answered.
	failure  error
	failedAt time.Time
}

// New returns an authenticator for tokens of the audience.
func New(reviewer Reviewer, audience string, now func() time.Time) *Authenticator {
	return &Authenticator{reviewer: reviewer, audience: audience, now: now, answers: map[[sha256.Size]byte]*answer{}}
}

// Authenticate implements auth.Authenticator. The identity is the token's user name, as system:serviceaccount:NAMESPACE:NAME.
func (a *Authenticator) Authenticate(ctx context.Context, bearer string) (auth.Identity, error) {
	if bearer == "" {
		return "", fmt.Errorf("%w: there is none", auth.ErrUnauthenticated)
	}
	known := a.answerFor(sha256.Sum256([]byte(bearer)))
	known.asking.Lock()
	defer known.asking.Unlock()
	age := a.now().Sub(known.at)
	if !known.within(age, fresh, freshRefusal) {
		if err := a.ask(ctx, bearer, known); err != nil && !known.within(age, stale, 0) {
			return "", fmt.Errorf("%w: %w", auth.ErrUnavailable, err)
		}
	}
	if known.identity == "" {
		return "", fmt.Errorf("%w: %s", auth.ErrUnauthenticated, known.reason)
	}
	return known.identity, nil
}

// within reports whether there is an answer that is young enough, for the one or the other verdict. A clock that was turned back
// makes every answer too old.
func (a *answer) within(age, accepted, refused time.Duration) bool {
	if a.at.IsZero() || age < 0 {
		return false
	}
	if a.identity == "" {
		return age < refused
	}
	return age < accepted
}

func (a *Authenticator) answerFor(hash [sha256.Size]byte) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.answers[hash]
	if known == nil {
		if len(a.answers) >= maxAnswers {
			clear(a.answers) // Every live token is asked for once more.
		}
		known = &answer{}
		a.answers[hash] = known
	}
	return known
}

// ask asks the API server and notes its answer, or its failure to give one.
func (a *Authenticator) ask(ctx context.Context, bearer string, into *answer) error {
	if into.failure != nil && a.now().Sub(into.failedAt) < pause {
		return into.failure
	}
	into.failure = a.review(ctx, bearer, into)
	into.failedAt = a.now()
	return into.failure
}

func (a *Authenticator) review(ctx context.Context, bearer string, into *answer) error {
	asked := a.now()
	timeout := reviewTimeout
	if into.within(asked.Sub(into.at), stale, 0) {
		timeout = renewTimeout
	}
	// Others wait for the same answer, so that it is not this caller's to break off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	review, err := a.reviewer.Review(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: bearer, Audiences: []string{a.audience}},
	})
	if err != nil {
		return fmt.Errorf("asking the API server: %w", err)
	}
	into.at, into.identity, into.reason = asked, "", ""
	switch status := review.Status; {
	case !status.Authenticated:
		into.reason = "the API server does not know it"
	case !slices.Contains(status.Audiences, a.audience):
		into.reason = "it is for another audience"
	default:
		into.identity = auth.Identity(status.User.Username)
	}
	return nil
}
