package workload

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// ReadKeys reads the keys of a JSON Web Key Set, as the API server publishes them, sorted by id: those by which signatures can be verified.
// Others are left out, since a set may have keys that are newer than this program. It is an error if the set cannot be read.
func ReadKeys(encoded []byte) ([]routeconfig.SigningKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(encoded, &set); err != nil {
		return nil, fmt.Errorf("reading the set of keys: %w", err)
	}
	var keys []routeconfig.SigningKey
	seen := map[string]bool{}
	for _, member := range set.Keys {
		key, usable := readKey(member)
		if usable && !seen[key.ID] {
			seen[key.ID] = true
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b routeconfig.SigningKey) int { return strings.Compare(a.ID, b.ID) })
	return keys, nil
}

func readKey(encoded json.RawMessage) (routeconfig.SigningKey, bool) {
	var read jose.JSONWebKey
	if err := json.Unmarshal(encoded, &read); err != nil || read.KeyID == "" || !read.IsPublic() || cmp.Or(read.Use, "sig") != "sig" {
		return routeconfig.SigningKey{}, false
	}
	public, err := x509.MarshalPKIXPublicKey(read.Key)
	if err != nil {
		return routeconfig.SigningKey{}, false
	}
	algorithm := cmp.Or(routeconfig.SigningAlgorithm(read.Algorithm), routeconfig.AlgorithmOf(read.Key))
	key := routeconfig.SigningKey{ID: read.KeyID, Algorithm: algorithm, PublicKey: public}
	_, err = key.Public()
	return key, err == nil
}
