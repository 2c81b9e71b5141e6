package crdcel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// CEL cannot see fields that may be of any type; the operator checks these itself.
var unseenByCEL = []string{"tool_choice", "tools"}

func TestNoParameterCanBeInDefaultsAndInOverrides(t *testing.T) {
	parameters := readSchema(t, "modelroute").Properties["spec"].Properties["parameters"]
	at := slices.IndexFunc(parameters.XValidations, func(rule apiextensionsv1.ValidationRule) bool {
		return strings.Contains(rule.Message, "in defaults and in overrides")
	})
	if at < 0 {
		t.Fatal("the rule is gone")
	}
	for name := range parameters.Properties["defaults"].Properties {
		pair := fmt.Sprintf("has(self.defaults.%s) && has(self.overrides.%s)", name, name)
		if strings.Contains(parameters.XValidations[at].Rule, pair) == slices.Contains(unseenByCEL, name) {
			t.Errorf("the rule is wrong about %s", name)
		}
	}
}

// YAML 1.1, which kubectl reads, takes these keys for true and false.
func TestNoFieldIsABooleanToYAML(t *testing.T) {
	walk("", readSchema(t, "modelroute"), func(path string, _ apiextensionsv1.JSONSchemaProps) {
		name := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
		if slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false"}, name) {
			t.Errorf("%s cannot be written without quotes", path)
		}
	})
}
