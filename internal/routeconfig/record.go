package routeconfig

import (
	"encoding/json"
	"fmt"
)

// record is what the operator reads again of a configuration that it has delivered.
type record struct {
	Routes []recordedRoute `json:"routes"`
}

type recordedRoute struct {
	Consumers []recordedConsumer `json:"consumers"`
}

type recordedConsumer struct {
	Name string `json:"name"`
	Keys []Key  `json:"keys,omitempty"`
}

// KeysOfRecord returns the accepted keys of a configuration, by the consumer's name. It is lenient, unlike Decode: a field that a newer
// version has added must not cost every consumer its key. An error says that it cannot be read at all.
func KeysOfRecord(encoded []byte) (map[string][]Key, error) {
	record, err := readRecord(encoded)
	if err != nil {
		return nil, err
	}
	keys := map[string][]Key{}
	for _, route := range record.Routes {
		for _, consumer := range route.Consumers {
			keys[consumer.Name] = consumer.Keys
		}
	}
	return keys, nil
}

// Record returns what KeysOfRecord reads of a configuration, encoded: a small part of it, which no proxy takes.
func Record(encoded []byte) ([]byte, error) {
	record, err := readRecord(encoded)
	if err != nil {
		return nil, err
	}
	return encode(record)
}

func readRecord(encoded []byte) (record, error) {
	var its record
	if err := json.Unmarshal(encoded, &its); err != nil {
		return record{}, fmt.Errorf("reading the keys of record: %w", err)
	}
	return its, nil
}
