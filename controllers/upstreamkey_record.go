package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
)

// upstreamKeyRecord says which keys there are at an upstream that were made for it. It is in an annotation of the Secret that has the key,
// so that both are written at once.
type upstreamKeyRecord struct {
	// Current is the key in the Secret; nil if there is none.
	Current *madeKey `json:"current,omitempty"`
	// Previous are keys that were replaced and are still to be deleted.
	Previous []madeKey `json:"previous,omitempty"`
}

// madeKey is a key that was made. It has all that is needed to delete it, whatever the route says by then.
type madeKey struct {
	Hash string `json:"hash"`
	// SHA256 is that of the key itself, to find out whether the Secret still has it.
	SHA256 string `json:"sha256,omitempty"`

	BaseURL                string                      `json:"baseURL"`
	ManagementKeySecretRef v1alpha1.SecretKeyReference `json:"managementKeySecretRef"`

	CreateTime metav1.Time `json:"createTime,omitzero"`
	// Limit is what the key was last given, and Terms are the limit's.
	Limit string `json:"limit,omitempty"`
	Terms string `json:"terms,omitempty"`
	// RetireTime is when a previous key is to be deleted.
	RetireTime metav1.Time `json:"retireTime,omitzero"`
}

// terms are those of the limit that the key was last given; empty if there is none.
func (m *madeKey) terms() string {
	if m == nil {
		return ""
	}
	return m.Terms
}

func (r upstreamKeyRecord) isEmpty() bool { return r.Current == nil && len(r.Previous) == 0 }

// all are the current key, if there is one, and the previous ones.
func (r upstreamKeyRecord) all() []madeKey {
	if r.Current == nil {
		return r.Previous
	}
	return append([]madeKey{*r.Current}, r.Previous...)
}

// hashes are those of all keys.
func (r upstreamKeyRecord) hashes() []string {
	all := r.all()
	hashes := make([]string, 0, len(all))
	for _, key := range all {
		hashes = append(hashes, key.Hash)
	}
	return hashes
}

// retire makes the current key a previous one.
func (r *upstreamKeyRecord) retire(at time.Time) {
	if r.Current == nil {
		return
	}
	previous := *r.Current
	previous.RetireTime, previous.SHA256, previous.Limit, previous.Terms = metav1.NewTime(at.Truncate(time.Second)), "", "", ""
	r.Previous = append(slices.Clone(r.Previous), previous)
	r.Current = nil
}

// recordIn reads the record and the key of a Secret, which may be nil. A key that is not the one of record is none. What cannot be read is
// empty: the keys that it named are found by their names at the upstream.
func recordIn(secret *corev1.Secret) (record upstreamKeyRecord, key string) {
	if secret == nil || json.Unmarshal([]byte(secret.Annotations[v1alpha1.AnnotationUpstreamKeyRecord]), &record) != nil {
		return upstreamKeyRecord{}, ""
	}
	value := string(secret.Data[compile.UpstreamKeyFile])
	if record.Current == nil || hashOfKey(value) != record.Current.SHA256 {
		return record, ""
	}
	return record, value
}

func hashOfKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// provisionedUpstreams are those of a route whose keys are made.
func provisionedUpstreams(route *v1alpha1.ModelRoute) []v1alpha1.Upstream {
	return slices.DeleteFunc(slices.Clone(route.Spec.Upstreams), func(one v1alpha1.Upstream) bool { return !compile.IsProvisioned(one) })
}

// upstreamsWithSecret are the names of the upstreams that have a Secret with a key that was made, sorted. The API server is asked, and
// not the cache: a key must not be forgotten because its Secret is new. It answers with the metadata alone.
func (r *UpstreamKeyReconciler) upstreamsWithSecret(ctx context.Context, route *v1alpha1.ModelRoute) ([]string, error) {
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	labels := client.MatchingLabels(desired.OwnerOfUpstreamKeys(route).Labels())
	if err := r.Live.List(ctx, secrets, client.InNamespace(route.Namespace), labels); err != nil {
		return nil, fmt.Errorf("listing the Secrets of upstreams' keys: %w", err)
	}
	var names []string
	for i := range secrets.Items {
		name, isOurs := strings.CutPrefix(secrets.Items[i].Name, compile.ProvisionedSecretName(route, ""))
		if isOurs && metav1.IsControlledBy(&secrets.Items[i], route) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// accountOfKey is what is needed to ask for a key.
type accountOfKey struct {
	baseURL    string
	management v1alpha1.SecretKeyReference
}

func keyAccountOf(upstream v1alpha1.Upstream) accountOfKey {
	return accountOfKey{strings.TrimRight(upstream.BaseURL, "/"), upstream.ProvisionedKey.ManagementKeySecretRef}
}

func (m madeKey) account() accountOfKey { return accountOfKey{m.BaseURL, m.ManagementKeySecretRef} }
