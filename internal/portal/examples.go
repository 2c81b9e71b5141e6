package portal

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

// Example is code that asks the model, to be copied.
type Example struct {
	// ID names it within the page, Language is for people.
	ID, Language string
	Code         string
	// Needs is what has to be installed first, as a command; empty for nothing.
	Needs string
}

// examples are written by text/template, since they are no HTML. What is put into them is checked before: see isSafe.
//
//go:embed examples
var exampleFiles embed.FS

var exampleTemplates = template.Must(template.ParseFS(exampleFiles, "examples/*"))

// languages are in the order in which they are shown.
var languages = []Example{
	{ID: "curl", Language: "curl"},
	{ID: "python", Language: "Python", Needs: "pip install openai"},
	{ID: "typescript", Language: "TypeScript", Needs: "npm install openai"},
	{ID: "go", Language: "Go", Needs: "go get github.com/openai/openai-go/v3"},
}

// examples are the same request in each language. The path is that of the operation below the base URL; of paths that have no examples
// there are none.
func examples(baseURL, model, path string) ([]Example, error) {
	kind := strings.ReplaceAll(strings.Trim(path, "/"), "/", "-")
	var made []Example
	for _, example := range languages {
		written := exampleTemplates.Lookup(kind + "." + example.ID + ".tmpl")
		if written == nil || !isSafe(baseURL, model) {
			continue
		}
		var code strings.Builder
		if err := written.Execute(&code, map[string]string{"BaseURL": baseURL, "Model": model}); err != nil {
			return nil, fmt.Errorf("writing the example in %s: %w", example.Language, err)
		}
		example.Code = strings.TrimSuffix(code.String(), "\n")
		made = append(made, example)
	}
	return made, nil
}

// plainURL and plainModel leave no character that a shell or a language would take for more than a letter.
var (
	plainURL   = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?$`)
	plainModel = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$`)
)

// isSafe reports whether both mean in code what they say. People copy examples into a shell, and a status is written by whoever may.
func isSafe(baseURL, model string) bool {
	return plainURL.MatchString(baseURL) && plainModel.MatchString(model)
}
