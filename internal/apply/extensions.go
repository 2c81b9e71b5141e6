package apply

import (
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// extensionKind is a kind that not every cluster has, and of which there are no Go types here.
func extensionKind(gvk schema.GroupVersionKind) kind {
	made := kindOf(
		func() *unstructured.Unstructured { return NewExtension(gvk) },
		func() client.ObjectList {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(gvk)
			return list
		}, extractExtension)
	made.isExtension = true
	return made
}

// NewExtension returns an empty object of a kind.
func NewExtension(gvk schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	return object
}

// extractExtension returns what a field owner has applied to an object, as the generated functions do for kinds with types. It needs no
// schema: the API server's record of the fields says itself where a value is whole.
func extractExtension(object *unstructured.Unstructured, fieldOwner string) (map[string]any, error) {
	extracted := map[string]any{}
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != fieldOwner || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" {
			continue
		}
		var owned map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
			return nil, fmt.Errorf("reading the record of its fields: %w", err)
		}
		if part, isMap := ownedPart(object.Object, owned).(map[string]any); isMap {
			extracted = part
		}
	}
	result := &unstructured.Unstructured{Object: extracted}
	result.SetGroupVersionKind(object.GroupVersionKind())
	result.SetNamespace(object.GetNamespace())
	result.SetName(object.GetName())
	return result.Object, nil
}

// ownedPart is the part of a value whose fields are in a record of FieldsV1: "f:NAME" is a member of an object, `k:{"KEY": VALUE}` an item
// of a list with keys, "v:VALUE" one of a set, and "." the value itself. A record of nothing is that of a value that is owned as a whole.
func ownedPart(value any, owned map[string]any) any {
	if len(owned) == 0 {
		return value
	}
	switch value := value.(type) {
	case map[string]any:
		part := map[string]any{}
		for name, member := range value {
			if below, isOwned := owned["f:"+name].(map[string]any); isOwned {
				part[name] = ownedPart(member, below)
			}
		}
		return part
	case []any:
		part := []any{}
		for _, item := range value {
			if below, isOwned := ownedItem(item, owned); isOwned {
				part = append(part, ownedPart(item, below))
			}
		}
		return part
	}
	return value
}

// ownedItem finds an item of a list in a record.
func ownedItem(item any, owned map[string]any) (map[string]any, bool) {
	for name, below := range owned {
		below, _ := below.(map[string]any)
		var wanted any
		switch prefix, encoded, _ := strings.Cut(name, ":"); {
		case prefix != "k" && prefix != "v", json.Unmarshal([]byte(encoded), &wanted) != nil:
		case prefix == "v" && reflect.DeepEqual(item, wanted), prefix == "k" && hasKeys(item, wanted):
			return below, true
		}
	}
	return nil, false
}

// hasKeys reports whether an item has the values of keys.
func hasKeys(item, keys any) bool {
	members, isMap := item.(map[string]any)
	wanted, areKeys := keys.(map[string]any)
	for name, value := range wanted {
		if !reflect.DeepEqual(members[name], value) {
			return false
		}
	}
	return isMap && areKeys
}
