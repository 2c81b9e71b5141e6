package configsource

import (
	"context"
	"fmt"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// parts are those of the last version that was put together, unpacked, by their hashes.
type parts map[string][]byte

// complete puts together the version of an index. It reads those of its parts that the last version did not have, each by its place and
// by its name in there, and keeps nothing else.
func (p *parts) complete(
	ctx context.Context, encoded []byte, read func(ctx context.Context, part int, name string) ([]byte, error),
) (Version, error) {
	index, err := routeconfig.DecodeIndex(encoded)
	if err != nil {
		return Version{}, err
	}
	whole := parts{}
	for i, hash := range index.Parts {
		if hash == "" {
			continue
		}
		if held, has := (*p)[hash]; has {
			whole[hash] = held
			continue
		}
		packed, err := read(ctx, i, hash+PartSuffix)
		if err != nil {
			return Version{}, fmt.Errorf("reading part %d of the configuration: %w", i, err)
		}
		if whole[hash], err = routeconfig.Unpack(packed, hash); err != nil {
			return Version{}, fmt.Errorf("reading part %d of the configuration: %w", i, err)
		}
	}
	*p = whole
	return Version{Encoded: encoded, Parts: whole}, nil
}
