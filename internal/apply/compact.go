package apply

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/desired"
)

// digestType is the type of a record of fields, in a cache, that is but the digest of what was applied. The API server has no such type.
const digestType = "Digest"

// Compact returns what a cache has to keep of a child: its metadata, the digest of what we have applied to it in place of the record of
// everybody's fields, and of the rest only what anybody here looks at: a Secret's keys; a Deployment's replicas, status, and volume of a
// gateway's files. With thousands of routes that is a small part of what the API server tells, and a pass need not make up the digest
// again. It is a cache's transform, and leaves alone what is no child.
func Compact(object any) (any, error) {
	child, isObject := object.(client.Object)
	if !isObject {
		return object, nil
	}
	kind, known := kindOfType[reflect.TypeOf(object)]
	if !known || hasDigest(child) {
		return object, nil
	}
	digest, err := appliedDigest(kind, child)
	if err != nil {
		return object, nil //nolint:nilerr // The next pass over it finds the same and says so; a cache could only lose it.
	}
	kept := kind.newObject()
	switch from := object.(type) {
	case *corev1.Secret:
		into := kept.(*corev1.Secret)
		into.Type, into.Data = from.Type, desired.Remembered(from)
	case *appsv1.Deployment:
		into := kept.(*appsv1.Deployment)
		into.Spec.Replicas, into.Status = from.Spec.Replicas, from.Status
		into.Spec.Template.Spec.Volumes = filesVolume(from)
	}
	keepMetadata(kept, child)
	shareWithKin(kept)
	kept.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationApply, FieldsType: digestType, FieldsV1: metav1.NewFieldsV1(digest),
	}})
	return kept, nil
}

// keepMetadata keeps what tells an object from others, its owners, and what it is marked with.
func keepMetadata(kept, from client.Object) {
	kept.SetNamespace(from.GetNamespace())
	kept.SetName(from.GetName())
	kept.SetUID(from.GetUID())
	kept.SetResourceVersion(from.GetResourceVersion())
	kept.SetGeneration(from.GetGeneration())
	kept.SetCreationTimestamp(from.GetCreationTimestamp())
	kept.SetDeletionTimestamp(from.GetDeletionTimestamp())
	kept.SetFinalizers(from.GetFinalizers())
	kept.SetLabels(from.GetLabels())
	kept.SetAnnotations(from.GetAnnotations())
	kept.SetOwnerReferences(from.GetOwnerReferences())
}

// filesVolume is the volume by which a gateway's controller knows which files its proxies have.
func filesVolume(deployment *appsv1.Deployment) []corev1.Volume {
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		if volume.Name == desired.GatewayFilesVolume {
			return []corev1.Volume{volume}
		}
	}
	return nil
}

// hasDigest reports whether an object is from a cache that keeps it as Compact makes it.
func hasDigest(object client.Object) bool {
	fields := object.GetManagedFields()
	return len(fields) == 1 && fields[0].FieldsType == digestType
}

// kindOfType are the kinds whose objects have Go types.
var kindOfType = kindsByType(kinds)

func kindsByType(kinds map[schema.GroupVersionKind]kind) map[reflect.Type]kind {
	byType := make(map[reflect.Type]kind, len(kinds))
	for _, kind := range kinds {
		if !kind.isExtension {
			byType[reflect.TypeOf(kind.newObject())] = kind
		}
	}
	return byType
}
