// Package workloadtest issues tokens of ServiceAccounts as an API server does, for tests without one.
package workloadtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// What every issuer of a test says of itself, and of its only key.
const (
	url      = "https://kubernetes.default.svc"
	audience = "modelroute"
	keyID    = "test"
)

// Issuer issues tokens that are signed with a key of its own.
type Issuer struct {
	t       testing.TB
	private *ecdsa.PrivateKey
}

// New makes an issuer.
func New(t testing.TB) *Issuer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{t: t, private: private}
}

// Config is what proxies are told of the issuer.
func (i *Issuer) Config() *routeconfig.Issuer {
	i.t.Helper()
	public, err := x509.MarshalPKIXPublicKey(i.private.Public())
	if err != nil {
		i.t.Fatal(err)
	}
	return &routeconfig.Issuer{
		URL: url, Audience: audience,
		Keys: []routeconfig.SigningKey{{ID: keyID, Algorithm: routeconfig.ES256, PublicKey: public}},
	}
}

// Token is a token of an account that was issued an hour before it expires.
func (i *Issuer) Token(account routeconfig.ServiceAccount, expires time.Time) string {
	i.t.Helper()
	key := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.private, KeyID: keyID}}
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	registered := jwt.Claims{
		Issuer: url, Audience: jwt.Audience{audience}, Subject: "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		IssuedAt: jwt.NewNumericDate(expires.Add(-time.Hour)), Expiry: jwt.NewNumericDate(expires),
	}
	private := map[string]any{"kubernetes.io": map[string]any{
		"namespace": account.Namespace, "serviceaccount": map[string]any{"name": account.Name, "uid": account.UID},
	}}
	token, err := jwt.Signed(signer).Claims(registered).Claims(private).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}
