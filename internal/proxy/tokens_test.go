package proxy

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/workload/workloadtest"
)

var (
	morning = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	account = routeconfig.ServiceAccount{Namespace: "search", Name: "crawler", UID: "uid-1"}
)

// tableOf is the table of two routes that an account may use, until the given times in Unix seconds.
func tableOf(t testing.TB, issuer *workloadtest.Issuer, chatUntil, codeUntil int64) *table {
	t.Helper()
	route := func(name string, until int64) routeconfig.Route {
		return routeconfig.Route{
			Namespace: "ai", Name: name, Model: routeconfig.Model{Name: name, ContextLength: 1},
			Consumers: []routeconfig.Consumer{{Name: name, Expires: until, ServiceAccounts: []routeconfig.ServiceAccount{account}}},
		}
	}
	built, err := newTable(routeconfig.Config{
		Issuer: issuer.Config(), Routes: []routeconfig.Route{route("chat", chatUntil), route("code", codeUntil)},
	}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func (t *tokens) present(token string, at time.Time) (*principal, error) {
	return t.authenticate(token, sha256.Sum256([]byte(token)), at)
}

func TestWhatAnAccountMayUseAtOneRouteEndsWithoutTheOther(t *testing.T) {
	issuer := workloadtest.New(t)
	noon := morning.Add(3 * time.Hour)
	built := tableOf(t, issuer, noon.Unix(), noon.Add(time.Hour).Unix())
	token := issuer.Token(account, noon.Add(time.Hour))
	for reason, test := range map[string]struct {
		at   time.Time
		want []string
	}{
		"before the first ends": {noon.Add(-time.Second), []string{"chat", "code"}},
		"when the first ends":   {noon, []string{"code"}},
		"when both have ended":  {noon.Add(time.Hour), nil},
	} {
		t.Run(reason, func(t *testing.T) {
			caller, err := built.tokens.present(token, test.at)
			if (caller == nil) != (len(test.want) == 0) || (err != nil) != (len(test.want) == 0) {
				t.Fatalf("the caller is %v (%v)", caller, err)
			}
			for _, model := range test.want {
				if granted, refusal := caller.grantFor(model); refusal != nil || granted.keyID != "sa:search/crawler" {
					t.Errorf("%s: %v", model, refusal)
				}
			}
			if caller != nil && len(caller.grants) != len(test.want) {
				t.Errorf("it has %d grants", len(caller.grants))
			}
		})
	}
}

func TestNoMoreTokensAreRememberedThanThereIsRoomFor(t *testing.T) {
	issuer := workloadtest.New(t)
	built := tableOf(t, issuer, 0, 0)
	for i := range maxVerified + 10 {
		built.tokens.remember(sha256.Sum256(fmt.Append(nil, i)), verifiedToken{expires: morning.Unix()})
	}
	if got := len(built.tokens.verified); got != maxVerified {
		t.Errorf("%d are remembered", got)
	}
	if _, err := built.tokens.present(issuer.Token(account, morning.Add(time.Minute)), morning); err != nil || len(built.tokens.verified) != maxVerified {
		t.Errorf("with all places taken a new token is refused (%v), or %d are remembered", err, len(built.tokens.verified))
	}
}

func TestATokenThatIsRefusedIsNotRemembered(t *testing.T) {
	issuer := workloadtest.New(t)
	built := tableOf(t, issuer, 0, 0)
	other := account
	other.UID = "uid-2"
	for reason, token := range map[string]string{
		"expired": issuer.Token(account, morning.Add(-time.Hour)), "of another account": issuer.Token(other, morning.Add(time.Minute)),
		"by another issuer": workloadtest.New(t).Token(account, morning.Add(time.Minute)),
	} {
		if _, err := built.tokens.present(token, morning); err == nil || len(built.tokens.verified) > 0 {
			t.Errorf("%s: it is accepted or remembered (%v)", reason, err)
		}
	}
}

// What it costs to find out who asks: by a key, by a token that was verified before, and by one that is new.
func BenchmarkAuthenticating(b *testing.B) {
	issuer := workloadtest.New(b)
	built := tableOf(b, issuer, 0, 0)
	token := issuer.Token(account, morning.Add(time.Hour))
	const key = "mrk_0123456789abcdefghijABCDEFGHIJ0123456789abcdefghij"
	built.keys[sha256.Sum256([]byte(key))] = newPrincipal()
	run := func(name, bearer string, before func()) {
		header := map[string][]string{"Authorization": {"Bearer " + bearer}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				before()
				if caller, refusal := built.authenticate(header, morning); caller == nil {
					b.Fatal(refusal)
				}
			}
		})
	}
	run("Key", key, func() {})
	run("KnownToken", token, func() {})
	run("NewToken", token, func() { clear(built.tokens.verified) })
}
