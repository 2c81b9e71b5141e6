package routeconfig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// Issuer is who signs the tokens of ServiceAccounts, which some consumers present in the place of a key.
type Issuer struct {
	// URL is what a token must name as its issuer, and Audience one of those that it must be meant for.
	URL      string `json:"url"`
	Audience string `json:"audience"`
	// Keys are those that the issuer signs with, sorted by id. Without any, no token is accepted.
	Keys []SigningKey `json:"keys,omitempty"`
}

// SigningKey is a public key by which tokens are verified.
type SigningKey struct {
	// ID is what a token names the key by.
	ID        string           `json:"id"`
	Algorithm SigningAlgorithm `json:"algorithm"`
	// PublicKey is the key as PKIX writes it, in DER.
	PublicKey []byte `json:"publicKey"`
}

// SigningAlgorithm is how a token is signed, as RFC 7518 names it: one of those that the API server signs tokens with.
type SigningAlgorithm string

// The signing algorithms, which all have a public and a private key.
const (
	RS256 SigningAlgorithm = "RS256"
	RS384 SigningAlgorithm = "RS384"
	RS512 SigningAlgorithm = "RS512"
	ES256 SigningAlgorithm = "ES256"
	ES384 SigningAlgorithm = "ES384"
	ES512 SigningAlgorithm = "ES512"
)

// curves are those of the algorithms that have one.
var curves = map[SigningAlgorithm]string{ES256: "P-256", ES384: "P-384", ES512: "P-521"}

// AlgorithmOf is the algorithm that goes with a public key where nobody says; empty if there is none.
func AlgorithmOf(public crypto.PublicKey) SigningAlgorithm {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return RS256
	case *ecdsa.PublicKey:
		for algorithm, curve := range curves {
			if public.Curve.Params().Name == curve {
				return algorithm
			}
		}
	}
	return ""
}

// Public reads the key. It is an error if the key is none, or not one for its algorithm.
func (k SigningKey) Public() (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(k.PublicKey)
	if err != nil {
		return nil, errors.New("publicKey is no public key in DER")
	}
	isRSA := slices.Contains([]SigningAlgorithm{RS256, RS384, RS512}, k.Algorithm)
	switch public := public.(type) {
	case *rsa.PublicKey:
		if isRSA {
			return public, nil
		}
	case *ecdsa.PublicKey:
		if curves[k.Algorithm] == public.Curve.Params().Name {
			return public, nil
		}
	}
	return nil, fmt.Errorf("publicKey is none for algorithm %q", k.Algorithm)
}

// ServiceAccount is an account whose tokens stand for a consumer.
type ServiceAccount struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID tells the account from an earlier one of the same name, whose tokens are not accepted.
	UID string `json:"uid"`
}

// ID names the account as a key is named, in status, logs and metrics.
func (a ServiceAccount) ID() string { return "sa:" + a.Namespace + "/" + a.Name }

// NamesServiceAccounts reports whether the tokens of any ServiceAccount are accepted, so that a configuration needs an Issuer.
func NamesServiceAccounts(routes []Route) bool {
	return slices.ContainsFunc(routes, func(route Route) bool {
		return slices.ContainsFunc(route.Consumers, func(consumer Consumer) bool { return len(consumer.ServiceAccounts) > 0 })
	})
}

func validateIssuer(config Config) error {
	if config.Issuer == nil {
		if NamesServiceAccounts(config.Routes) {
			return errors.New("issuer must be set where a consumer has serviceAccounts")
		}
		return nil
	}
	if config.Issuer.URL == "" || config.Issuer.Audience == "" {
		return errors.New("issuer.url and issuer.audience must be set")
	}
	ids := map[string]bool{}
	for i, key := range config.Issuer.Keys {
		if key.ID == "" || ids[key.ID] {
			return fmt.Errorf("issuer.keys[%d] (%s): needs an id of its own", i, key.ID)
		}
		ids[key.ID] = true
		if _, err := key.Public(); err != nil {
			return fmt.Errorf("issuer.keys[%d] (%s): %w", i, key.ID, err)
		}
	}
	return nil
}

// validateServiceAccounts checks the accounts of a consumer and enters them in holders, which says whose every account is: in one route a
// token stands for one consumer.
func validateServiceAccounts(consumer Consumer, holders map[[2]string]string) error {
	for i, account := range consumer.ServiceAccounts {
		if account.Namespace == "" || account.Name == "" || account.UID == "" {
			return fmt.Errorf("serviceAccounts[%d] (%s): namespace, name and uid must be set", i, account.ID())
		}
		name := [2]string{account.Namespace, account.Name}
		if holder, taken := holders[name]; taken {
			return fmt.Errorf("serviceAccounts[%d] (%s): is also that of %s", i, account.ID(), holder)
		}
		holders[name] = consumer.Name
	}
	return nil
}
