package controllers

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Whoever meets a condition, a reason or an event in a status finds it on the page.
func TestThePageOfConditionsHasThemAll(t *testing.T) {
	page, err := os.ReadFile("../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for file, prefixes := range map[string][]string{
		"../api/v1alpha1/conditions.go": {"Condition", "Reason"}, "events.go": {"event"},
	} {
		for name, value := range constants(t, file) {
			for _, prefix := range prefixes {
				if !strings.HasPrefix(name, prefix) {
					continue
				}
				found++
				if !strings.Contains(string(page), "`"+value+"`") {
					t.Errorf("docs/status.md does not say what %s means", value)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("this test finds only %d constants", found)
	}
}

// constants are the constant texts that a file declares, by their names.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, isValue := node.(*ast.ValueSpec)
		if !isValue || len(spec.Values) != 1 {
			return true
		}
		if literal, isText := spec.Values[0].(*ast.BasicLit); isText && literal.Kind == gotoken.STRING {
			texts[spec.Names[0].Name], _ = strconv.Unquote(literal.Value)
		}
		return true
	})
	return texts
}
