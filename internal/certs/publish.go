package certs

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cabundle"
)

const (
	// AuthorityConfigMap is the name of the ConfigMap with what is public of the ledger's certificate: AuthorityCertificate, those of all
	// authorities that are trusted. Who only wants to reach the ledger need not read a Secret in which its private key is as well.
	AuthorityConfigMap = "modelroute-ledger-ca"

	publishInterval = time.Minute
	// publishRetry is how soon it looks again for an authority that is not there yet.
	publishRetry = 5 * time.Second
)

// Publisher keeps the ConfigMap in order, whoever issues the ledger's certificate.
type Publisher struct {
	// Client writes it, and Live reads it from the API server.
	Client client.Client
	Live   client.Reader
	// Authority returns the certificates by which the ledger is known, as PEM.
	Authority func(context.Context) ([]byte, error)
	// Namespace is the operator's own.
	Namespace string
	Clock     clock.Clock
}

// Start publishes until ctx ends; the leader alone does. It never fails: what is not there yet is looked for again.
func (p *Publisher) Start(ctx context.Context) error {
	problem := ""
	for {
		wait, said := publishInterval, ""
		if err := p.Ensure(ctx); err != nil {
			wait, said = publishRetry, err.Error()
		}
		if said != problem && said != "" && ctx.Err() == nil {
			log.FromContext(ctx).Info("The certificates by which the ledger is known are not published yet", "reason", said)
		}
		problem = said
		select {
		case <-ctx.Done():
			return nil
		case <-p.Clock.After(wait):
		}
	}
}

// Ensure makes or repairs the ConfigMap.
func (p *Publisher) Ensure(ctx context.Context) error {
	told, err := p.Authority(ctx)
	if err != nil {
		return err
	}
	present := &corev1.ConfigMap{}
	err = p.Live.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: AuthorityConfigMap}, present)
	if err == nil && present.Data[AuthorityCertificate] == string(told) {
		return nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading ConfigMap %s: %w", AuthorityConfigMap, err)
	}
	wanted := corev1ac.ConfigMap(AuthorityConfigMap, p.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}).
		WithData(map[string]string{AuthorityCertificate: string(told)})
	if err := p.Client.Apply(ctx, wanted, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing ConfigMap %s: %w", AuthorityConfigMap, err)
	}
	return nil
}

// PublishedAuthority returns what was published. The API server's errors are returned as they are.
func PublishedAuthority(ctx context.Context, reader client.Reader, namespace string) ([]byte, error) {
	published := &corev1.ConfigMap{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: AuthorityConfigMap}, published); err != nil {
		return nil, err
	}
	told := []byte(published.Data[AuthorityCertificate])
	if _, err := cabundle.Parse(told); err != nil {
		return nil, fmt.Errorf("ConfigMap %s of the namespace %s: %w", AuthorityConfigMap, namespace, err)
	}
	return told, nil
}
