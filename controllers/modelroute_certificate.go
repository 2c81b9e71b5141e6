package controllers

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cabundle"
	"github.com/modelroute/modelroute/internal/compile"
)

// maxEndpointCA is how many bytes an authority may have that goes to consumers as an environment variable. Linux takes 128 KiB.
const maxEndpointCA = 64 << 10

// resolveCertificate checks that clients can be served under the certificate of proxy.tls, and finds out what they know it by.
func (r *ModelRouteReconciler) resolveCertificate(ctx context.Context, s *scope) error {
	name, encrypted := compile.TLSSecret(s.route)
	if !encrypted {
		return nil
	}
	authority, problem, err := lookUpCertificate(ctx, r.Live, s.route.Namespace, name, compile.EndpointHost(s.route))
	if err != nil {
		return err
	}
	if problem != nil && s.unresolved == nil {
		s.unresolved = problem
	}
	s.endpointCA = authority
	return nil
}

// lookUpCertificate checks that clients can be served at a host under the certificate of a Secret, and returns what they know it by.
// Proxies have the certificate from a mounted file, and go on with the one that they have when the Secret is not well.
func lookUpCertificate(
	ctx context.Context, live client.Reader, namespace, name, host string,
) (authority []byte, problem *unresolvedError, err error) {
	secret := &corev1.Secret{}
	switch err := live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, secret); {
	case apierrors.IsNotFound(err):
		return nil, &unresolvedError{Reason: v1alpha1.ReasonSecretNotFound, Message: fmt.Sprintf(
			"Secret %q does not exist: create it in namespace %s, of type kubernetes.io/tls, with a certificate for %s.",
			name, namespace, host)}, nil
	case apierrors.IsForbidden(err):
		return nil, mayNotRead(err, "Secret", namespace, name), nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the Secret of the endpoint's certificate: %w", err)
	}
	return bytes.TrimSpace(secret.Data[corev1.ServiceAccountRootCAKey]), checkCertificate(secret, host), nil
}

// checkCertificate says what is wrong with the Secret of the endpoint's certificate. That a certificate has expired is not: it is renewed
// without us, and the budgets of a route are not to wait for that.
func checkCertificate(secret *corev1.Secret, host string) *unresolvedError {
	for _, key := range [...]string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if len(bytes.TrimSpace(secret.Data[key])) == 0 {
			return &unresolvedError{Reason: v1alpha1.ReasonSecretKeyMissing, Message: fmt.Sprintf(
				"Secret %q has nothing under %q: put the endpoint's certificate there as kubernetes.io/tls has it.", secret.Name, key)}
		}
	}
	invalid := func(format string, arguments ...any) *unresolvedError {
		return &unresolvedError{Reason: v1alpha1.ReasonCertificateInvalid, Message: fmt.Sprintf("Secret %q ", secret.Name) +
			fmt.Sprintf(format, arguments...)}
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return invalid("has no certificate that can be served: %v.", err)
	}
	if pair.Leaf.VerifyHostname(host) != nil {
		return invalid("has a certificate that is not for %s, where consumers are sent: have it issued for that name as well.", host)
	}
	ca := bytes.TrimSpace(secret.Data[corev1.ServiceAccountRootCAKey])
	if len(ca) > maxEndpointCA {
		return invalid("has a ca.crt of %d bytes, and consumers can be given %d: put only the certificate's own authority there.",
			len(ca), maxEndpointCA)
	}
	if _, err := cabundle.Parse(ca); len(ca) > 0 && err != nil {
		return invalid("has a ca.crt without usable certificates: %v.", err)
	}
	return nil
}
