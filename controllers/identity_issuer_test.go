package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/client-go/rest"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// openID is the part of an API server that says by which keys it signs.
type openID struct {
	// key is the id of its only key, and status what it answers with if that is not 0.
	key    atomic.Pointer[string]
	status atomic.Int64
	asked  atomic.Int64
}

func (o *openID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	if status := o.status.Load(); status != 0 {
		w.WriteHeader(int(status))
		return
	}
	if r.URL.Path == issuerPath {
		_, _ = w.Write([]byte(`{"issuer":"https://kubernetes.default.svc","jwks_uri":"https://10.0.0.1/openid/v1/jwks"}`))
		return
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: *o.key.Load(), Algorithm: "ES256", Use: "sig"}}}
	_ = json.NewEncoder(w).Encode(set)
}

func newIssuer(t *testing.T) (*TokenIssuer, *openID, *testingclock.FakePassiveClock) {
	t.Helper()
	api, clock := &openID{}, testingclock.NewFakePassiveClock(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	api.key.Store(new("first"))
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	issuer, err := NewTokenIssuer(&rest.Config{Host: server.URL}, server.Client(), clock)
	if err != nil {
		t.Fatal(err)
	}
	return issuer, api, clock
}

func TestTheIssuersKeysAreReadAnewWithinAMinute(t *testing.T) {
	issuer, api, clock := newIssuer(t)
	read := func() string {
		t.Helper()
		got, problem, err := issuer.issuer(t.Context())
		if err != nil || problem != nil || got.URL != "https://kubernetes.default.svc" || got.Audience != v1alpha1.TokenAudience || len(got.Keys) != 1 {
			t.Fatalf("the issuer is %+v (%v, %v)", got, problem, err)
		}
		return got.Keys[0].ID
	}
	if got := read(); got != "first" {
		t.Errorf("the key is %s", got)
	}
	api.key.Store(new("second"))
	if got := read(); got != "first" || api.asked.Load() != 2 {
		t.Errorf("the key is %s, after %d questions", got, api.asked.Load())
	}
	clock.SetTime(clock.Now().Add(time.Minute))
	if got := read(); got != "second" {
		t.Errorf("a minute later the key is %s", got)
	}
}

func TestWhatIsKnownOfTheIssuerStaysWhileTheAPIServerDoesNotSay(t *testing.T) {
	for reason, test := range map[string]struct {
		status  int
		problem string
		fails   bool
	}{
		"it refuses":            {http.StatusForbidden, "bind the ClusterRole system:service-account-issuer-discovery", false},
		"it does not know us":   {http.StatusUnauthorized, "bind the ClusterRole system:service-account-issuer-discovery", false},
		"it has no such path":   {http.StatusNotFound, "--service-account-issuer", false},
		"it is not well itself": {http.StatusInternalServerError, "", true},
	} {
		t.Run(reason, func(t *testing.T) {
			issuer, api, clock := newIssuer(t)
			api.status.Store(int64(test.status))
			got, problem, err := issuer.issuer(t.Context())
			if got != nil || (err != nil) != test.fails || !says(problem, test.problem) {
				t.Fatalf("before it has ever said: %+v (%v, %v)", got, problem, err)
			}
			clock.SetTime(clock.Now().Add(time.Minute))
			api.status.Store(0)
			if got, problem, err = issuer.issuer(t.Context()); got == nil || problem != nil || err != nil {
				t.Fatalf("once it says: %+v (%v, %v)", got, problem, err)
			}
			clock.SetTime(clock.Now().Add(time.Minute))
			api.status.Store(int64(test.status))
			if got, problem, err = issuer.issuer(t.Context()); got == nil || err != nil || !says(problem, test.problem) {
				t.Errorf("after it has said: %+v (%v, %v)", got, problem, err)
			}
		})
	}
}

// says reports whether a problem is there, and its message has a text; of an empty text, whether there is none.
func says(problem *unresolvedError, text string) bool {
	if text == "" {
		return problem == nil
	}
	return problem != nil && problem.Reason == v1alpha1.ReasonIssuerUnavailable && strings.Contains(problem.Message, text)
}
