package crdcel

import (
	"os"
	"path/filepath"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// walk calls visit for each property below schema, with its path.
func walk(path string, schema apiextensionsv1.JSONSchemaProps, visit func(string, apiextensionsv1.JSONSchemaProps)) {
	for name, property := range schema.Properties {
		visit(path+"."+name, property)
		walk(path+"."+name, property, visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(path+"[]", *schema.Items.Schema, visit)
	}
}

func readSchema(t *testing.T) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	content, err := os.ReadFile("../../config/crd/bases/modelroute.dev_modelroutes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &crd); err != nil {
		t.Fatal(err)
	}
	return *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func TestEveryFieldIsDocumentedForKubectlExplain(t *testing.T) {
	fields := 0
	walk("modelroute", readSchema(t), func(path string, property apiextensionsv1.JSONSchemaProps) {
		fields++
		if property.Description == "" && path != "modelroute.metadata" {
			t.Errorf("%s has no description", path)
		}
	})
	if fields < 50 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

func TestTheSpecHasNoSchemaDefaultsBecauseGitOpsToolsWouldSeeThemAsDrift(t *testing.T) {
	walk("modelroute.spec", readSchema(t).Properties["spec"], func(path string, property apiextensionsv1.JSONSchemaProps) {
		if property.Default != nil {
			t.Errorf("%s defaults to %s", path, property.Default.Raw)
		}
	})
}

func TestSamplesAreStoredExactlyAsTheyAreWritten(t *testing.T) {
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, sample := range append(samples, "testdata/largest.yaml") {
		written := &unstructured.Unstructured{}
		content, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(content, &written.Object); err != nil {
			t.Fatalf("%s: %v", sample, err)
		}
		if written.GetKind() != "ModelRoute" {
			continue
		}
		found = true
		stored := written.DeepCopy()
		stored.SetNamespace("default")
		if err := newClient(t).Create(t.Context(), stored, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", sample, err)
			continue
		}
		if !equality.Semantic.DeepEqual(normalised(t, written.Object["spec"]), normalised(t, stored.Object["spec"])) {
			t.Errorf("%s: stored as %v", sample, stored.Object["spec"])
		}
	}
	if !found {
		t.Fatal("no sample was found")
	}
}

// normalised takes a value through JSON, so that int64 and float64 of one number are alike.
func normalised(t *testing.T, value any) string {
	t.Helper()
	encoded, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
