package keys_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/keys"
)

func TestEveryKeyIsWellFormedWhateverTheRandomness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")
		key, err := keys.New(bytes.NewReader(seed))
		if err != nil {
			t.Fatal(err)
		}
		if !keys.WellFormed(key) {
			t.Fatalf("key of seed %x is not well-formed", seed)
		}
	})
}

func TestKeysOfTheSmallestAndTheLargestSeedHaveTheSameLength(t *testing.T) {
	for name, seed := range map[string]byte{"all zeros": 0, "all ones": 0xff} {
		key, err := keys.New(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		if want := len(keys.Prefix) + 43 + 6; len(key) != want {
			t.Errorf("%s: key has %d characters, want %d", name, len(key), want)
		}
	}
}

func TestAChangedCharacterIsNoticed(t *testing.T) {
	key, err := keys.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(key) {
		replacement := byte('a')
		if key[i] == 'a' {
			replacement = 'b'
		}
		if changed := key[:i] + string(replacement) + key[i+1:]; keys.WellFormed(changed) {
			t.Errorf("a key with another character at position %d passes for a key", i)
		}
	}
	for reason, text := range map[string]string{"empty": "", "only the prefix": keys.Prefix, "cut short": key[:len(key)-1], "too long": key + "0"} {
		if keys.WellFormed(text) {
			t.Errorf("%s: passes for a key", reason)
		}
	}
}

func TestNoKeyIsMadeWithoutRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	if _, err := keys.New(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
	if _, err := keys.New(io.LimitReader(rand.Reader, 31)); err == nil {
		t.Error("31 bytes of randomness were enough for a key")
	}
}

func TestTheIDIsTheBeginningOfTheHashAndNotOfTheKey(t *testing.T) {
	key, err := keys.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := keys.ID(keys.Hash(key))
	if !strings.HasPrefix(keys.Hash(key), strings.TrimPrefix(id, "k_")) || strings.Contains(key, strings.TrimPrefix(id, "k_")) {
		t.Errorf("id %s of hash %s", id, keys.Hash(key))
	}
}
