package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"testing"
	"time"
)

// ledger is what a test of rotations works on: the two Secrets, and what of them has not arrived yet with those who use them.
type ledger struct {
	t    *testing.T
	now  time.Time
	held state
	// inUse is what the last change led to, and late what was in use before it: proxies and ledgers may go by either.
	inUse, late state
	seen        []byte
	seenAt      time.Time
	changes     int
}

// newLedger begins with fresh certificates, issued two hours ago.
func newLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{t: t, now: now}
	l.look()
	l.late, l.changes = l.inUse, 0
	l.now = l.now.Add(2 * overlap)
	return l
}

// look takes one step.
func (l *ledger) look() step {
	l.t.Helper()
	made, err := l.held.next(l.now, func(authority pair) time.Time {
		if !bytes.Equal(l.seen, authority.certificate) {
			l.seen, l.seenAt = authority.certificate, l.now
		}
		return l.seenAt
	}, DNSNames("ns"))
	if err != nil {
		l.t.Fatal(err)
	}
	if !made.look.After(l.now) {
		l.t.Errorf("there is something to do again at %s, and it is %s", made.look, l.now)
	}
	l.held = made.state
	if !bytes.Equal(l.held.told, l.inUse.told) || !bytes.Equal(l.held.leaf.certificate, l.inUse.leaf.certificate) {
		l.late, l.inUse = l.inUse, l.held
		l.changes++
	}
	return made
}

// settle goes from one step to the next until the only thing left to do is a renewal, and has everybody connect at each.
func (l *ledger) settle() {
	l.t.Helper()
	for range 10 {
		made := l.look()
		l.everybodyConnects()
		if made.look.Sub(l.now) > 2*overlap {
			return
		}
		l.now = made.look
	}
	l.t.Fatal("the change never ends")
}

// everybodyConnects makes TLS connections: by clients that know what is told now, and what was told before, to servers that have the
// certificate of now, and of before.
func (l *ledger) everybodyConnects() {
	l.t.Helper()
	for client, trusted := range map[string][]byte{"a client that is told": l.inUse.told, "a client that is late": l.late.told} {
		for server, leaf := range map[string]pair{"the ledger": l.inUse.leaf, "a ledger that is late": l.late.leaf} {
			if err := connect(l.t, l.now, trusted, leaf); err != nil {
				l.t.Errorf("%s, after %d changes: %s is refused by %s: %v", l.now.Sub(now), l.changes, server, client, err)
			}
		}
	}
}

// connect makes a TLS connection over a socket.
func connect(t *testing.T, at time.Time, trusted []byte, leaf pair) error {
	t.Helper()
	certificate, err := tls.X509KeyPair(leaf.certificate, leaf.key)
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return at }
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, Time: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_ = connection.(*tls.Conn).HandshakeContext(context.WithoutCancel(t.Context()))
			_ = connection.Close()
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	plain, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	return tls.Client(plain, &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "modelroute-ledger.ns.svc", Time: clock,
	}).HandshakeContext(t.Context())
}

func (l *ledger) isOver(by pair) {
	l.t.Helper()
	if _, err := l.held.leaf.verify(l.now, by.certificate, DNSNames("ns")); err != nil {
		l.t.Errorf("the ledger's certificate: %v", err)
	}
	if !bytes.Equal(l.held.told, l.held.authority.certificate) {
		l.t.Errorf("%d authorities are trusted, want the new one alone", count(l.held.told))
	}
}

func count(bundle []byte) int {
	certificates := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		certificates++
	}
	return certificates
}

