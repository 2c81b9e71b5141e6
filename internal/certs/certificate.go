// Package certs issues the certificates under which the ledger is reached: an authority of the operator's own, and the ledger's
// certificate, each in a Secret in the operator's namespace.
//
// The authority lives for ten years and is made anew when two thirds of that are over, or when its Secret is gone or broken; the
// configuration of every proxy has it, so that this reaches them as a configuration does. One takes the place of another by steps: the new
// one is told, the ledger's certificate is issued by it, and the old one is forgotten, with an overlap between each. That certificate lives
// for 90 days and is renewed when two thirds of that are over.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 90 * 24 * time.Hour
	// clockSkew is how far the clocks of two machines may differ without a new certificate being refused as not valid yet.
	clockSkew = time.Hour

	certificateBlock = "CERTIFICATE"
	privateKeyBlock  = "PRIVATE KEY"
)

// pair is a certificate with its private key, as PEM.
type pair struct {
	certificate, key []byte
}

// newAuthority makes an authority that signs the certificates of servers, and nothing below it that signs.
func newAuthority(now time.Time) (pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "modelroute-ca"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(template, nil)
}

// newLeaf makes a certificate for a server under the given DNS names, signed by the authority.
func newLeaf(now time.Time, authority pair, dnsNames []string) (pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: dnsNames[0]},
		DNSNames:    dnsNames,
		NotBefore:   now.Add(-clockSkew),
		NotAfter:    now.Add(leafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return sign(template, &authority)
}

// sign makes a key for the template and signs its certificate by the authority, or by itself if there is none.
func sign(template *x509.Certificate, authority *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("making a private key: %w", err)
	}
	parent, signer := template, key
	if authority != nil {
		if parent, signer, err = authority.parse(); err != nil {
			return pair{}, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("encoding the private key of %s: %w", template.Subject.CommonName, err)
	}
	return pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: encodedKey}),
	}, nil
}

// parse reads the pair. The errors say what is wrong and hold no key.
func (p pair) parse() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(p.certificate)
	if block == nil || block.Type != certificateBlock {
		return nil, nil, errors.New("the certificate is no PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, errors.New("the certificate cannot be read")
	}
	block, _ = pem.Decode(p.key)
	if block == nil {
		return nil, nil, errors.New("the private key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, errors.New("the private key cannot be read")
	}
	key, isECDSA := parsed.(*ecdsa.PrivateKey)
	if !isECDSA || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, nil, errors.New("the private key is not that of the certificate")
	}
	return certificate, key, nil
}

// checkAuthority returns why the pair cannot serve as the authority now, or nil.
func checkAuthority(now time.Time, authority pair) error {
	certificate, _, err := authority.parse()
	switch {
	case err != nil:
		return err
	case !certificate.IsCA || certificate.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("the certificate may not sign others")
	case now.Before(certificate.NotBefore) || !now.Before(renewal(certificate)):
		return errors.New("the certificate is not valid now, or not for much longer")
	}
	return nil
}

// checkLeaf returns why the pair cannot serve under the names now, or nil and when it is to be renewed.
func checkLeaf(now time.Time, leaf, authority pair, dnsNames []string) (time.Time, error) {
	certificate, err := leaf.verify(now, authority.certificate, dnsNames)
	if err != nil {
		return time.Time{}, err
	}
	due := renewal(certificate)
	if !now.Before(due) {
		return time.Time{}, errors.New("the certificate is due for renewal")
	}
	return due, nil
}

// verify returns the certificate if it is valid now, for each of the names, and by one of the authorities, which are PEM. The error says
// what it is not.
func (p pair) verify(now time.Time, authorities []byte, dnsNames []string) (*x509.Certificate, error) {
	certificate, _, err := p.parse()
	if err != nil {
		return nil, err
	}
	for _, name := range dnsNames {
		if !slices.Contains(certificate.DNSNames, name) {
			return nil, fmt.Errorf("the certificate is not for %s", name)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		return nil, errors.New("the certificate is not valid now, or not signed by the authority")
	}
	return certificate, nil
}

// renewal is when two thirds of a certificate's life are over.
func renewal(certificate *x509.Certificate) time.Time {
	return certificate.NotBefore.Add(certificate.NotAfter.Sub(certificate.NotBefore) / 3 * 2)
}
