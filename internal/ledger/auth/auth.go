// Package auth finds out who calls the ledger.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
)

// Identity is who a caller has proved to be, such as "system:serviceaccount:ai:modelroute-chat".
type Identity string

var (
	// ErrUnauthenticated means that the token proves nothing.
	ErrUnauthenticated = errors.New("the token is not accepted")
	// ErrUnavailable means that the token could not be checked. It may be good.
	ErrUnavailable = errors.New("the token cannot be checked now")
)

// Authenticator finds out whose a bearer token is. Its errors wrap ErrUnauthenticated or ErrUnavailable, and never hold the token.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (Identity, error)
}

// Static accepts one key, as the local mode has it.
type Static struct {
	identity Identity
	key      [sha256.Size]byte
}

// NewStatic accepts the key as the identity's. An empty key accepts nobody.
func NewStatic(key string, identity Identity) *Static {
	if key == "" {
		return &Static{}
	}
	return &Static{identity: identity, key: sha256.Sum256([]byte(key))}
}

// Authenticate implements Authenticator, in a time that does not tell how much of the key is right.
func (s *Static) Authenticate(_ context.Context, bearer string) (Identity, error) {
	presented := sha256.Sum256([]byte(bearer))
	if subtle.ConstantTimeCompare(presented[:], s.key[:]) != 1 || s.identity == "" {
		return "", ErrUnauthenticated
	}
	return s.identity, nil
}
