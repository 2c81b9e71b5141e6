package sdk

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
)

const page = "../../docs/clients.md"

// snippets are the pieces of code on the page that are in a language.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```\n").FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	if len(found) == 0 {
		t.Fatalf("%s shows nothing in %s", page, language)
	}
	return found
}

// imported is the SDK that a piece of JavaScript begins with.
var imported = regexp.MustCompile(`from '([^']+)'`)

func TestThePagesJavaScriptRunsAsItStands(t *testing.T) {
	w := begin(t)
	for _, snippet := range snippets(t, "js") {
		t.Run(imported.FindStringSubmatch(snippet)[1], func(t *testing.T) {
			command := node(t, w, "--input-type=module", "-")
			command.Stdin = strings.NewReader(snippet)
			var problems strings.Builder
			command.Stderr = &problems
			output, err := command.Output()
			if err != nil || len(strings.TrimSpace(string(output))) < 10 {
				t.Errorf("%v, and it says %q\n%s", err, output, &problems)
			}
		})
	}
	w.BooksAgree()
}

func explain(ctx context.Context) (string, error) {
	client := openai.NewClient()
	answer, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
		Model:    os.Getenv("MODEL"),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Explain quantum entanglement in one sentence.")},
	})
	if err != nil {
		return "", fmt.Errorf("asking for an explanation: %w", err)
	}
	return answer.Choices[0].Message.Content, nil
}

func TestThePagesGoRunsAsItStands(t *testing.T) {
	w := begin(t)
	for _, variable := range environment(w) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	if text, err := explain(t.Context()); err != nil || text == "" {
		t.Errorf("%q, %v", text, err)
	}
	source, err := os.ReadFile("snippet_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, snippet := range snippets(t, "go") {
		if !strings.Contains(string(source), snippet) {
			t.Errorf("this is on the page and not in this test:\n%s", snippet)
		}
	}
	w.BooksAgree()
}

// TestThePageNamesTheVersionsThatAreTested holds the page's table to the locked versions.
func TestThePageNamesTheVersionsThatAreTested(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	row := func(name string) string {
		for line := range strings.Lines(string(text)) {
			if first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |"); strings.Contains(first, "`"+name+"`") {
				return line
			}
		}
		return ""
	}
	versions := regexp.MustCompile(`"(openai|ai|@\S+/\S+)": "(\d[^"]*)"|(github.com/openai/openai-go/v3) v(\S+)`)
	helpers := map[string]bool{"@langchain/core": true}
	for _, match := range versions.FindAllStringSubmatch(string(wanted)+string(modules), -1) {
		name, version := match[1]+match[3], match[2]+match[4]
		if !helpers[name] && !strings.Contains(row(name), version) {
			t.Errorf("%s does not say that %s is tested in version %s", page, name, version)
		}
	}
}
