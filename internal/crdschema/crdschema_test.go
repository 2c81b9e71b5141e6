package crdschema_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/internal/crdschema"
)

// rules are the cases that test/crdcel tries on a real API server.
const rules = "../../test/crdcel/testdata"

type ruleFile struct {
	Base           string
	Accept, Reject []struct {
		Why, Message string
		Patch        json.RawMessage
	}
}

func TestWhatTheAPIServerAcceptsAndRefusesIsAcceptedAndRefusedHere(t *testing.T) {
	schemas, err := crdschema.Load()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(rules, "rule-*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no rules: %v", err)
	}
	for _, file := range files {
		var rule ruleFile
		if err := json.Unmarshal(readYAML(t, file), &rule); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		base := readYAML(t, filepath.Join(rules, cmp.Or(rule.Base, "base.yaml")))
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, accepted := range rule.Accept {
				if problem := check(t, schemas, base, accepted.Patch); problem != "" {
					t.Errorf("%s is refused: %s", accepted.Why, problem)
				}
			}
			for _, refused := range rule.Reject {
				problem := check(t, schemas, base, refused.Patch)
				// What the schema does not know is found when the manifest is decoded.
				if !strings.Contains(refused.Message, "unknown field") && !strings.Contains(problem, refused.Message) {
					t.Errorf("%s: got %q, want %q", refused.Why, problem, refused.Message)
				}
			}
		})
	}
}

func check(t *testing.T, schemas map[string]*crdschema.Schema, base, patch []byte) string {
	t.Helper()
	merged, err := jsonpatch.MergePatch(base, patch)
	if err != nil {
		t.Fatal(err)
	}
	route := &unstructured.Unstructured{}
	if err := route.UnmarshalJSON(merged); err != nil {
		t.Fatal(err)
	}
	errs := schemas[route.GetKind()].Validate(t.Context(), route.Object)
	if len(errs) == 0 {
		return ""
	}
	return errs.ToAggregate().Error()
}

func readYAML(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := yaml.YAMLToJSON(content)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}
