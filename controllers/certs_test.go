package controllers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// issuer returns an issuer for the world's namespace.
func (w *world) issuer(clock clock.PassiveClock) *certs.Issuer {
	return &certs.Issuer{Client: w.client, Live: w.client, Namespace: w.namespace, Clock: clock}
}

// ensure lets the issuer look once, and returns the two Secrets.
func (w *world) ensure(issuer *certs.Issuer) (authority, ledger *corev1.Secret) {
	w.t.Helper()
	if _, err := issuer.Ensure(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	authority, ledger = &corev1.Secret{}, &corev1.Secret{}
	w.get(certs.AuthoritySecret, authority)
	w.get(certs.LedgerSecret, ledger)
	if _, err := tls.X509KeyPair(ledger.Data[corev1.TLSCertKey], ledger.Data[corev1.TLSPrivateKeyKey]); err != nil {
		w.t.Fatalf("the ledger cannot use its Secret: %v", err)
	}
	if !strings.Contains(string(ledger.Data["ca.crt"]), string(authority.Data["ca.crt"])) {
		w.t.Error("those who connect to the ledger are not told of the authority")
	}
	return authority, ledger
}

func TestCertificatesAreIssuedOnceAndRenewedInTime(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	w := newWorldAt(t, testRealClock)
	issuer := w.issuer(clock)
	authority, ledger := w.ensure(issuer)

	again, ledgerAgain := w.ensure(issuer)
	if again.ResourceVersion != authority.ResourceVersion || ledgerAgain.ResourceVersion != ledger.ResourceVersion {
		t.Error("a second look wrote")
	}

	after, err := issuer.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clock.SetTime(clock.Now().Add(after))
	renewedAuthority, renewed := w.ensure(issuer)
	if string(renewed.Data["tls.crt"]) == string(ledger.Data["tls.crt"]) {
		t.Errorf("the ledger's certificate is not renewed after %s", after)
	}
	if string(renewedAuthority.Data["ca.crt"]) != string(authority.Data["ca.crt"]) {
		t.Error("the authority has changed with it")
	}
}

func TestABrokenCertificateIsRepaired(t *testing.T) {
	cases := map[string]struct {
		secret, key string
	}{
		"TheAuthoritysKey":        {certs.AuthoritySecret, "ca.key"},
		"TheAuthority":            {certs.AuthoritySecret, "ca.crt"},
		"TheLedgersKey":           {certs.LedgerSecret, "tls.key"},
		"TheLedgersCopyOfTheRoot": {certs.LedgerSecret, "ca.crt"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorldAt(t, testRealClock)
			issuer := w.issuer(testRealClock)
			w.ensure(issuer)
			change(w, test.secret, &corev1.Secret{}, func(s *corev1.Secret) { s.Data[test.key] = []byte("broken") })
			w.ensure(issuer)
		})
	}
}

func TestASecretThatLostItsLabelGetsItBackAndStaysAsItIs(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	issuer := w.issuer(testRealClock)
	before, _ := w.ensure(issuer)
	change(w, certs.AuthoritySecret, &corev1.Secret{}, func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelManagedBy) })
	after, _ := w.ensure(issuer)
	if after.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		t.Error("it has no label")
	}
	if diff := cmp.Diff(before.Data, after.Data); diff != "" {
		t.Errorf("the authority has changed:\n%s", diff)
	}
}

