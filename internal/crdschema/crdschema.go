// Package crdschema checks manifests by the schemas and the CEL rules of our CRDs, with the API server's own code: what a cluster would
// refuse is refused with the same words where there is none.
package crdschema

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/config/crd"
)

const (
	// callCost and objectCost bound what one CEL rule, and all rules together, may cost, as the API server bounds them.
	callCost   = 1_000_000
	objectCost = 10_000_000
)

// Schema checks the manifests of one kind.
type Schema struct {
	// Version is the version that is stored, the only one that there is.
	Version    string
	validator  validation.SchemaValidator
	structural *structuralschema.Structural
	rules      *cel.Validator
}

// Load returns the schemas of all our kinds, by kind.
func Load() (map[string]*Schema, error) {
	files, err := crd.Bases.ReadDir("bases")
	if err != nil {
		return nil, fmt.Errorf("reading the CRDs: %w", err)
	}
	schemas := map[string]*Schema{}
	for _, file := range files {
		content, err := crd.Bases.ReadFile("bases/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the CRDs: %w", err)
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(content, &definition); err != nil {
			return nil, fmt.Errorf("reading the CRD %s: %w", file.Name(), err)
		}
		schema, err := newSchema(&definition)
		if err != nil {
			return nil, fmt.Errorf("the CRD %s: %w", file.Name(), err)
		}
		schemas[definition.Spec.Names.Kind] = schema
	}
	return schemas, nil
}

func newSchema(definition *apiextensionsv1.CustomResourceDefinition) (*Schema, error) {
	if len(definition.Spec.Versions) != 1 || definition.Spec.Versions[0].Schema == nil {
		return nil, errors.New("it must have one version, with a schema")
	}
	version := definition.Spec.Versions[0]
	var properties apiextensions.JSONSchemaProps
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &properties, nil)
	if err != nil {
		return nil, fmt.Errorf("converting its schema: %w", err)
	}
	schema := &Schema{Version: version.Name}
	if schema.validator, _, err = validation.NewSchemaValidator(&properties); err != nil {
		return nil, fmt.Errorf("reading its schema: %w", err)
	}
	if schema.structural, err = structuralschema.NewStructural(&properties); err != nil {
		return nil, fmt.Errorf("reading its structure: %w", err)
	}
	schema.rules = cel.NewValidator(schema.structural, true, callCost)
	return schema, nil
}

// Validate returns what the API server would find wrong with an object of the kind when it is created. As there, the rules are tried only
// on what has the right form.
func (s *Schema) Validate(ctx context.Context, object map[string]any) field.ErrorList {
	errs := validation.ValidateCustomResource(nil, object, s.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if len(errs) > 0 || s.rules == nil {
		return errs
	}
	broken, _ := s.rules.Validate(ctx, nil, s.structural, object, nil, objectCost)
	return broken
}
