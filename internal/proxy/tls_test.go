package proxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// newCertificate puts another certificate where the proxy reads it, and returns what a client knows it by.
func (w *world) newCertificate(dir string) *tls.Config {
	w.t.Helper()
	certificate, key := ledgertest.NewCertificate(w.t)
	w.write(filepath.Join(dir, "tls.key"), string(key))
	w.write(filepath.Join(dir, "tls.crt"), string(certificate))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		w.t.Fatal("the certificate is no PEM")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// clientOf is a client with connections of its own.
func (w *world) clientOf(config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// beginTLS starts a world that serves clients under a certificate.
func beginTLS(t *testing.T) (w *world, dir string) {
	t.Helper()
	s := setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}, tlsDir: t.TempDir()}
	w = prepare(t, s)
	w.start(s)
	return w, s.tlsDir
}

func (w *world) isReady() bool { return w.status(w.adminURL+"/readyz") == http.StatusOK }

func TestOverTLSAProxyIsReadyOnceItHasACertificate(t *testing.T) {
	w, dir := beginTLS(t)
	w.eventually("it waits for a certificate", func() bool {
		return w.get(w.adminURL+"/readyz", nil).body == "no certificate yet\n"
	})
	config := w.newCertificate(dir)
	w.eventually("it is ready", w.isReady)
	w.client = w.clientOf(config)
	w.ask(asking("", short)).expectOK(t)
	w.booksAgree()
}

func TestClientsSpeakHTTP2OverTLSAndTheOlderOneWhereTheyMust(t *testing.T) {
	w, dir := beginTLS(t)
	config := w.newCertificate(dir)
	w.eventually("it is ready", w.isReady)
	older := config.Clone()
	older.MaxVersion, older.NextProtos = tls.VersionTLS12, []string{"http/1.1"}
	for want, client := range map[string]*http.Client{
		"HTTP/2.0": w.clientOf(config),
		"HTTP/1.1": {Transport: &http.Transport{TLSClientConfig: older, DisableKeepAlives: true}},
	} {
		response, err := client.Do(w.chat(t.Context(), asking("", short+streamed)))
		w.must(err)
		events := 0
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data: ") {
				events++
			}
		}
		w.must(response.Body.Close())
		if response.Proto != want || events < 2 {
			t.Errorf("%d events came over %s, want some over %s", events, response.Proto, want)
		}
	}
	w.booksAgree()
}

func TestAVersionOfTLSThatIsTooOldIsRefused(t *testing.T) {
	w, dir := beginTLS(t)
	config := w.newCertificate(dir)
	w.eventually("it is ready", w.isReady)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	dialer := tls.Dialer{Config: config}
	connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "https://"))
	if err == nil {
		_ = connection.Close()
		t.Error("it is not")
	}
}

func TestARenewedCertificateIsServedWithoutARestartAndABrokenOneIsNot(t *testing.T) {
	w, dir := beginTLS(t)
	first := w.newCertificate(dir)
	w.eventually("it is ready", w.isReady)
	before := w.clientOf(first)

	w.write(filepath.Join(dir, "tls.crt"), "no certificate\n")
	w.eventually("the log says so", func() bool { return strings.Contains(w.logs.String(), "the certificate cannot be read") })
	w.client = before
	w.ask(asking("", short)).expectOK(t)

	second := w.newCertificate(dir)
	w.eventually("the second certificate is served", func() bool {
		dialer := tls.Dialer{Config: second, NetDialer: &net.Dialer{}}
		connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "https://"))
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	w.client = w.clientOf(second)
	w.ask(asking("", short)).expectOK(t)
	w.client = before // Its connection was made under the first certificate, and stays.
	w.ask(asking("", short)).expectOK(t)
	w.booksAgree()
}

func TestAClientThatHangsUpOverHTTP2IsNoticed(t *testing.T) {
	w, dir := beginTLS(t)
	config := w.newCertificate(dir)
	w.eventually("it is ready", w.isReady)
	w.client = w.clientOf(config)
	stream := w.pauseStream()
	w.must(stream.response.Body.Close())
	w.eventually("its stream is read to the end without it", func() bool {
		return strings.Contains(w.metrics(), "\nmodelroute_proxy_drains_in_flight 1\n")
	})
	close(stream.resume)
	w.quiet()
	w.booksAgree()
}
