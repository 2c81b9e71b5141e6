package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// header is the first line of every template.
const header = "{{- /* Made by `make chart` from config/. Change it there. */}}\n"

// A store is one way to keep the ledger's books. folder also names the files that only this way has.
type store struct{ folder, value string }

// templates returns the chart's templates by file name, of what kustomize built for each store. An object that is the same for all stores
// has one template; another one has a template for each store that has it, which is empty when the values ask for another store.
func templates(stores []store, built []string) (map[string]string, error) {
	objects := map[string][]string{} // By name; one for each store, "" where it has none.
	for i := range stores {
		for document := range strings.SplitSeq(built[i], "\n---\n") {
			name, err := fileName(document)
			if err != nil {
				return nil, fmt.Errorf("in the objects for the store %s: %w", stores[i].value, err)
			}
			if objects[name] == nil {
				objects[name] = make([]string, len(stores))
			}
			if objects[name][i] != "" {
				return nil, fmt.Errorf("two objects for the store %s want the template %s", stores[i].value, name)
			}
			objects[name][i] = strings.TrimSuffix(document, "\n") + "\n"
		}
	}
	files := map[string]string{}
	for name, variants := range objects {
		if err := add(files, name, stores, variants); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// add adds the template or templates of one object.
func add(files map[string]string, name string, stores []store, variants []string) error {
	if same(variants) {
		text, err := template(variants[0])
		if strings.HasSuffix(name, "-customresourcedefinition") {
			text = when(".Values.crds.install", text)
		}
		files[name+".yaml"] = header + text
		return err
	}
	for i, variant := range variants {
		if variant == "" {
			continue
		}
		text, err := template(variant)
		if err != nil {
			return err
		}
		files[name+"-"+stores[i].folder+".yaml"] = header + when(fmt.Sprintf("eq .Values.ledger.store %q", stores[i].value), text)
	}
	return nil
}

func same(variants []string) bool {
	for _, variant := range variants {
		if variant != variants[0] {
			return false
		}
	}
	return true
}

func when(condition, text string) string {
	return "{{- if " + condition + " }}\n" + text + "{{- end }}\n"
}

// conditions are the annotations that say where an object is in the chart. An object that has one has no other annotations.
var conditions = regexp.MustCompile(`(?m)^  annotations:\n(?:    chart\.modelroute\.dev/.*\n(?:      .*\n)*)+`)

// template is an object's template.
func template(document string) (string, error) {
	var object struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(document), &object); err != nil {
		return "", fmt.Errorf("reading an object: %w", err)
	}
	text, err := fill(conditions.ReplaceAllString(document, ""))
	if err != nil {
		return "", err
	}
	if strings.Contains(text, "chart.modelroute.dev/") {
		return "", errors.New("annotations of chart.modelroute.dev stand beside others, which would be in the chart")
	}
	if namespaces := object.Metadata.Annotations["chart.modelroute.dev/each-namespace"]; namespaces != "" {
		text = "{{- range $namespace := " + namespaces + " }}\n{{- with $ }}\n---\n" + text + "{{- end }}\n{{- end }}\n"
	}
	if condition := object.Metadata.Annotations["chart.modelroute.dev/when"]; condition != "" {
		text = when(condition, text)
	}
	return text, nil
}

// fileName is what the object is called, without what all are called, and its kind.
func fileName(document string) (string, error) {
	var object struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(document), &object); err != nil {
		return "", fmt.Errorf("reading an object: %w", err)
	}
	if object.Kind == "" || object.Metadata.Name == "" {
		return "", errors.New("an object has no kind or no name")
	}
	name := strings.TrimSuffix(strings.TrimPrefix(object.Metadata.Name, "modelroute-"), ".modelroute.dev")
	return name + "-" + strings.ToLower(object.Kind), nil
}

var (
	// folded is the beginning of a quoted template that kustomize broke into lines.
	folded = regexp.MustCompile(`(?m)('\{\{[^'\n]*(?:''[^'\n]*)*)\n +`)
	// spliced is a map whose only key is `splice`, for where kustomize wants a map: a value, or an item of a list.
	splicedValue = regexp.MustCompile(`(?m)^( *(?:- )?[^\s:]+:)\n +splice: ('\{\{.*\}\}')$`)
	splicedItem  = regexp.MustCompile(`(?m)^( *- )splice: ('\{\{.*\}\}')$`)
	// whole is a line whose value is a quoted template: its indentation, the dash of an item, the key, the template.
	whole = regexp.MustCompile(`^( *)(- )?([^\s:]+:)? ?'(\{\{.*\}\})'$`)
	// optional is a template that is in a `with` or an `if`: its opening, what is inside.
	optional = regexp.MustCompile(`^(\{\{ (?:with|if) .*? \}\})(.*)\{\{ end \}\}$`)
	// block is a template whose result has lines of its own.
	block = regexp.MustCompile(`^\{\{ (toYaml .*) \}\}$`)
)

// fill turns the strings that are templates into templates.
func fill(document string) (string, error) {
	for folded.MatchString(document) {
		document = folded.ReplaceAllString(document, "$1 ")
	}
	document = splicedValue.ReplaceAllString(document, "$1 $2")
	document = splicedItem.ReplaceAllString(document, "$1$2")
	var filled strings.Builder
	for line := range strings.Lines(document) {
		parts := whole.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if parts == nil {
			filled.WriteString(line)
			continue
		}
		text, err := fillLine(place{indent: parts[1], dash: parts[2], key: parts[3]}, strings.ReplaceAll(parts[4], "''", "'"))
		if err != nil {
			return "", err
		}
		filled.WriteString(text)
	}
	return filled.String(), nil
}

// A place is where in a document a template stands: with a key, as an item of a list with a dash, or both.
type place struct{ indent, dash, key string }

func fillLine(at place, template string) (string, error) {
	parts := optional.FindStringSubmatch(template)
	if parts == nil {
		return at.with(template), nil
	}
	if at.dash != "" && at.key != "" {
		return "", fmt.Errorf("%s%s is the first key of an item, which cannot go without the item", at.dash, at.key)
	}
	opening := strings.Replace(parts[1], "{{ ", "{{- ", 1)
	return at.indent + opening + "\n" + at.with(parts[2]) + at.indent + "{{- end }}\n", nil
}

// with returns the place's line, or lines, with the template in it.
func (p place) with(template string) string {
	lines := block.FindStringSubmatch(template)
	switch {
	case lines == nil && p.key == "":
		return p.indent + p.dash + template + "\n"
	case lines == nil:
		return p.indent + p.dash + p.key + " " + template + "\n"
	case p.key == "": // Items take the place of the one item.
		return fmt.Sprintf("%s{{- %s | nindent %d }}\n", p.indent, lines[1], len(p.indent))
	default:
		inner := len(p.indent) + len(p.dash) + 2
		return fmt.Sprintf("%s%s%s\n%s{{- %s | nindent %d }}\n", p.indent, p.dash, p.key, strings.Repeat(" ", inner), lines[1], inner)
	}
}