func TestAnAuthorityThatIsGoneIsReplacedAndTheProxiesAreTold(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		r.Authority = func(ctx context.Context) ([]byte, error) { return certs.Authority(ctx, r.Client, w.namespace) }
		issuer := &certs.Issuer{Client: r.Client, Live: r.Live, Namespace: w.namespace, Clock: testRealClock}
		return issuer.SetupWithManager(manager)
	})
	w.serve(w.route())
	first := &corev1.Secret{}
	w.get(certs.AuthoritySecret, first)
	if w.proxyConfig("chat").Ledger.CA != string(first.Data["ca.crt"]) {
		t.Error("the proxies do not know the authority")
	}

	w.delete(first)
	second := &corev1.Secret{}
	w.eventually("the proxies know a new one", func() error {
		if !w.exists(certs.AuthoritySecret, second) || !strings.Contains(w.proxyConfig("chat").Ledger.CA, string(second.Data["ca.crt"])) {
			return errors.New("they do not")
		}
		return nil
	})
	if !strings.Contains(w.proxyConfig("chat").Ledger.CA, string(first.Data["ca.crt"])) {
		t.Error("they do not know the first any more, by which the ledger's certificate still is")
	}
	ledger := &corev1.Secret{}
	w.get(certs.LedgerSecret, ledger)
	w.isSignedBy(ledger, first.Data["ca.crt"])
	w.untilReady("chat")
	w.ensure(w.issuer(testRealClock)) // which finds nothing left to do
	after := &corev1.Secret{}
	w.get(certs.AuthoritySecret, after)
	if after.ResourceVersion != second.ResourceVersion {
		t.Error("the new authority was replaced once more")
	}
}

// proxyConfig is what the route's proxies are told.
func (w *world) proxyConfig(route string) routeconfig.Config {
	w.t.Helper()
	secret := &corev1.Secret{}
	w.get(route+".config", secret)
	config, err := routeconfig.Decode(secret.Data["config.json"])
	if err != nil {
		w.t.Fatal(err)
	}
	return config
}

func TestAnAuthorityThatSomebodyBringsSignsTheLedgersCertificate(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	certificate, key := ledgertest.NewCertificate(t)
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: certs.AuthoritySecret},
		Data:       map[string][]byte{"ca.crt": certificate, "ca.key": key},
	})
	authority, ledger := w.ensure(w.issuer(testRealClock))
	if diff := cmp.Diff(map[string]string{"ca.crt": string(certificate), "ca.key": string(key)}, textOf(authority.Data)); diff != "" {
		t.Errorf("the authority has changed:\n%s", diff)
	}
	w.isSignedBy(ledger, certificate)
}

func TestALedgersCertificateThatSomebodyElseIssuesIsReplaced(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	certificate, key := ledgertest.NewCertificate(t)
	w.create(&corev1.Secret{ // as cert-manager writes it
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: certs.LedgerSecret},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": certificate},
	})
	authority, ledger := w.ensure(w.issuer(testRealClock))
	w.isSignedBy(ledger, authority.Data["ca.crt"])
}

// isSignedBy fails the test unless the authority has signed the ledger's certificate.
func (w *world) isSignedBy(ledger *corev1.Secret, authority []byte) {
	w.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	pair, err := tls.X509KeyPair(ledger.Data[corev1.TLSCertKey], ledger.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "modelroute-ledger." + w.namespace + ".svc"}); err != nil {
		w.t.Errorf("the ledger's certificate: %v", err)
	}
}

func TestByWhatTheLedgerIsKnownIsPublishedWithoutItsKey(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	issuer := w.issuer(testRealClock)
	publisher := &certs.Publisher{
		Client: w.client, Live: w.client, Namespace: w.namespace, Clock: testRealClock,
		Authority: func(ctx context.Context) ([]byte, error) { return certs.Authority(ctx, w.client, w.namespace) },
	}
	if err := publisher.Ensure(t.Context()); err == nil {
		t.Error("there is nothing to publish, and it says nothing")
	}
	_, ledger := w.ensure(issuer)
	published := func() *corev1.ConfigMap {
		t.Helper()
		if err := publisher.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := &corev1.ConfigMap{}
		w.get(certs.AuthorityConfigMap, found)
		return found
	}
	first := published()
	if diff := cmp.Diff(map[string]string{"ca.crt": string(ledger.Data["ca.crt"])}, first.Data); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if second := published(); second.ResourceVersion != first.ResourceVersion {
		t.Error("a second look wrote")
	}
	change(w, certs.AuthorityConfigMap, &corev1.ConfigMap{}, func(found *corev1.ConfigMap) { found.Data["ca.crt"] = "nonsense" })
	if _, err := certs.PublishedAuthority(t.Context(), w.client, w.namespace); err == nil {
		t.Error("nonsense is taken for certificates")
	}
	if mended := published(); mended.Data["ca.crt"] != first.Data["ca.crt"] {
		t.Error("what somebody changed stays")
	}
}
