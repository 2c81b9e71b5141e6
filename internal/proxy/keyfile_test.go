package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeKey replaces the file as the kubelet does, by a rename.
func writeKey(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestAKeyFileIsReadAgainASecondLater(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	path := filepath.Join(t.TempDir(), "key")
	keys := newKeyFiles(func() time.Time { return now })
	expect := func(want string) {
		t.Helper()
		if got, err := keys.read(path); err != nil || got != want {
			t.Fatalf("read = %q, %v, want %q", got, err, want)
		}
	}
	writeKey(t, path, "  first\n")
	expect("first")
	writeKey(t, path, "second")
	expect("first")
	now = now.Add(fileCheckInterval)
	expect("second")
	writeKey(t, path, "")
	now = now.Add(fileCheckInterval)
	if got, err := keys.read(path); err == nil {
		t.Fatalf("an empty file was read as %q", got)
	}
	writeKey(t, path, "third")
	now = now.Add(fileCheckInterval)
	expect("third")
}

func TestAKeyThatCannotBeSentIsNotNamedInTheError(t *testing.T) {
	cases := map[string]string{
		"an empty file":        "",
		"only white space":     " \n\t",
		"two lines":            "sk-one\nsk-two",
		"a control character":  "sk-\x01two",
		"something not ASCII":  "sk-é",
		"far too much content": strings.Repeat("sk-", maxKeyBytes),
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			writeKey(t, path, content)
			got, err := newKeyFiles(time.Now).read(path)
			if err == nil {
				t.Fatalf("read = %q without an error", got)
			}
			if strings.Contains(err.Error(), "sk-") || !strings.Contains(err.Error(), path) {
				t.Errorf("the error should name the file and not its content: %v", err)
			}
		})
	}
}

func TestAMissingKeyFileIsAnErrorUntilItIsThere(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	path := filepath.Join(t.TempDir(), "key")
	keys := newKeyFiles(func() time.Time { return now })
	if got, err := keys.read(path); err == nil {
		t.Fatalf("a missing file was read as %q", got)
	}
	writeKey(t, path, "key")
	now = now.Add(fileCheckInterval)
	if got, err := keys.read(path); err != nil || got != "key" {
		t.Fatalf("read = %q, %v", got, err)
	}
}
