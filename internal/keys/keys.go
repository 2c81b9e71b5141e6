// Package keys makes the API keys of consumers and the names and hashes by which the rest of the system knows them. Only a
// consumer's own Secret ever has the key itself.
package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
)

const (
	// Prefix begins every key, so that a secret scanner can find a leaked one.
	Prefix = "mrk_"
	// randomBytes is how much randomness a key has: 256 bits, which nobody guesses.
	randomBytes = 32
	// bodyLength and checksumLength are the digits, in base 62, that randomBytes and a CRC-32 can need.
	bodyLength     = 43
	checksumLength = 6
	// idLength is how many hexadecimal digits of the hash name a key.
	idLength = 12
)

// New makes a key: Prefix, 43 characters of randomness, and 6 of checksum, which lets a scanner tell a key from a look-alike
// without asking anybody. The alphabet is 0-9, a-z, A-Z, so that a double click selects all of it. The error is random's.
func New(random io.Reader) (string, error) {
	var seed [randomBytes]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return "", fmt.Errorf("reading randomness for a key: %w", err)
	}
	body := base62(new(big.Int).SetBytes(seed[:]), bodyLength)
	return Prefix + body + checksum(body), nil
}

// WellFormed reports whether text is a key as New makes them, by its prefix, length and checksum.
func WellFormed(text string) bool {
	body, found := strings.CutPrefix(text, Prefix)
	return found && len(body) == bodyLength+checksumLength && checksum(body[:bodyLength]) == body[bodyLength:]
}

// Hash returns the SHA-256 of a key in hexadecimal: what a proxy compares. A key has 256 bits of randomness, so that a slow hash with a
// salt would add nothing.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// ID returns the name of a key in status, logs and metrics, such as k_7f3a09c2d41b: the beginning of its hash.
func ID(hash string) string {
	return "k_" + hash[:min(idLength, len(hash))]
}

func checksum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(Prefix+body)))), checksumLength)
}

// base62 writes number with exactly width digits.
func base62(number *big.Int, width int) string {
	text := number.Text(62)
	return strings.Repeat("0", width-len(text)) + text
}
