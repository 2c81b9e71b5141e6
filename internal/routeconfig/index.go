package routeconfig

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// A configuration of many routes is delivered in parts, since no Secret holds all of it: an index, and the parts that it names by their
// hashes. A proxy takes up an index only with all of its parts, so that it serves one version as a whole, and the hash of the index is that
// of the version. Where a route stands depends on its name alone, so that a change of one route changes one part and the index.

// Parts is how many parts a configuration has that is delivered in parts, those without routes included.
const Parts = 16

// Index is what names the parts of a configuration.
type Index struct {
	// Top is the configuration without its routes.
	Top Config `json:"top"`
	// Parts are the hashes of the parts, as Hash makes them of what Split returns; empty for a part without routes.
	Parts []string `json:"parts"`
}

// Split returns a configuration as an index, encoded, and its parts by their hashes. Equal configurations have equal bytes.
func Split(config Config) (index []byte, parts map[string][]byte, err error) {
	var placed [Parts][]Route
	for _, route := range config.Routes {
		at := PartOf(route.Namespace, route.Name)
		placed[at] = append(placed[at], route)
	}
	whole := Index{Top: config, Parts: make([]string, Parts)}
	whole.Top.Routes = nil
	parts = map[string][]byte{}
	for i, routes := range placed {
		if len(routes) == 0 {
			continue
		}
		slices.SortFunc(routes, byName)
		part, err := encode(routes)
		if err != nil {
			return nil, nil, err
		}
		whole.Parts[i] = Hash(part)
		parts[whole.Parts[i]] = part
	}
	index, err = encode(whole)
	return index, parts, err
}

func byName(a, b Route) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// PartOf is the part that a route belongs to.
func PartOf(namespace, name string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(namespace + "/" + name)) // It never fails.
	return int(hash.Sum32() % Parts)
}

// PartName is the name of a part's Secret, by that of the index.
func PartName(index string, part int) string { return fmt.Sprintf("%s.%02d", index, part) }

// DecodeIndex reads an index, as strictly as Decode reads a configuration.
func DecodeIndex(encoded []byte) (Index, error) {
	var index Index
	if err := decodeStrictly(encoded, &index); err != nil {
		return Index{}, fmt.Errorf("decoding the index of the proxy configuration: %w", err)
	}
	switch {
	case len(index.Top.Routes) > 0:
		return Index{}, errors.New("the index of the proxy configuration: top.routes must be empty: routes are in the parts")
	case len(index.Parts) == 0 || len(index.Parts) > Parts:
		return Index{}, fmt.Errorf("the index of the proxy configuration: parts must be between 1 and %d", Parts)
	}
	if err := Validate(index.Top); err != nil {
		return Index{}, fmt.Errorf("the index of the proxy configuration: top.%w", err)
	}
	return index, nil
}

// Assembly puts configurations together from their parts. It keeps what it has decoded of the last one, so that a new version costs what
// is new in it. It is not to be used by several goroutines at once.
type Assembly struct{ decoded map[string][]Route }

// Join reads an index with its parts, by their hashes, as strictly as Decode reads a configuration. The parts have the content of their
// hashes.
func (a *Assembly) Join(encoded []byte, parts map[string][]byte) (Config, error) {
	index, err := DecodeIndex(encoded)
	if err != nil {
		return Config{}, err
	}
	config, decoded := index.Top, map[string][]Route{}
	for i, hash := range index.Parts {
		if hash == "" {
			continue
		}
		routes, known := a.decoded[hash]
		if !known {
			if err := decodeStrictly(parts[hash], &routes); err != nil {
				return Config{}, fmt.Errorf("decoding part %d of the proxy configuration: %w", i, err)
			}
		}
		decoded[hash] = routes
		config.Routes = append(config.Routes, routes...)
	}
	slices.SortFunc(config.Routes, byName)
	if err := Validate(config); err != nil {
		return Config{}, fmt.Errorf("proxy configuration: %w", err)
	}
	a.decoded = decoded
	return config, nil
}

func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encoding proxy configuration: %w", err)
	}
	return buffer.Bytes(), nil
}

func decodeStrictly(encoded []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the configuration")
	}
	return nil
}
