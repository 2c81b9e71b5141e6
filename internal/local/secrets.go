package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// secretFile is the part of a consumer's Secret that its file has.
type secretFile struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Type       corev1.SecretType `json:"type,omitempty"`
	StringData map[string]string `json:"stringData"`
}

// holder is who a key is for: a consumer of a route, or a ModelKey.
type holder struct {
	// namespace and secretName are those of the Secret, and labels the ones that tell whose it is.
	namespace, secretName string
	labels                map[string]string
	// name is that of the consumer, or of the ModelKey as a consumer.
	name string
	// routes are those that the key is for.
	routes []*v1alpha1.ModelRoute
}

func consumerOf(route *v1alpha1.ModelRoute, consumer v1alpha1.Consumer) holder {
	return holder{
		namespace: route.Namespace, secretName: compile.SecretName(route, consumer), name: consumer.Name,
		labels: map[string]string{v1alpha1.LabelRoute: route.Name, v1alpha1.LabelConsumer: consumer.Name},
		routes: []*v1alpha1.ModelRoute{route},
	}
}

func modelKeyOf(key *v1alpha1.ModelKey, routes []*v1alpha1.ModelRoute) holder {
	return holder{
		namespace: key.Namespace, secretName: compile.KeySecretName(key), name: compile.KeyConsumerName(key.Namespace, key.Name),
		labels: map[string]string{v1alpha1.LabelModelKey: key.Name}, routes: routes,
	}
}

// consumerSecret is the Secret of a holder, as it is to be delivered.
type consumerSecret struct {
	holder
	// path is that of its files, without what follows the point.
	path string
	key  string
}

// keyring finds and makes the keys of consumers.
type keyring struct {
	dir    directory
	random io.Reader
	// pending are the keys that are made and not delivered yet, by the path of the Secret. A key is delivered when the proxy accepts it.
	pending map[string]string
}

// secretOf returns the Secret of a holder, with the key that its file has or a new one.
func (k *keyring) secretOf(of holder) (consumerSecret, error) {
	secret := consumerSecret{holder: of, path: k.dir.secret(of.namespace, of.secretName)}
	var err error
	if secret.key, err = readConsumerKey(secret.path + ".yaml"); err != nil || secret.key != "" {
		return secret, err
	}
	if secret.key = k.pending[secret.path]; secret.key != "" {
		return secret, nil
	}
	if secret.key, err = keys.New(k.random); err != nil {
		return secret, err
	}
	k.pending[secret.path] = secret.key
	return secret, nil
}

// readConsumerKey returns the key in a Secret's file; empty if there is no file. The errors do not have the key.
func readConsumerKey(path string) (string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading a consumer's key: %w", err)
	}
	var file secretFile
	if err := yaml.Unmarshal(content, &file); err != nil || !keys.WellFormed(file.StringData[desired.ConsumerKeyAPIKey]) {
		return "", fmt.Errorf("%s has no key as ModelRoute makes them under stringData.%s: delete the file to get a new key",
			path, desired.ConsumerKeyAPIKey)
	}
	return file.StringData[desired.ConsumerKeyAPIKey], nil
}

// accepted is what the proxy is told of the key.
func (s consumerSecret) accepted() routeconfig.Key {
	hash := keys.Hash(s.key)
	return routeconfig.Key{ID: keys.ID(hash), SHA256: hash}
}

// contents are the Secret's two files, by path.
func (s consumerSecret) contents(baseURL string) (map[string][]byte, error) {
	file := secretFile{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Type: corev1.SecretTypeOpaque}
	file.Metadata.Name, file.Metadata.Namespace = s.secretName, s.namespace
	file.Metadata.Labels = maps.Clone(s.labels)
	file.Metadata.Labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	access := make([]desired.Access, 0, len(s.routes))
	for _, route := range s.routes {
		access = append(access, desired.Access{BaseURL: baseURL, Model: compile.ModelName(route)})
	}
	file.StringData = map[string]string{}
	var environment strings.Builder
	for _, one := range desired.Variables(s.key, access) {
		file.StringData[one.Name] = one.Value
		// The schema and the listener leave nothing in any value that a shell would take for more than a letter.
		fmt.Fprintf(&environment, "%s=%s\n", one.Name, one.Value)
	}
	encoded, err := yaml.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("encoding Secret %s: %w", s.secretName, err)
	}
	return map[string][]byte{s.path + ".yaml": encoded, s.path + ".env": []byte(environment.String())}, nil
}

// deliver writes the Secrets, and returns what the files have.
func (k *keyring) deliver(secrets []consumerSecret, baseURL string) (map[string][]byte, error) {
	delivered := map[string][]byte{}
	for _, secret := range secrets {
		contents, err := secret.contents(baseURL)
		if err != nil {
			return nil, err
		}
		for path, content := range contents {
			if err := replace(path, content); err != nil {
				return nil, fmt.Errorf("delivering a consumer's Secret: %w", err)
			}
		}
		delete(k.pending, secret.path)
		maps.Copy(delivered, contents)
	}
	return delivered, nil
}

// touched reports whether somebody has changed or deleted a file that was delivered: whoever deletes a Secret wants a new key.
func touched(delivered map[string][]byte) bool {
	for path, content := range delivered {
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
			return true
		}
	}
	return false
}
