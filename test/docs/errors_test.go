// Package docs_test holds the guide to the code: the errors that it lists, and the manifests that it shows.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// Whoever meets an error finds it on the page, and what the page lists exists.
func TestThePageOfErrorsHasTheCodesOfTheDataPlane(t *testing.T) {
	there := codes(t, "internal/openai", "internal/proxy")
	delete(there, "insufficient_quota") // It is what upstreams say, and clients get another word for it.
	compare(t, section(t, "errors.md", "What clients get"), there)
}

func TestThePageOfErrorsHasTheReasonsOfConditions(t *testing.T) {
	reasons := map[string]bool{}
	for name, value := range constants(parse(t, filepath.Join(root, "api/v1alpha1/conditions.go"))) {
		if strings.HasPrefix(name, "Reason") {
			reasons[value] = true
		}
	}
	text := section(t, "errors.md", "What a status says")
	_, wellText, found := strings.Cut(text, "When all is well")
	if !found {
		t.Fatal("the page does not say what the reasons are when all is well")
	}
	for _, match := range regexp.MustCompile("`([A-Z][A-Za-z]+)`").FindAllStringSubmatch(wellText, -1) {
		if !reasons[match[1]] {
			t.Errorf("there is no reason %s", match[1])
		}
		delete(reasons, match[1])
	}
	compare(t, text, reasons)
}

// compare holds the first column of the tables to what there is.
func compare(t *testing.T, text string, want map[string]bool) {
	t.Helper()
	if len(want) < 30 {
		t.Fatalf("this test finds only %d", len(want))
	}
	listed := map[string]bool{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		first := strings.Split(line, "|")[1]
		for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			if listed[match[1]] {
				t.Errorf("docs/errors.md lists %s twice", match[1])
			}
			listed[match[1]] = true
			if !want[match[1]] {
				t.Errorf("docs/errors.md lists %s, which there is not", match[1])
			}
		}
	}
	for one := range want {
		if !listed[one] {
			t.Errorf("docs/errors.md does not say what %s means and what to do", one)
		}
	}
}

// section is the text of a page below a heading of the second level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/%s has no heading %q", page, heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// codes are those that packages give to errors: their constants that begin with code, and what they write out in calls that take one.
func codes(t *testing.T, packages ...string) map[string]bool {
	t.Helper()
	// takers are the functions that take a code, with the place among their arguments.
	takers := map[string]int{"coded": 1, "newError": 2, "UpstreamError": 1, "badGateway": 0, "failed": 1}
	found := map[string]bool{}
	for _, folder := range packages {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("there is nothing in %s: %v", folder, err)
		}
		files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
		for _, file := range files {
			parsed := parse(t, file)
			for name, value := range constants(parsed) {
				if strings.HasPrefix(name, "code") || strings.HasPrefix(name, "Code") {
					found[value] = true
				}
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				call, isCall := node.(*ast.CallExpr)
				if !isCall {
					return true
				}
				if place, takes := takers[calledName(call)]; takes && place < len(call.Args) {
					if code := literal(call.Args[place]); code != "" {
						found[code] = true
					}
				}
				return true
			})
		}
	}
	return found
}

func calledName(call *ast.CallExpr) string {
	switch called := call.Fun.(type) {
	case *ast.Ident:
		return called.Name
	case *ast.SelectorExpr:
		return called.Sel.Name
	}
	return ""
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// constants are the texts that a file declares, by their names.
func constants(parsed *ast.File) map[string]string {
	texts := map[string]string{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		if spec, isValue := node.(*ast.ValueSpec); isValue && len(spec.Values) == 1 {
			if text := literal(spec.Values[0]); text != "" {
				texts[spec.Names[0].Name] = text
			}
		}
		return true
	})
	return texts
}

// literal is the value of a text that is written out; empty for anything else.
func literal(node ast.Expr) string {
	basic, isLiteral := node.(*ast.BasicLit)
	if !isLiteral || basic.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(basic.Value)
	return text
}
