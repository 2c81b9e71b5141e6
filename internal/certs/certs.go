package certs

import (
	"bytes"
	"context"
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
	"github.com/modelroute/modelroute/internal/cabundle"
)

const (
	// AuthoritySecret is the name of the Secret with the authority: AuthorityCertificate and its private key.
	AuthoritySecret = "modelroute-ca"
	// LedgerSecret is the name of the Secret, of type kubernetes.io/tls, with the ledger's certificate, its private key and
	// AuthorityCertificate.
	LedgerSecret = "modelroute-ledger-tls"
	// AuthorityCertificate is the key, as PEM, of the authority's certificate; in the ledger's Secret, of those of all that are trusted.
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

	// seen is the certificate of the authority, and seenAt when this process first saw it.
	seen   []byte
	seenAt time.Time
}

// Ensure makes, repairs or renews what has to be, and returns after how long to look again.
func (i *Issuer) Ensure(ctx context.Context) (time.Duration, error) {
	now := i.Clock.Now()
	authority, err := i.read(ctx, AuthoritySecret)
	if err != nil {
		return 0, err
	}
	ledger, err := i.read(ctx, LedgerSecret)
	if err != nil {
		return 0, err
	}
	held := state{
		authority: pair{certificate: authority.Data[AuthorityCertificate], key: authority.Data[authorityKey]},
		leaf:      pair{certificate: ledger.Data[corev1.TLSCertKey], key: ledger.Data[corev1.TLSPrivateKeyKey]},
		told:      ledger.Data[AuthorityCertificate],
	}
	made, err := held.next(now, func(authority pair) time.Time { return i.since(authority, now) }, DNSNames(i.Namespace))
	if err != nil {
		return 0, err
	}
	logReplacement(ctx, authority, made.authorityProblem)
	logReplacement(ctx, ledger, made.leafProblem)
	// The authority comes first, or nobody would have the key by which the certificate was signed.
	if err := i.ensure(ctx, authority, AuthoritySecret, corev1.SecretTypeOpaque, map[string][]byte{
		AuthorityCertificate: made.authority.certificate,
		authorityKey:         made.authority.key,
	}); err != nil {
		return 0, err
	}
	return made.look.Sub(now), i.ensure(ctx, ledger, LedgerSecret, corev1.SecretTypeTLS, map[string][]byte{
		corev1.TLSCertKey:       made.leaf.certificate,
		corev1.TLSPrivateKeyKey: made.leaf.key,
		AuthorityCertificate:    made.told,
	})
}

// since is when this process first saw the authority. One that was told before it started counts from then on: whoever was there before may
// have had no time to tell the proxies.
func (i *Issuer) since(authority pair, now time.Time) time.Time {
	if !bytes.Equal(i.seen, authority.certificate) {
		i.seen, i.seenAt = authority.certificate, now
	}
	return i.seenAt
}

// ensure writes a Secret unless it has the data, and the label by which caches hold it.
func (i *Issuer) ensure(
	ctx context.Context, present *corev1.Secret, name string, secretType corev1.SecretType, data map[string][]byte,
) error {
	if isLabelled(present) && hasData(present, data) {
		return nil
	}
	return i.write(ctx, name, secretType, data)
}

// hasData reports whether a Secret has the data; what else is in it is no matter.
func hasData(secret *corev1.Secret, data map[string][]byte) bool {
	for key, value := range data {
		if !bytes.Equal(secret.Data[key], value) {
			return false
		}
	}
	return true
}

// DNSNames are the names under which the ledger is reached within the cluster.
func DNSNames(namespace string) []string {
	return []string{
		ledgerService + "." + namespace + ".svc",
		ledgerService + "." + namespace + ".svc.cluster.local",
		ledgerService,
	}
}

// Authority returns the certificates by which the ledger is known, as PEM: the authority's, and while one takes the place of another both.
// The error says that they are not there yet, or cannot be used; reader may be a cache.
func Authority(ctx context.Context, reader client.Reader, namespace string) ([]byte, error) {
	secret := &corev1.Secret{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: LedgerSecret}, secret); err != nil {
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	told := secret.Data[AuthorityCertificate]
	if _, err := cabundle.Parse(told); err != nil {
		return nil, fmt.Errorf("reading the authority's certificate from Secret %s: %w", LedgerSecret, err)
	}
	return told, nil
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
	switch {
	case problem == nil:
	case secret.ResourceVersion == "":
		logger.Info("Issuing a certificate", "reason", "there is none")
	default:
		logger.Info("Replacing a certificate", "secret", secret.Name, "reason", problem.Error())
	}
}
