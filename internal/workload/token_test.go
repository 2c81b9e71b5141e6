package workload_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/workload"
)

const (
	issuerURL = "https://kubernetes.default.svc.cluster.local"
	audience  = "modelroute"
)

var (
	noon    = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	crawler = routeconfig.ServiceAccount{Namespace: "search", Name: "crawler", UID: "7d4c0b4e-0000-4000-8000-000000000001"}
)

// signer is a key of the issuer, or of somebody else.
type signer struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   any
	public    crypto.PublicKey
}

func rsaSigner(t testing.TB, id string) signer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id: id, algorithm: jose.RS256, private: private, public: private.Public()}
}

func ecdsaSigner(t testing.TB, id string) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id: id, algorithm: jose.ES256, private: private, public: private.Public()}
}

// publish is the set of keys as the API server publishes it.
func publish(t testing.TB, signers ...signer) []routeconfig.SigningKey {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, one := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: one.public, KeyID: one.id, Algorithm: string(one.algorithm), Use: "sig"})
	}
	encoded, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := workload.ReadKeys(encoded)
	if err != nil || len(keys) != len(signers) {
		t.Fatalf("%d of %d keys could be read (%v)", len(keys), len(signers), err)
	}
	return keys
}

func verifierOf(t testing.TB, signers ...signer) *workload.Verifier {
	t.Helper()
	verifier, err := workload.NewVerifier(routeconfig.Issuer{URL: issuerURL, Audience: audience, Keys: publish(t, signers...)})
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

// said are the claims of a pod's token, as the API server writes them.
func said() map[string]any {
	return map[string]any{
		"aud": []string{audience}, "iss": issuerURL, "sub": "system:serviceaccount:search:crawler", "jti": "1",
		"iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace":      "search",
			"serviceaccount": map[string]any{"name": "crawler", "uid": crawler.UID},
			"pod":            map[string]any{"name": "crawler-0", "uid": "7d4c0b4e-0000-4000-8000-000000000002"},
		},
	}
}

