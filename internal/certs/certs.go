package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

const (
	// AuthoritySecret is the name of the Secret with the authority: AuthorityCertificate and its private key.
	AuthoritySecret = "modelroute-ca"
	// LedgerSecret is the name of the Secret, of type kubernetes.io/tls, with the ledger's certificate, its private key and
	// AuthorityCertificate.
	LedgerSecret = "modelroute-ledger-tls"
	// AuthorityCertificate is the key, in both Secrets, of the authority's certificate as PEM.
	AuthorityCertificate = "ca.crt"

	authorityKey  = "ca.key"
	ledgerService = "modelroute-ledger"
	fieldOwner    = "modelroute-certs"
)

// Issuer keeps the two Secrets in order.
type Issuer struct {
	// Client writes the Secrets.
	Client client.Client
	// Live reads them from the API server. They are few and seldom read, and a stale copy must not lead to a second authority.
	Live client.Reader
	// Namespace is the operator's own.
	Namespace string
	Clock     clock.PassiveClock
}

// Ensure makes or repairs what is missing or broken, and returns after how long to look again, when the ledger's certificate is due for
// renewal.
func (i *Issuer) Ensure(ctx context.Context) (time.Duration, error) {
	now := i.Clock.Now()
	authority, err := i.ensureAuthority(ctx, now)
	if err != nil {
		return 0, err
	}
	due, err := i.ensureLeaf(ctx, now, authority)
	if err != nil {
		return 0, err
	}
	return due.Sub(now), nil
}

func (i *Issuer) ensureAuthority(ctx context.Context, now time.Time) (pair, error) {
	secret, err := i.read(ctx, AuthoritySecret)
	if err != nil {
		return pair{}, err
	}
	authority := pair{certificate: secret.Data[AuthorityCertificate], key: secret.Data[authorityKey]}
	problem := checkAuthority(now, authority)
	if problem == nil && isLabelled(secret) {
		return authority, nil
	}
	if problem != nil {
		logReplacement(ctx, secret, problem)
		if authority, err = newAuthority(now); err != nil {
			return pair{}, err
		}
	}
	return authority, i.write(ctx, AuthoritySecret, corev1.SecretTypeOpaque, map[string][]byte{
		AuthorityCertificate: authority.certificate,
		authorityKey:         authority.key,
	})
}

func (i *Issuer) ensureLeaf(ctx context.Context, now time.Time, authority pair) (due time.Time, err error) {
	secret, err := i.read(ctx, LedgerSecret)
	if err != nil {
		return time.Time{}, err
	}
	names := DNSNames(i.Namespace)
	leaf := pair{certificate: secret.Data[corev1.TLSCertKey], key: secret.Data[corev1.TLSPrivateKeyKey]}
	due, problem := checkLeaf(now, leaf, authority, names)
	if problem == nil && isLabelled(secret) && bytes.Equal(secret.Data[AuthorityCertificate], authority.certificate) {
		return due, nil
	}
	if problem != nil {
		logReplacement(ctx, secret, problem)
		if leaf, err = newLeaf(now, authority, names); err != nil {
			return time.Time{}, err
		}
		if due, err = checkLeaf(now, leaf, authority, names); err != nil {
			return time.Time{}, fmt.Errorf("checking the certificate just made: %w", err)
		}
	}
	return due, i.write(ctx, LedgerSecret, corev1.SecretTypeTLS, map[string][]byte{
		corev1.TLSCertKey:       leaf.certificate,
		corev1.TLSPrivateKeyKey: leaf.key,
		AuthorityCertificate:    authority.certificate,
	})
}

// DNSNames are the names under which the ledger is reached within the cluster.
func DNSNames(namespace string) []string {
	return []string{
		ledgerService + "." + namespace + ".svc",
		ledgerService + "." + namespace + ".svc.cluster.local",
		ledgerService,
	}
}

// Authority returns the authority's certificate as PEM. The error says that it is not there yet; reader may be a cache.
func Authority(ctx context.Context, reader client.Reader, namespace string) ([]byte, error) {
	secret := &corev1.Secret{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: AuthoritySecret}, secret); err != nil {
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	certificate := secret.Data[AuthorityCertificate]
	if len(certificate) == 0 {
		return nil, errors.New("reading the authority's certificate: the Secret has none")
	}
	return certificate, nil
}

// read returns the Secret, an empty one if there is none.
func (i *Issuer) read(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := i.Live.Get(ctx, types.NamespacedName{Namespace: i.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	return secret, nil
}

func (i *Issuer) write(ctx context.Context, name string, secretType corev1.SecretType, data map[string][]byte) error {
	secret := corev1ac.Secret(name, i.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}).
		WithType(secretType).
		WithData(data)
	if err := i.Client.Apply(ctx, secret, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing Secret %s: %w", name, err)
	}
	return nil
}

// isLabelled reports whether caches that hold only our objects hold this Secret.
func isLabelled(secret *corev1.Secret) bool {
	return secret.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy
}

func logReplacement(ctx context.Context, secret *corev1.Secret, problem error) {
	logger := logr.FromContextOrDiscard(ctx)
	if secret.ResourceVersion == "" {
		logger.Info("Issuing a certificate", "reason", "there is none")
		return
	}
	logger.Info("Replacing a certificate", "secret", secret.Name, "reason", problem.Error())
}
