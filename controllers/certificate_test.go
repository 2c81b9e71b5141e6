package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// certificateSecret is as cert-manager makes them: a certificate of its own authority for a host.
func (w *world) certificateSecret(host string) *corev1.Secret {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "endpoint"},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			"tls.crt": certificate, "ca.crt": certificate,
			"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey}),
		},
	}
}

func (w *world) endpointHost() string { return "chat." + w.namespace + ".svc" }

// encryptedRoute is the route chat with the certificate of Secret endpoint.
func (w *world) encryptedRoute() *v1alpha1.ModelRoute {
	route := w.route()
	route.Spec.Proxy.TLS.SecretRef.Name = "endpoint"
	return route
}

func TestARouteWithACertificateIsServedOverTLSAndConsumersKnowIt(t *testing.T) {
	w := newWorld(t)
	certificate := w.certificateSecret(w.endpointHost())
	w.create(certificate)
	w.serve(w.encryptedRoute())
	route := w.untilReady("chat")

	if want := "https://" + w.endpointHost() + "/v1"; route.Status.Endpoint != want {
		t.Errorf("the endpoint is %s, want %s", route.Status.Endpoint, want)
	}
	service := &corev1.Service{}
	w.get("chat", service)
	if port := service.Spec.Ports; len(port) != 1 || port[0].Port != 443 || port[0].TargetPort.String() != "https" {
		t.Errorf("the Service has the ports %v", port)
	}
	secret := textOf(w.consumerSecret("chat", "search").Data)
	if secret["OPENAI_BASE_URL"] != route.Status.Endpoint || secret["CA_CERT"] != strings.TrimSpace(string(certificate.Data["ca.crt"])) {
		t.Errorf("the consumer's Secret says %q and has the authority %q", secret["OPENAI_BASE_URL"], secret["CA_CERT"])
	}

	w.quiet("chat")
	before := w.versions()
	renewed := w.certificateSecret(w.endpointHost())
	change(w, "endpoint", &corev1.Secret{}, func(s *corev1.Secret) { s.Data = renewed.Data })
	w.reconcile() // as it is after idleInterval, since nobody tells of somebody else's Secret
	w.eventually("the consumer has the new authority", func() error {
		after := textOf(w.consumerSecret("chat", "search").Data)
		if after["CA_CERT"] != strings.TrimSpace(string(renewed.Data["ca.crt"])) {
			return errors.New("it has the old one")
		}
		if after["OPENAI_API_KEY"] != secret["OPENAI_API_KEY"] {
			t.Error("the consumer has another key")
		}
		return nil
	})
	w.quiet("chat")
	for name, version := range w.versions() {
		if strings.HasPrefix(name, "Deployment") && before[name] != version {
			t.Error("a renewed certificate replaces the pods")
		}
	}
}

func TestACertificateThatCannotServeIsAskedForAndTheLastOneGoesOn(t *testing.T) {
	cases := map[string]struct {
		spoil   func(w *world, data map[string][]byte)
		reason  string
		message string
	}{
		"WithoutAKey": {func(_ *world, data map[string][]byte) { data["tls.key"] = []byte("\n") },
			v1alpha1.ReasonSecretKeyMissing, `has nothing under "tls.key"`},
		"WithAnothersKey": {func(w *world, data map[string][]byte) { data["tls.key"] = w.certificateSecret("a").Data["tls.key"] },
			v1alpha1.ReasonCertificateInvalid, "has no certificate that can be served"},
		"ForAnotherHost": {func(w *world, data map[string][]byte) {
			maps.Copy(data, w.certificateSecret("elsewhere.example").Data)
		}, v1alpha1.ReasonCertificateInvalid, "has a certificate that is not for chat."},
		"WithAnAuthorityThatIsNone": {func(_ *world, data map[string][]byte) { data["ca.crt"] = []byte("none") },
			v1alpha1.ReasonCertificateInvalid, "has a ca.crt without usable certificates"},
		"WithAuthoritiesThatNoEnvironmentHolds": {func(_ *world, data map[string][]byte) {
			data["ca.crt"] = []byte(strings.Repeat("# padding\n", 7000))
		}, v1alpha1.ReasonCertificateInvalid, "has a ca.crt of 69999 bytes"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			certificate := w.certificateSecret(w.endpointHost())
			w.create(certificate)
			w.create(w.encryptedRoute())
			w.deployment("chat")

			change(w, "endpoint", &corev1.Secret{}, func(s *corev1.Secret) { test.spoil(w, s.Data) })
			w.changeProxy(func(p *v1alpha1.Proxy) { p.MaxAttempts = 2 }) // so that it is looked at
			route := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, test.reason)
			if message := conditionOf(route, v1alpha1.ConditionReady).Message; !strings.Contains(message, test.message) {
				t.Errorf("the message is %q", message)
			}
			if got := conditionOf(route, v1alpha1.ConditionProgrammed).Reason; got != v1alpha1.ReasonLastGood {
				t.Errorf("Programmed says %s", got)
			}

			change(w, "endpoint", &corev1.Secret{}, func(s *corev1.Secret) { s.Data = certificate.Data })
			w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
		})
	}
}

func TestACertificateThatIsNotThereIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.create(w.encryptedRoute())
	route := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	want := fmt.Sprintf("Secret %q does not exist: create it in namespace %s, of type kubernetes.io/tls, with a certificate for %s.",
		"endpoint", w.namespace, w.endpointHost())
	if message := conditionOf(route, v1alpha1.ConditionReady).Message; message != want {
		t.Errorf("the message is %q, want %q", message, want)
	}
	w.create(w.certificateSecret(w.endpointHost()))
	w.deployment("chat")
}
