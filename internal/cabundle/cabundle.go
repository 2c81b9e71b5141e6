// Package cabundle reads bundles of the certificates of authorities.
package cabundle

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Parse reads the certificates of a bundle in PEM; text between them is no matter. It is an error if there is none, or if a part of the
// bundle is anything else, so that a bundle that was cut or mistaken for another file is found out before an upstream is not known by it.
func Parse(bundle []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	rest := bundle
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("part %d in PEM is a %s, and must be a CERTIFICATE", len(certificates)+1, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	switch {
	case len(certificates) == 0:
		return nil, errors.New("there is no certificate in PEM in it")
	case bytes.Contains(rest, []byte("-----BEGIN")):
		return nil, fmt.Errorf("what follows certificate %d is no complete PEM", len(certificates))
	}
	return certificates, nil
}
