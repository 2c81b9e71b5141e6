// Package crdcel holds the schema and the CEL rules of the API to one file per rule, on a real API server: what is accepted, what
// is refused, and with which words.
package crdcel

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// server is the API server that all tests of the package share.
var server *rest.Config

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run exists because os.Exit would skip its deferred stop.
func run(m *testing.M) int {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	if err != nil {
		_, _ = os.Stderr.WriteString("starting the API server: " + err.Error() + "\n")
		return 1
	}
	defer func() { _ = environment.Stop() }()
	server = config
	return m.Run()
}

// ruleFile is one file of testdata. Each case is a JSON merge patch onto its base, which is base.yaml, a route, unless it names another.
type ruleFile struct {
	Rule   string     `json:"rule"`
	Base   string     `json:"base,omitempty"`
	Accept []ruleCase `json:"accept"`
	Reject []ruleCase `json:"reject"`
}

type ruleCase struct {
	Why string `json:"why"`
	// Message is a part of the refusal's text, without which the refusal does not count.
	Message string          `json:"message,omitempty"`
	Patch   json.RawMessage `json:"patch"`
}

func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/rule-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules found (%v)", err)
	}
	for _, file := range files {
		var rule ruleFile
		if err := json.Unmarshal(readYAML(t, filepath.Base(file)), &rule); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(rule.Accept) == 0 || len(rule.Reject) == 0 {
			t.Errorf("%s must have at least one case that is accepted and one that is refused", file)
		}
		base := readYAML(t, cmp.Or(rule.Base, "base.yaml"))
		t.Run(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "rule-"), ".yaml"), func(t *testing.T) {
			for _, accepted := range rule.Accept {
				t.Run("accepts "+accepted.Why, func(t *testing.T) {
					if err := create(t, base, accepted.Patch); err != nil {
						t.Errorf("refused: %v", err)
					}
				})
			}
			for _, rejected := range rule.Reject {
				t.Run("rejects "+rejected.Why, func(t *testing.T) {
					err := create(t, base, rejected.Patch)
					if err == nil {
						t.Fatal("accepted")
					}
					if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), rejected.Message) || rejected.Message == "" {
						t.Errorf("refused for another reason: want %q in %v", rejected.Message, err)
					}
				})
			}
		})
	}
}

// create sends the patched base to the API server as kubectl does, with strict field validation, as a dry run.
func create(t *testing.T, base, patch []byte) error {
	t.Helper()
	merged, err := jsonpatch.MergePatch(base, patch)
	if err != nil {
		t.Fatalf("patching the base: %v", err)
	}
	route := &unstructured.Unstructured{}
	if err := route.UnmarshalJSON(merged); err != nil {
		t.Fatalf("reading the patched base: %v", err)
	}
	return newClient(t).Create(t.Context(), route, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	kube, err := client.New(server, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

func readYAML(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	converted, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return converted
}
