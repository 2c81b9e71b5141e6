// Package workload verifies by whom a program is run from the token of its ServiceAccount, which the kubelet writes into its pod: by the
// public keys that the API server publishes, without asking anybody.
package workload

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// MaxTokenBytes is how long a token may be. Those of the API server have between one and two KiB.
	MaxTokenBytes = 8 << 10
	// Leeway is how far the clocks of the API server and of a proxy may be apart.
	Leeway = 10 * time.Second
)

// RefusedError says why a token is not accepted, in words that whoever presents it may read.
type RefusedError struct{ message string }

// Error is a whole sentence.
func (e *RefusedError) Error() string { return e.message }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Identity is whose a token is, and until when.
type Identity struct {
	Account routeconfig.ServiceAccount
	// Expires is when the token is no longer accepted, in Unix seconds.
	Expires int64
}

// Verifier verifies the tokens of one issuer. It is never changed, so that many may use it at once.
type Verifier struct {
	issuer     routeconfig.Issuer
	keys       map[string]signingKey
	algorithms []jose.SignatureAlgorithm
}

type signingKey struct {
	algorithm string
	public    any
}

// NewVerifier makes a verifier. It is an error if a key is none.
func NewVerifier(issuer routeconfig.Issuer) (*Verifier, error) {
	made := &Verifier{issuer: issuer, keys: map[string]signingKey{}}
	known := map[routeconfig.SigningAlgorithm]bool{}
	for _, key := range issuer.Keys {
		public, err := key.Public()
		if err != nil {
			return nil, fmt.Errorf("key %s of the issuer: %w", key.ID, err)
		}
		made.keys[key.ID] = signingKey{algorithm: string(key.Algorithm), public: public}
		if !known[key.Algorithm] {
			known[key.Algorithm] = true
			made.algorithms = append(made.algorithms, jose.SignatureAlgorithm(key.Algorithm))
		}
	}
	return made, nil
}

// IsToken reports whether a bearer has the form of a signed token: three parts, of which the first begins as JSON in base64 does.
func IsToken(bearer string) bool {
	return strings.HasPrefix(bearer, "ey") && strings.Count(bearer, ".") == 2
}

// claims are those that the API server writes into a token, beside the registered ones.
type claims struct {
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// Verify returns whose a token is. The error is a *RefusedError. One signature is verified at the most, by the key that the token names;
// what the token says is looked at only after that, so that nothing can be found out with a forged one.
func (v *Verifier) Verify(token string, now time.Time) (Identity, error) {
	if len(token) > MaxTokenBytes {
		return Identity{}, refuse("The token has more than %d bytes.", MaxTokenBytes)
	}
	if len(v.algorithms) == 0 {
		return Identity{}, refuse("The API server publishes no keys to verify tokens by.")
	}
	parsed, err := jwt.ParseSigned(token, v.algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return Identity{}, refuse("The token cannot be read, or is signed in a way in which the API server of this cluster signs none.")
	}
	header := parsed.Headers[0]
	key, known := v.keys[header.KeyID]
	if !known || key.algorithm != header.Algorithm {
		return Identity{}, refuse("The token is signed with a key that the API server of this cluster does not publish.")
	}
	var registered jwt.Claims
	var its claims
	if err := parsed.Claims(key.public, &registered, &its); err != nil {
		return Identity{}, refuse("The signature of the token is wrong, or what it signs is no token of a ServiceAccount.")
	}
	if err := v.check(registered, now); err != nil {
		return Identity{}, err
	}
	account, isOne := its.account(registered.Subject)
	if !isOne {
		return Identity{}, refuse("The token is of no ServiceAccount.")
	}
	return Identity{Account: account, Expires: registered.Expiry.Time().Add(Leeway).Unix()}, nil
}

// account is the one that the claims name; false if they name none, or another than the subject of the token.
func (its claims) account(subject string) (routeconfig.ServiceAccount, bool) {
	account := routeconfig.ServiceAccount{
		Namespace: its.Kubernetes.Namespace, Name: its.Kubernetes.ServiceAccount.Name, UID: its.Kubernetes.ServiceAccount.UID,
	}
	isNamed := account.Namespace != "" && account.Name != "" && account.UID != ""
	return account, isNamed && subject == "system:serviceaccount:"+account.Namespace+":"+account.Name
}

// check checks when a token counts, who issued it and for whom.
func (v *Verifier) check(registered jwt.Claims, now time.Time) error {
	if registered.Expiry == nil {
		return refuse("The token has no end: use one that is projected into the pod, with the audience %q.", v.issuer.Audience)
	}
	expected := jwt.Expected{Issuer: v.issuer.URL, AnyAudience: jwt.Audience{v.issuer.Audience}, Time: now}
	switch err := registered.ValidateWithLeeway(expected, Leeway); {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return refuse("The token was issued by another API server than that of this cluster.")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refuse("The token is for another audience: the projected token of the pod needs the audience %q.", v.issuer.Audience)
	case errors.Is(err, jwt.ErrExpired):
		return refuse("The token has expired: read it from its file for every request, since the kubelet writes a new one before that.")
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return refuse("The token does not count yet: the clocks of the API server and of this endpoint are apart.")
	}
	return refuse("The token is not valid.")
}
