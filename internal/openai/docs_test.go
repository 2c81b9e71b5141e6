package openai

import (
	goflag "flag" // usage.go has a flag of its own
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = goflag.Bool("update", false, "write the tables of docs/parameters.md anew")

const parametersPage = "../../docs/parameters.md"

// The page's tables stand between these marks, with the name of the table in the first.
const (
	tableBegin = "<!-- table %s: make docs writes it -->\n"
	tableEnd   = "<!-- end -->\n"
)

func TestThePageOfParametersSaysWhatTheCodeDoes(t *testing.T) {
	content, err := os.ReadFile(parametersPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	tables := map[string]string{"owned": ownedTable()}
	for _, operation := range operations {
		tables[operation.Path] = operationTable(operation)
	}
	for name, rows := range tables {
		before, rest, found := strings.Cut(page, fmt.Sprintf(tableBegin, name))
		_, after, ended := strings.Cut(rest, tableEnd)
		if !found || !ended {
			t.Fatalf("%s has no place for the table %s", parametersPage, name)
		}
		page = before + fmt.Sprintf(tableBegin, name) + "\n" + rows + "\n" + tableEnd + after
	}
	if *update {
		if err := os.WriteFile(parametersPage, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(page, string(content)); diff != "" {
		t.Errorf("%s is stale, run make docs (-want +got):\n%s", parametersPage, diff)
	}
}

// operationTable has the parameters of an operation but for those that are the route's in all of them.
func operationTable(operation *Operation) string {
	var out strings.Builder
	out.WriteString("| Parameter | What it may be | Listed as | A route can set it | What it does |\n| --- | --- | --- | --- | --- |\n")
	for i := range operation.parameters.list {
		p := &operation.parameters.list[i]
		if p.role == owned && slices.ContainsFunc(ownedParameters, func(o parameter) bool { return o.name == p.name }) {
			continue
		}
		fmt.Fprintf(&out, "| `%s`%s | %s | %s | %s | %s |\n",
			p.name, providersOf(p), ranges(p), listedAs(p), settableAs(operation, p), p.about)
		for _, part := range p.parts {
			fmt.Fprintf(&out, "| `%s.%s`%s | %s | %s |  | %s |\n", p.name, part.name, providersOf(p), part.want, anyName(part.listedAs), part.about)
		}
	}
	return out.String()
}

func ownedTable() string {
	var out strings.Builder
	out.WriteString("| Parameter | Why it is the route's |\n| --- | --- |\n")
	for i := range ownedParameters {
		fmt.Fprintf(&out, "| `%s` | %s |\n", ownedParameters[i].name, ownedParameters[i].about)
	}
	return out.String()
}

// providersOf names the providers whose references have the parameter, unless all have it.
func providersOf(p *parameter) string {
	if p.from == everyone || p.from == 0 {
		return ""
	}
	var names []string
	for _, provider := range []struct {
		is   Provider
		name string
	}{{OpenAI, "OpenAI"}, {OpenRouter, "OpenRouter"}, {Mistral, "Mistral"}} {
		if p.from&provider.is != 0 {
			names = append(names, provider.name)
		}
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func ranges(p *parameter) string {
	text := p.want
	switch {
	case p.role == owned:
		text = "null: it is the route's"
	case text == "":
		text = "anything"
	}
	for _, provider := range []Provider{OpenAI, OpenRouter, Mistral} {
		if rule, narrower := p.narrower[provider]; narrower && rule.want != p.want {
			text += fmt.Sprintf("; at %s %s", strings.Trim(providersOf(&parameter{from: provider}), " ()"), rule.want)
		}
	}
	return text
}

func listedAs(p *parameter) string {
	if !p.listed {
		return "–"
	}
	return anyName(append([]string{p.name}, slices.DeleteFunc(slices.Clone(p.impliedBy), func(name string) bool { return name == p.name })...))
}

func anyName(names []string) string { return "`" + strings.Join(names, "` or `") + "`" }

// settableAs says whether a route can set a parameter, and under which name if that is another one.
func settableAs(operation *Operation, p *parameter) string {
	switch {
	case p.settable:
		return "yes"
	case operation.setting(routesLimit) == p:
		return "as `" + routesLimit + "`"
	}
	return ""
}
