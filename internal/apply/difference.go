package apply

import (
	"context"
	"fmt"
	"reflect"

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
	extracted, err := kinds[c.Kind].extract(c.live, FieldOwner)
	if err != nil {
		return false, fmt.Errorf("reading what was applied to the %s: %w", c.Kind.Kind, err)
	}
	applied, err := toMap(extracted)
	if err != nil {
		return false, fmt.Errorf("encoding what was applied to the %s: %w", c.Kind.Kind, err)
	}
	return reflect.DeepEqual(applied, c.want), nil
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

func list(ctx context.Context, reader client.Reader, kind kind, options ...client.ListOption) ([]client.Object, error) {
	all := kind.newList()
	if err := reader.List(ctx, all, options...); err != nil {
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
