package local

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// deliverOne delivers the Secret of one consumer, with randomness that is all of one byte.
func deliverOne(t *testing.T, dir directory, randomness byte) (consumerSecret, map[string][]byte) {
	t.Helper()
	ring := &keyring{dir: dir, random: bytes.NewReader(bytes.Repeat([]byte{randomness}, 64)), pending: map[string]string{}}
	route := &v1alpha1.ModelRoute{}
	route.Namespace, route.Name = "ai", "chat"
	secret, err := ring.secretOf(consumerOf(route, v1alpha1.Consumer{Name: "search"}))
	if err != nil {
		t.Fatal(err)
	}
	delivered, err := ring.deliver([]consumerSecret{secret}, "http://127.0.0.1:8080/v1")
	if err != nil {
		t.Fatal(err)
	}
	return secret, delivered
}

func TestAKeyThatIsThereIsKept(t *testing.T) {
	dir := directory(t.TempDir())
	first, delivered := deliverOne(t, dir, 1)
	second, _ := deliverOne(t, dir, 2)
	if first.key != second.key || touched(delivered) {
		t.Error("there is another key")
	}
}

func TestAKeyThatIsNotDeliveredYetIsNotMadeTwice(t *testing.T) {
	ring := &keyring{dir: directory(t.TempDir()), random: bytes.NewReader(make([]byte, 32)), pending: map[string]string{}}
	route := &v1alpha1.ModelRoute{}
	route.Namespace, route.Name = "ai", "chat"
	for range 2 { // There is randomness for one key only.
		if _, err := ring.secretOf(consumerOf(route, v1alpha1.Consumer{Name: "search"})); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileThatIsNoSecretOfOursIsNotOverwritten(t *testing.T) {
	dir := directory(t.TempDir())
	secret, delivered := deliverOne(t, dir, 1)
	for name, content := range map[string]string{
		"a key of another making": "stringData: {OPENAI_API_KEY: sk-precious}\n",
		"no key":                  "stringData: {}\n",
		"no YAML":                 "{sk-precious",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(secret.path+".yaml", []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if !touched(delivered) {
				t.Error("it is not noticed")
			}
			ring := &keyring{dir: dir, pending: map[string]string{}}
			_, err := ring.secretOf(secret.holder)
			if err == nil || !strings.Contains(err.Error(), "delete the file to get a new key") || strings.Contains(err.Error(), "sk-precious") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFileIsReplacedAsAWholeAndOnlyItsOwnerReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "file")
	for _, content := range []string{"first", "second", "second"} {
		if err := replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != content || info.Mode() != 0o600 {
			t.Errorf("it has %q and mode %v, errors %v and %v", got, info.Mode(), err, statErr)
		}
		if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
			t.Errorf("there are %v, error %v, beside it", files, err)
		}
	}
}
