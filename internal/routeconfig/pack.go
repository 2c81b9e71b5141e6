package routeconfig

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// maxPart bounds what a part is unpacked to, in bytes. A packed part is below a Secret's 1 MiB, and hashes, which are most of it, do not
// pack to less than half.
const maxPart = 32 << 20

// Pack compresses a part.
func Pack(part []byte) ([]byte, error) {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(part); err != nil {
		return nil, fmt.Errorf("packing a part of the proxy configuration: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("packing a part of the proxy configuration: %w", err)
	}
	return buffer.Bytes(), nil
}

// Unpack returns the part that was packed. It is an error if that is not the one of the hash.
func Unpack(packed []byte, hash string) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking a part of the proxy configuration: %w", err)
	}
	part, err := io.ReadAll(io.LimitReader(reader, maxPart+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpacking a part of the proxy configuration: %w", err)
	case len(part) > maxPart:
		return nil, fmt.Errorf("a part of the proxy configuration has more than %d bytes", maxPart)
	case Hash(part) != hash:
		return nil, fmt.Errorf("a part of the proxy configuration has the hash %s instead of %s", Hash(part), hash)
	}
	return part, nil
}
