package apply

import (
	"context"
	"crypto/sha256"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// isCurrent reports whether what the API server records as applied by us, with its present values, is just what is wanted. A field that
// somebody else has changed is no longer recorded as ours, so that a drift shows as well as a new wish, and nothing has to be remembered
// from one pass, or one leader, to the next.
func (c child) isCurrent() (bool, error) {
	if c.live == nil {
		return false, nil
	}
	applied, err := appliedDigest(kinds[c.Kind], c.live)
	if err != nil {
		return false, err
	}
	wanted, err := digestOf(c.want)
	return applied == wanted, err
}

// appliedDigest is the digest of what the API server records as applied by us to an object, with its present values.
func appliedDigest(of kind, object client.Object) (string, error) {
	if hasDigest(object) {
		return object.GetManagedFields()[0].FieldsV1.GetRawString(), nil
	}
	extracted, err := of.extract(object, FieldOwner)
	if err != nil {
		return "", fmt.Errorf("reading what was applied: %w", err)
	}
	applied, err := toMap(extracted)
	if err != nil {
		return "", fmt.Errorf("encoding what was applied: %w", err)
	}
	return digestOf(applied)
}

// digestOf is a digest of an apply configuration. Its members have one order in JSON, that of their names.
func digestOf(config map[string]any) (string, error) {
	encoded, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encoding an apply configuration: %w", err)
	}
	digest := sha256.Sum256(encoded)
	return string(digest[:]), nil
}

// toMap returns an apply configuration as JSON has it, without nulls, which mean nothing in it.
func toMap(config any) (map[string]any, error) {
	encoded, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	var decoded map[string]any
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		return nil, err
	}
	dropNulls(decoded)
	return decoded, nil
}

func dropNulls(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if member == nil {
				delete(value, name)
				continue
			}
			dropNulls(member)
		}
	case []any:
		for _, item := range value {
			dropNulls(item)
		}
	}
}

// list lists objects, which are the cache's own: nobody may change them.
func list(ctx context.Context, reader client.Reader, kind kind, options ...client.ListOption) ([]client.Object, error) {
	all := kind.newList()
	if err := reader.List(ctx, all, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(all)
	if err != nil {
		return nil, err
	}
	objects := make([]client.Object, 0, len(items))
	for _, item := range items {
		objects = append(objects, item.(client.Object))
	}
	return objects, nil
}
