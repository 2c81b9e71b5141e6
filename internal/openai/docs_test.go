package openai

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/pagetest"
)

func TestThePageOfParametersSaysWhatTheCodeDoes(t *testing.T) {
	tables := map[string]string{"table owned": ownedTable()}
	for _, operation := range operations {
		tables["table "+operation.Path] = operationTable(operation)
	}
	pagetest.Check(t, "parameters.md", tables)
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
