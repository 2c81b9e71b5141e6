package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/crdschema"
	"github.com/modelroute/modelroute/test/guide"
)

// Whoever copies a manifest out of the guide has one that the API server takes.
func TestTheManifestsOfTheGuideAreValid(t *testing.T) {
	schemas, err := crdschema.Load()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range pages(t) {
		for _, block := range yamlBlocks(t, page) {
			for document := range strings.SplitSeq(block.Text, "---\n") {
				problem, isOurs := check(t.Context(), schemas, document)
				if !isOurs {
					continue
				}
				checked++
				if problem != "" {
					t.Errorf("%s:%d: %s", page, block.Line, problem)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("this test finds only %d manifests", checked)
	}
}

func TestAManifestThatIsWrongIsFound(t *testing.T) {
	schemas, err := crdschema.Load()
	if err != nil {
		t.Fatal(err)
	}
	const budget = "apiVersion: modelroute.dev/v1alpha1\nkind: TeamBudget\nmetadata: {name: search}\nspec:\n  namespaceSelector: {}\n  budgets:\n"
	tests := map[string]struct{ manifest, want string }{
		"whole":            {budget + "  - {name: monthly, amount: \"500.00\", window: {period: Month}, enforcement: Deny}\n", ""},
		"a misspelt field": {budget + "  - {name: monthly, amuont: \"500.00\", window: {period: Month}, enforcement: Deny}\n", "amuont"},
		"a wrong value":    {budget + "  - {name: monthly, amount: \"500.00\", window: {period: Fortnight}, enforcement: Deny}\n", "Fortnight"},
		"a broken rule": {
			budget + "  - {name: monthly, amount: \"500.00\", window: {period: Total, timeZone: Europe/Berlin}, enforcement: Deny}\n",
			"timeZone has no meaning for the period Total",
		},
		"a kind that there is not": {"apiVersion: modelroute.dev/v1alpha1\nkind: ModelRuote\nspec: {}\n", "there is no kind ModelRuote"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problem, isOurs := check(t.Context(), schemas, test.manifest)
			if !isOurs || (test.want == "") != (problem == "") || !strings.Contains(problem, test.want) {
				t.Errorf("got %q, want %q", problem, test.want)
			}
		})
	}
}

// check says what is wrong with a manifest, and whether it is a whole one of our kinds. What has no model or upstreams where a route needs
// both is an excerpt of a route.
func check(ctx context.Context, schemas map[string]*crdschema.Schema, manifest string) (problem string, isOurs bool) {
	encoded, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		return "", false // An excerpt, with dots in it or a template.
	}
	var object map[string]any
	if err := utiljson.Unmarshal(encoded, &object); err != nil { // It keeps integers integers, which the CRDs' rules tell from other numbers.
		return "", false
	}
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	spec, hasSpec := object["spec"].(map[string]any)
	if !strings.HasPrefix(version, v1alpha1.GroupVersion.Group+"/") || !hasSpec {
		return "", false
	}
	if kind == "ModelRoute" && spec["model"] == nil && spec["upstreams"] == nil {
		return "", false
	}
	schema, isKind := schemas[kind]
	if !isKind {
		return "there is no kind " + kind, true
	}
	if err := decode(kind, encoded); err != nil {
		return err.Error(), true
	}
	if errs := schema.Validate(ctx, object); len(errs) > 0 {
		return errs.ToAggregate().Error(), true
	}
	return "", true
}

// decode fails on fields that the kind does not have, which a schema passes over.
func decode(kind string, encoded []byte) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("knowing the kinds: %w", err)
	}
	typed, err := scheme.New(v1alpha1.GroupVersion.WithKind(kind))
	if err != nil {
		return fmt.Errorf("making a %s: %w", kind, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	return decoder.Decode(typed)
}

func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(found) == 0 {
		t.Fatalf("there are no pages: %v", err)
	}
	return append(found, filepath.Join(root, "README.md"), filepath.Join(root, "charts/modelroute/README.md"))
}

func yamlBlocks(t *testing.T, page string) []guide.Block {
	t.Helper()
	sections, err := guide.Read(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []guide.Block
	for _, section := range sections {
		for _, block := range section.Blocks {
			if block.Language == "yaml" || block.Language == "yml" {
				found = append(found, block)
			}
		}
	}
	return found
}