func TestNobodyIsRefusedWhile(t *testing.T) {
	brought, _ := made(t)
	cases := map[string]func(*ledger){
		"AnAuthorityThatIsGoneIsReplaced":    func(l *ledger) { l.held.authority = pair{} },
		"ABrokenAuthorityIsReplaced":         func(l *ledger) { l.held.authority.certificate = []byte("broken") },
		"AnAuthorityWithoutItsKeyIsReplaced": func(l *ledger) { l.held.authority.key = nil },
		"SomebodyBringsAnAuthority":          func(l *ledger) { l.held.authority = brought },
		"AnAuthorityIsReplacedInTime":        func(l *ledger) { l.grow(authorityLifetime / 3 * 2) },
	}
	for name, happens := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			old := l.held.authority
			happens(l)
			l.settle()
			if bytes.Equal(l.held.authority.certificate, old.certificate) {
				t.Fatal("it is the same authority")
			}
			if l.changes != 3 {
				t.Errorf("it took %d changes, want 3: the new authority is told, the certificate is by it, the old one is forgotten",
					l.changes)
			}
			l.isOver(l.held.authority)
			if connect(t, l.now, old.certificate, l.held.leaf) == nil {
				t.Error("who knows the old authority alone is not refused: this test would not notice")
			}
		})
	}
}

// grow lets time pass, with the renewals that fall into it.
func (l *ledger) grow(by time.Duration) {
	l.t.Helper()
	for end := l.now.Add(by); l.now.Before(end); {
		l.now = earlier(end, l.look().look)
	}
	l.late, l.changes = l.inUse, 0
}

func TestAnAuthorityThatIsReplacedAgainBeforeTheFirstChangeIsOver(t *testing.T) {
	for _, after := range []time.Duration{0, overlap / 2, overlap + time.Minute, 2*overlap - time.Minute} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			l := newLedger(t)
			l.held.authority = pair{}
			for end := l.now.Add(after); ; l.now = earlier(end, l.look().look) {
				l.look()
				l.everybodyConnects()
				if !l.now.Before(end) {
					break
				}
			}
			l.held.authority = pair{}
			l.settle()
			l.isOver(l.held.authority)
		})
	}
}

func TestAProcessThatHasJustStartedGivesProxiesTheirTimeToLearnOfAnAuthority(t *testing.T) {
	l := newLedger(t)
	l.held.authority = pair{}
	l.look()
	leaf := l.held.leaf
	l.now = l.now.Add(overlap - time.Minute)
	l.seen = nil // a new process
	l.now = l.now.Add(2 * time.Minute)
	l.look()
	if !bytes.Equal(l.held.leaf.certificate, leaf.certificate) {
		t.Error("the ledger's certificate is by an authority of which the proxies may not know")
	}
	l.settle()
	l.isOver(l.held.authority)
}

func TestACertificateThatEndsBeforeTheOverlapIsReplacedAtItsEnd(t *testing.T) {
	l := newLedger(t)
	certificate, _, err := l.held.leaf.parse()
	if err != nil {
		t.Fatal(err)
	}
	l.held.authority = pair{}
	l.now = certificate.NotAfter.Add(-overlap / 2)
	if made := l.look(); !made.look.Equal(certificate.NotAfter) {
		t.Errorf("it is looked at again at %s, and ends at %s", made.look, certificate.NotAfter)
	}
	l.now = certificate.NotAfter.Add(time.Second)
	l.look()
	if err := connect(t, l.now, l.held.told, l.held.leaf); err != nil {
		t.Error(err)
	}
}

// Who does not trust an authority any more takes both Secrets away.
func TestNoPreviousAuthorityIsTrustedOnceTheLedgersSecretIsTakenAwayToo(t *testing.T) {
	l := newLedger(t)
	old := l.held
	l.held.authority = pair{}
	l.look()
	if count(l.held.told) != 2 {
		t.Fatalf("%d authorities are trusted, want 2", count(l.held.told))
	}
	l.held.leaf, l.held.told = pair{}, nil
	l.look()
	l.isOver(l.held.authority)
	if connect(t, l.now, l.held.told, old.leaf) == nil {
		t.Error("a certificate by the old authority is trusted")
	}
}

func TestARenewalByTheSameAuthorityIsNoChangeOfIt(t *testing.T) {
	l := newLedger(t)
	authority, leaf := l.held.authority, l.held.leaf
	l.now = l.look().look
	l.look()
	if bytes.Equal(l.held.leaf.certificate, leaf.certificate) {
		t.Error("it is not renewed")
	}
	l.isOver(authority)
}
