package desired_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
)

func TestOfASecretIsRememberedWhatIsReadAgain(t *testing.T) {
	record := `{"routes":[{"consumers":[{"name":"search","keys":[{"id":"a","sha256":"aa"}]}]}]}` + "\n"
	config := `{"version":1,"ledger":{"url":"https://ledger"},` + record[1:]
	type data = map[string]string
	for what, secret := range map[string]struct {
		labels     map[string]string
		has, keeps data
	}{
		"one that delivers a key": {
			has:   data{"OPENAI_API_KEY": "mr-key", "OPENAI_BASE_URL": "http://chat/v1", "MODEL": "m"},
			keeps: data{"OPENAI_API_KEY": "mr-key"},
		},
		"a configuration": {has: data{"config.json": config}, keeps: data{"config.json": record}},
		"one that a gateway takes up": {
			labels: map[string]string{v1alpha1.LabelGateway: "shared"}, has: data{"config.json": config}, keeps: data{"config.json": config},
		},
		"one that cannot be read": {has: data{"config.json": "{"}, keeps: data{"config.json": "{"}},
		"an upstream's key":       {has: data{"api-key": "sk-key"}, keeps: data{"api-key": "sk-key"}},
		"an empty one":            {},
	} {
		t.Run(what, func(t *testing.T) {
			made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Labels: secret.labels}, Data: bytesOf(secret.has)}
			if diff := cmp.Diff(bytesOf(secret.keeps), desired.Remembered(made)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func bytesOf(texts map[string]string) map[string][]byte {
	if texts == nil {
		return nil
	}
	data := map[string][]byte{}
	for name, text := range texts {
		data[name] = []byte(text)
	}
	return data
}
