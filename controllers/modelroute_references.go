package controllers

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cabundle"
)

// lookUpCABundle checks that the certificates of an upstream's authorities are there, and can be read. The proxies have them from a mounted
// file.
func (r *ModelRouteReconciler) lookUpCABundle(
	ctx context.Context, namespace string, ref v1alpha1.CABundleReference,
) (*unresolvedError, error) {
	notFound, keyMissing := v1alpha1.ReasonConfigMapNotFound, v1alpha1.ReasonConfigMapKeyMissing
	if ref.Kind == v1alpha1.CABundleSecret {
		notFound, keyMissing = v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonSecretKeyMissing
	}
	bundle, err := readBundle(ctx, r.Live, types.NamespacedName{Namespace: namespace, Name: ref.Name}, ref)
	if apierrors.IsNotFound(err) {
		return &unresolvedError{Reason: notFound, Message: fmt.Sprintf(
			"%s %q does not exist: create it in namespace %s with the certificates of the upstream's authorities, in PEM, under %q.",
			ref.Kind, ref.Name, namespace, ref.Key)}, nil
	}
	if problem := mayNotRead(err, string(ref.Kind), namespace, ref.Name); problem != nil {
		return problem, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of the upstream's authorities: %w", err)
	}
	if len(bytes.TrimSpace(bundle)) == 0 {
		return &unresolvedError{Reason: keyMissing, Message: fmt.Sprintf(
			"%s %q has nothing under %q: put the certificates of the upstream's authorities there, in PEM.",
			ref.Kind, ref.Name, ref.Key)}, nil
	}
	if _, err := cabundle.Parse(bundle); err != nil {
		return &unresolvedError{Reason: v1alpha1.ReasonCABundleInvalid, Message: fmt.Sprintf(
			"%s %q has no usable certificates under %q: %v.", ref.Kind, ref.Name, ref.Key, err)}, nil
	}
	return nil, nil
}

// mayNotRead is the problem with what the API server does not let the manager read; nil if another error keeps it from that.
func mayNotRead(err error, kind, namespace, name string) *unresolvedError {
	if !apierrors.IsForbidden(err) {
		return nil
	}
	return &unresolvedError{Reason: v1alpha1.ReasonRefNotPermitted, Message: fmt.Sprintf(
		"The manager has no right to read %s %q: bind its ClusterRole, modelroute-manager, to its ServiceAccount in namespace %s.",
		kind, name, namespace)}
}

// readBundle reads what a reference names from the API server.
func readBundle(
	ctx context.Context, live client.Reader, name types.NamespacedName, ref v1alpha1.CABundleReference,
) ([]byte, error) {
	if ref.Kind == v1alpha1.CABundleSecret {
		secret := &corev1.Secret{}
		err := live.Get(ctx, name, secret)
		return secret.Data[ref.Key], err
	}
	configMap := &corev1.ConfigMap{}
	err := live.Get(ctx, name, configMap)
	if text, found := configMap.Data[ref.Key]; found {
		return []byte(text), err
	}
	return configMap.BinaryData[ref.Key], err
}
