package proxy

import (
	"errors"
	"strings"
	"time"
)

// maxKeyBytes bounds a key file; a larger one is some other file.
const maxKeyBytes = 16 << 10

// keyFiles reads the upstreams' API keys from the files that hold them.
type keyFiles = files[string]

func newKeyFiles(now func() time.Time) *keyFiles {
	return newFiles(now, "the upstream's key", maxKeyBytes, parseKey)
}

// parseKey returns the key in a file, without the white space around it.
func parseKey(content []byte) (string, error) {
	key := strings.TrimSpace(string(content))
	if err := checkKey(key); err != nil {
		return "", err
	}
	return key, nil
}

// checkKey refuses what cannot be sent in a header.
func checkKey(key string) error {
	if key == "" {
		return errors.New("is empty")
	}
	for _, char := range []byte(key) {
		if char <= ' ' || char >= 0x7f {
			return errors.New("holds white space or something that is no printable ASCII within the key")
		}
	}
	return nil
}