// sign signs claims, of which changes change some and take away those that are nil.
func (s signer) sign(t testing.TB, changes map[string]any) string {
	t.Helper()
	claims := said()
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: jose.JSONWebKey{Key: s.private, KeyID: s.id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(made).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenOfThisClusterSaysWhoseItIs(t *testing.T) {
	first, second := rsaSigner(t, "first"), ecdsaSigner(t, "second")
	for reason, test := range map[string]struct {
		token string
		at    time.Time
	}{
		"signed with RSA": {first.sign(t, nil), noon},
		"signed with another key, of elliptic curves":  {second.sign(t, nil), noon},
		"for several audiences":                        {first.sign(t, map[string]any{"aud": []string{"vault", audience}}), noon},
		"for one audience that is no list":             {first.sign(t, map[string]any{"aud": audience}), noon},
		"in its last second":                           {first.sign(t, nil), noon.Add(time.Hour)},
		"by a clock that is a little behind":           {first.sign(t, nil), noon.Add(-workload.Leeway)},
		"of an account that is bound to no pod":        {first.sign(t, map[string]any{"kubernetes.io": kubernetes(crawler)}), noon},
		"though it says more than this program knows ": {first.sign(t, map[string]any{"extra": map[string]any{"a": 1}}), noon},
	} {
		t.Run(reason, func(t *testing.T) {
			got, err := verifierOf(t, first, second).Verify(test.token, test.at)
			want := workload.Identity{Account: crawler, Expires: noon.Add(time.Hour + workload.Leeway).Unix()}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func kubernetes(account routeconfig.ServiceAccount) map[string]any {
	return map[string]any{"namespace": account.Namespace, "serviceaccount": map[string]any{"name": account.Name, "uid": account.UID}}
}

// forge replaces the header of a token, and signs nothing anew.
func forge(token, header string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}

func TestAForgedTokenIsRefused(t *testing.T) {
	ours, theirs := rsaSigner(t, "ours"), rsaSigner(t, "ours")
	curve := ecdsaSigner(t, "curve")
	good := ours.sign(t, nil)
	parts := strings.Split(good, ".")
	confused := signer{id: "ours", algorithm: jose.HS256, private: publish(t, ours)[0].PublicKey}
	stronger := ours
	stronger.algorithm = jose.RS512
	pss := ours
	pss.algorithm = jose.PS256
	const unreadable, unsigned, unknownKey = "cannot be read", "signature of the token is wrong", "does not publish"
	for reason, test := range map[string]struct{ token, message string }{
		"nothing":                                     {"", unreadable},
		"two parts":                                   {parts[0] + "." + parts[1], unreadable},
		"four parts":                                  {good + ".", unreadable},
		"five parts, as an encrypted one has":         {good + "." + parts[0] + "." + parts[1], unreadable},
		"no base64":                                   {good + "!", unreadable},
		"the JSON form of a signature":                {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, unreadable},
		"no signature":                                {parts[0] + "." + parts[1] + ".", unsigned},
		"algorithm none":                              {forge(parts[0]+"."+parts[1]+".", `{"alg":"none","kid":"ours"}`), unreadable},
		"the public key as a shared secret":           {confused.sign(t, nil), unreadable},
		"another algorithm of the same key":           {stronger.sign(t, nil), unreadable},
		"another padding of the same key":             {pss.sign(t, nil), unreadable},
		"the algorithm of another key":                {forge(good, `{"alg":"ES256","kid":"ours"}`), unknownKey},
		"somebody else's key under the id of ours":    {theirs.sign(t, nil), unsigned},
		"somebody else's key in the header":           {withOwnKey(t, theirs), unsigned},
		"an id that nobody published":                 {signer{"lost", jose.RS256, ours.private, ours.public}.sign(t, nil), unknownKey},
		"no id":                                       {forge(good, `{"alg":"RS256"}`), unknownKey},
		"a header that asks for what is not known":    {forge(good, `{"alg":"RS256","kid":"ours","crit":["b64"],"b64":false}`), unsigned},
		"other claims under the signature":            {parts[0] + "." + strings.Split(ours.sign(t, map[string]any{"aud": "x"}), ".")[1] + "." + parts[2], unsigned},
		"the signature of another curve":              {parts[0] + "." + parts[1] + "." + strings.Split(curve.sign(t, nil), ".")[2], unsigned},
		"a token that is too long":                    {ours.sign(t, map[string]any{"more": strings.Repeat("a", workload.MaxTokenBytes)}), "more than 8192 bytes"},
		"a token of another cluster":                  {ours.sign(t, map[string]any{"iss": "https://elsewhere"}), "another API server"},
		"a token without an issuer":                   {ours.sign(t, map[string]any{"iss": nil}), "another API server"},
		"a token for the API server":                  {ours.sign(t, map[string]any{"aud": issuerURL}), `needs the audience "modelroute"`},
		"a token for nobody":                          {ours.sign(t, map[string]any{"aud": nil}), `needs the audience "modelroute"`},
		"a token for an audience that begins as ours": {ours.sign(t, map[string]any{"aud": "modelroute-ledger"}), `needs the audience "modelroute"`},
		"a token that has expired":                    {ours.sign(t, map[string]any{"exp": noon.Add(-workload.Leeway - time.Second).Unix()}), "has expired: read it from its file"},
		"a token that never expires":                  {ours.sign(t, map[string]any{"exp": nil}), "has no end"},
		"a token of tomorrow":                         {ours.sign(t, map[string]any{"nbf": noon.Add(24 * time.Hour).Unix()}), "does not count yet"},
		"a token that is to be issued":                {ours.sign(t, map[string]any{"iat": noon.Add(time.Hour).Unix()}), "does not count yet"},
		"a user's token":                              {ours.sign(t, map[string]any{"sub": "jane", "kubernetes.io": nil}), "is of no ServiceAccount"},
		"a subject that is another account":           {ours.sign(t, map[string]any{"sub": "system:serviceaccount:search:admin"}), "is of no ServiceAccount"},
		"a subject that could be read in two ways":    {ours.sign(t, map[string]any{"sub": "system:serviceaccount:search:crawler:x"}), "is of no ServiceAccount"},
		"an account without a UID": {
			ours.sign(t, map[string]any{"kubernetes.io": kubernetes(routeconfig.ServiceAccount{Namespace: "search", Name: "crawler"})}),
			"is of no ServiceAccount",
		},
		"claims of another type": {ours.sign(t, map[string]any{"kubernetes.io": "search"}), "no token of a ServiceAccount"},
	} {
		t.Run(reason, func(t *testing.T) {
			got, err := verifierOf(t, ours, curve).Verify(test.token, noon)
			refused, isRefusal := errors.AsType[*workload.RefusedError](err)
			if !isRefusal || !strings.Contains(err.Error(), test.message) || got != (workload.Identity{}) {
				t.Fatalf("it is %+v, with the error %v", got, err)
			}
			if test.token != "" && strings.Contains(refused.Error(), test.token) {
				t.Error("the message has the token")
			}
		})
	}
}

// withOwnKey is a token that brings the key along by which it is to be verified.
func withOwnKey(t *testing.T, s signer) string {
	t.Helper()
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.private},
		(&jose.SignerOptions{EmbedJWK: true}).WithHeader(jose.HeaderKey("kid"), s.id))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(made).Claims(said()).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestWithoutKeysNoTokenIsAccepted(t *testing.T) {
	if _, err := verifierOf(t).Verify(rsaSigner(t, "first").sign(t, nil), noon); err == nil {
		t.Error("it is")
	}
}

func TestAKeyIsNotTakenForAToken(t *testing.T) {
	for text, want := range map[string]bool{
		rsaSigner(t, "first").sign(t, nil): true,
		"mrk_0123456789":                   false, "sk-or-v1.a.b": false, "": false, "..": false, "ey.": false,
	} {
		if got := workload.IsToken(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestOfAKeySetIsReadWhatSignaturesAreVerifiedBy(t *testing.T) {
	first, second := rsaSigner(t, "b"), ecdsaSigner(t, "a")
	member := func(s signer, change func(*jose.JSONWebKey)) string {
		key := jose.JSONWebKey{Key: s.public, KeyID: s.id, Algorithm: string(s.algorithm), Use: "sig"}
		if change != nil {
			change(&key)
		}
		encoded, err := key.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	same := []string{
		member(first, nil),
		member(second, func(key *jose.JSONWebKey) { key.Algorithm, key.Use = "", "" }),
		member(first, nil),
		member(first, func(key *jose.JSONWebKey) { key.KeyID, key.Use = "for encryption", "enc" }),
		member(first, func(key *jose.JSONWebKey) { key.KeyID = "" }),
		member(first, func(key *jose.JSONWebKey) { key.KeyID, key.Algorithm = "of another algorithm", "ES256" }),
		member(first, func(key *jose.JSONWebKey) { key.KeyID, key.Key = "private", first.private }),
		`{"kty":"oct","kid":"shared","alg":"HS256","k":"c2VjcmV0"}`,
		`{"kty":"of tomorrow","kid":"new"}`,
	}
	keys, err := workload.ReadKeys([]byte(`{"keys":[` + strings.Join(same, ",") + `]}`))
	if diff := cmp.Diff(publish(t, second, first), keys); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for reason, encoded := range map[string]string{"no JSON": "x", "a list": "[]", "keys that are none": `{"keys":"x"}`} {
		if keys, err := workload.ReadKeys([]byte(encoded)); err == nil {
			t.Errorf("%s is read as %v", reason, keys)
		}
	}
}

// FuzzVerify holds the reader of tokens to this: whatever it accepts was signed as it is, so that no byte of it can be another.
func FuzzVerify(f *testing.F) {
	ours := ecdsaSigner(f, "ours")
	good := ours.sign(f, nil)
	verifier := verifierOf(f, ours)
	for _, seed := range []string{good, good[1:], good + ".", forge(good, `{"alg":"none"}`), strings.ReplaceAll(good, ".", "..")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		identity, err := verifier.Verify(token, noon)
		_, isRefusal := errors.AsType[*workload.RefusedError](err)
		switch {
		case err != nil && !isRefusal:
			t.Fatalf("the error is a %T: %v", err, err)
		case err == nil && identity.Account != crawler:
			t.Fatalf("%q is taken for a token of %v", token, identity.Account)
		case err == nil && !strings.HasPrefix(token, good[:strings.LastIndex(good, ".")+1]):
			t.Fatalf("%q is accepted, which nobody signed", token)
		}
	})
}

// What a request costs that presents a forged token, beside all else that a request costs.
func BenchmarkAForgedToken(b *testing.B) {
	for name, ours := range map[string]signer{"RS256": rsaSigner(b, "ours"), "ES256": ecdsaSigner(b, "ours")} {
		verifier := verifierOf(b, ours)
		token := ours.sign(b, map[string]any{"exp": noon.Add(-time.Hour).Unix()})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(token, noon); err == nil {
					b.Fatal("it is accepted")
				}
			}
		})
	}
}
