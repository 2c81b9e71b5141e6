package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// made returns a fresh authority and a certificate that it signed.
func made(t *testing.T) (authority, leaf pair) {
	t.Helper()
	authority, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = newLeaf(now, authority, DNSNames("ns")); err != nil {
		t.Fatal(err)
	}
	return authority, leaf
}

func TestTheLedgersCertificateIsTrustedUnderEachOfItsNames(t *testing.T) {
	authority, leaf := made(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.certificate)
	certificate, err := tls.X509KeyPair(leaf.certificate, leaf.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"modelroute-ledger.ns.svc", "modelroute-ledger.ns.svc.cluster.local", "modelroute-ledger"} {
		if _, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "elsewhere", CurrentTime: now}); err == nil {
		t.Error("it is trusted under a foreign name")
	}
	if certificate.Leaf.IsCA {
		t.Error("it may sign others")
	}
}

func TestACertificateIsKeptUntilTwoThirdsOfItsLifeAreOver(t *testing.T) {
	authority, leaf := made(t)
	due, err := checkLeaf(now, leaf, authority, DNSNames("ns"))
	if err != nil {
		t.Fatal(err)
	}
	if days := due.Sub(now).Hours() / 24; days < 59 || days > 60 {
		t.Errorf("it is due in %.1f days, of 90", days)
	}
	if _, err := checkLeaf(due.Add(-time.Second), leaf, authority, DNSNames("ns")); err != nil {
		t.Errorf("just before: %v", err)
	}
	if _, err := checkLeaf(due, leaf, authority, DNSNames("ns")); err == nil {
		t.Error("it is not renewed when it is due")
	}
}

func TestACertificateIsReplacedWhen(t *testing.T) {
	authority, leaf := made(t)
	other, otherLeaf := made(t)
	cases := map[string]struct {
		leaf, authority pair
		names           []string
		at              time.Time
	}{
		"ItIsNotThere":             {pair{}, authority, DNSNames("ns"), now},
		"ItIsNoPEM":                {pair{certificate: []byte("x"), key: leaf.key}, authority, DNSNames("ns"), now},
		"ItsKeyIsNoPEM":            {pair{certificate: leaf.certificate, key: []byte("x")}, authority, DNSNames("ns"), now},
		"ItsKeyIsAnothers":         {pair{certificate: leaf.certificate, key: otherLeaf.key}, authority, DNSNames("ns"), now},
		"AnotherAuthoritySignedIt": {leaf, other, DNSNames("ns"), now},
		"ItLacksAName":             {leaf, authority, DNSNames("elsewhere"), now},
		"ItHasExpired":             {leaf, authority, DNSNames("ns"), now.Add(leafLifetime + time.Hour)},
		"ItIsNotValidYet":          {leaf, authority, DNSNames("ns"), now.Add(-2 * clockSkew)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := checkLeaf(test.at, test.leaf, test.authority, test.names)
			if err == nil {
				t.Fatal("it is kept")
			}
			if strings.Contains(err.Error(), string(test.leaf.key)) && len(test.leaf.key) > 1 {
				t.Error("the key is in the error")
			}
		})
	}
}

func TestAnAuthorityIsReplacedWhen(t *testing.T) {
	authority, leaf := made(t)
	if err := checkAuthority(now, authority); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	cases := map[string]struct {
		authority pair
		at        time.Time
	}{
		"ItIsNotThere":    {pair{}, now},
		"ItMayNotSign":    {leaf, now},
		"ItIsNearItsEnd":  {authority, now.Add(authorityLifetime * 3 / 4)},
		"ItIsNotValidYet": {authority, now.Add(-2 * clockSkew)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if err := checkAuthority(test.at, test.authority); err == nil {
				t.Error("it is kept")
			}
		})
	}
}
