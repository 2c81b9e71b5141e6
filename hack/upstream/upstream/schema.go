package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// responseFormat is the shape that the content of an answer must have.
type responseFormat struct {
	kind       string // text, json_object or json_schema
	schema     any
	schemaText string // compact JSON: what the provider reads
}

const (
	formatJSONObject = "json_object"
	formatJSONSchema = "json_schema"
)

func readFormat(f fields, req *request) error {
	var given struct {
		Type       string `json:"type"`
		JSONSchema *struct {
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	}
	if err := read(f, "response_format", &given); err != nil {
		return err
	}
	switch given.Type {
	case "grammar", "python":
		return nil
	case formatJSONSchema:
		if given.JSONSchema == nil {
			return badRequest(`Invalid input for "response_format.json_schema": required`)
		}
		return req.takeFormat("response_format.json_schema", given.Type, given.JSONSchema.Name, given.JSONSchema.Schema)
	default:
		return req.takeFormat("response_format", given.Type, "", nil)
	}
}

// takeFormat keeps a format that stands in a request at the path named, and refuses one that there is not.
func (r *request) takeFormat(path, kind, name string, schema json.RawMessage) error {
	switch kind {
	case "", modalityText:
		return nil
	case formatJSONObject:
		r.format = responseFormat{kind: kind}
		return nil
	case formatJSONSchema:
	default:
		return badRequest("Invalid input for %q: no format %q", path, kind)
	}
	if name == "" || len(name) > 64 {
		return badRequest("Invalid input for %q: expected a name of 1 to 64 characters", path)
	}
	parsed, err := parseSchema(schema)
	if err != nil {
		return badRequest("Invalid input for %q: %v", path+".schema", err)
	}
	r.format = responseFormat{kind: kind, schema: parsed, schemaText: compact(schema)}
	return nil
}

// parseSchema reads a schema and refuses one that no answer can be made for. None at all, or null, allows everything.
func parseSchema(raw json.RawMessage) (any, error) {
	if len(raw) == 0 || bytes.Equal(raw, jsonNull) {
		return map[string]any{}, nil
	}
	var schema any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, errNoSchema
	}
	switch schema.(type) {
	case map[string]any, bool:
	default:
		return nil, errNoSchema
	}
	_, err := instance(schema, "")
	return schema, err
}

var (
	errNoSchema = errors.New("expected a JSON schema")
	errEndless  = errors.New("its smallest instance is endless, or too large")
)

// The types of JSON schema that are more than one name for a string.
const (
	kindObject  = "object"
	kindArray   = "array"
	kindNumber  = "number"
	kindInteger = "integer"
	kindNull    = "null"
)

const (
	// schemaDepth is where an instance takes the shortest way out of a recursive schema.
	schemaDepth = 6
	// schemaSteps bounds the work for one instance: a schema that has no small instance must not take the program with it.
	schemaSteps = 1 << 13
	// schemaSize is the longest string or array that a schema may ask for.
	schemaSize = 1 << 14
)

// instantiator makes a small JSON value that is valid for a schema: what a provider's constrained decoding would produce.
type instantiator struct {
	root  any
	word  string // what strings say where the schema leaves them free
	steps int    // done so far
	err   error  // why there is no instance, once that is known
}

// instance writes a value for schema as compact JSON, its required members in the schema's order.
func instance(schema any, word string) (string, error) {
	in := instantiator{root: schema, word: word}
	value := in.value(schema, 0)
	if in.err != nil {
		return "", in.err
	}
	return string(marshal(value)), nil
}

// step counts one step, and is false once there is no use in another.
func (in *instantiator) step() bool {
	if in.steps++; in.steps > schemaSteps && in.err == nil {
		in.err = errEndless
	}
	return in.err == nil
}

func (in *instantiator) value(schema any, depth int) any {
	if !in.step() {
		return nil
	}
	s, ok := schema.(map[string]any)
	if !ok { // true, or nothing: any value will do
		return in.word
	}
	s = in.resolve(s, 0)
	if value, ok := prescribed(s); ok {
		return value
	}
	for _, word := range []string{"anyOf", "oneOf"} {
		if options, ok := s[word].([]any); ok && len(options) > 0 {
			return in.value(merged(s, in.simplest(options, depth), word), depth)
		}
	}
	switch kindOf(s, depth) {
	case kindObject:
		return in.object(s, depth)
	case kindArray:
		return in.array(s, depth)
	case kindInteger, kindNumber:
		return in.number(s)
	case "boolean":
		return true
	case kindNull:
		return nil
	default:
		return in.text(s)
	}
}

// prescribed is the value that a schema names itself.
func prescribed(s map[string]any) (any, bool) {
	if fixed, ok := s["const"]; ok {
		return fixed, true
	}
	if options, ok := s["enum"].([]any); ok && len(options) > 0 {
		return options[0], true
	}
	return nil, false
}

// resolve follows $ref and folds allOf into one schema. A loop of references ends after 32 steps.
func (in *instantiator) resolve(s map[string]any, steps int) map[string]any {
	if steps > 32 || !in.step() {
		return s
	}
	if ref, ok := s["$ref"].(string); ok {
		if target, ok := in.at(ref).(map[string]any); ok {
			return in.resolve(merged(s, target, "$ref"), steps+1)
		}
	}
	if parts, ok := s["allOf"].([]any); ok {
		folded := maps.Clone(s)
		delete(folded, "allOf")
		for _, part := range parts {
			if p, ok := part.(map[string]any); ok {
				folded = merged(folded, in.resolve(p, steps+1), "")
			}
		}
		return folded
	}
	return s
}

// at finds the schema that a reference within the same document points to.
func (in *instantiator) at(ref string) any {
	here := in.root
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#"), "/")[1:] {
		object, ok := here.(map[string]any)
		if !ok {
			return nil
		}
		here = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	return here
}

// merged is both schemas at once, without the word that brought the second in.
func merged(s map[string]any, other any, word string) map[string]any {
	out := maps.Clone(s)
	delete(out, word)
	part, _ := other.(map[string]any)
	for name, value := range part {
		switch have := out[name].(type) {
		case map[string]any:
			if more, ok := value.(map[string]any); ok {
				both := maps.Clone(have)
				maps.Copy(both, more)
				value = both
			}
		case []any:
			if more, ok := value.([]any); ok && name == "required" {
				value = append(slices.Clone(have), more...)
			}
		}
		out[name] = value
	}
	return out
}

// simplest picks the first option, or when nested deep one that ends the nesting.
func (in *instantiator) simplest(options []any, depth int) any {
	if depth < schemaDepth {
		return options[0]
	}
	for _, option := range options {
		if s, ok := option.(map[string]any); ok && s["$ref"] == nil && s["type"] != kindObject && s["type"] != kindArray {
			return option
		}
	}
	return options[0]
}

func kindOf(s map[string]any, depth int) string {
	switch kind := s["type"].(type) {
	case string:
		return kind
	case []any:
		if depth >= schemaDepth && slices.Contains(kind, any(kindNull)) {
			return kindNull
		}
		for _, k := range kind {
			if name, ok := k.(string); ok && name != kindNull {
				return name
			}
		}
		return kindNull
	}
	for _, hint := range []struct{ word, kind string }{
		{"properties", kindObject}, {"required", kindObject}, {"items", kindArray}, {"prefixItems", kindArray},
		{"minimum", kindNumber}, {"maximum", kindNumber},
	} {
		if _, ok := s[hint.word]; ok {
			return hint.kind
		}
	}
	return "string"
}

// member is one name and value of an object; members keep the order in which a model would write them.
type member struct {
	name  string
	value any
}

type members []member

func (m members) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, field := range m {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, marshal(field.name)...)
		out = append(out, ':')
		out = append(out, marshal(field.value)...)
	}
	return append(out, '}'), nil
}

// object has the required members, or all of them where a schema requires none.
func (in *instantiator) object(s map[string]any, depth int) any {
	properties, _ := s["properties"].(map[string]any)
	var names []string
	required, _ := s["required"].([]any)
	for _, r := range required {
		if name, ok := r.(string); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 && depth < schemaDepth/2 {
		names = slices.Sorted(maps.Keys(properties))
	}
	out := make(members, 0, len(names))
	for _, name := range names {
		property, known := properties[name]
		if !known {
			property = s["additionalProperties"]
		}
		out = append(out, member{name, in.value(property, depth+1)})
	}
	return out
}

func (in *instantiator) array(s map[string]any, depth int) any {
	prefix, _ := s["prefixItems"].([]any)
	count := max(len(prefix), in.size(s, "minItems", 1))
	if depth >= schemaDepth {
		count = in.size(s, "minItems", 0)
	}
	count = min(count, in.size(s, "maxItems", schemaSize))
	out := make([]any, 0, count)
	for i := 0; i < count && in.err == nil; i++ {
		item := s["items"]
		if i < len(prefix) {
			item = prefix[i]
		}
		out = append(out, in.value(item, depth+1))
	}
	return out
}

func numberAt(s map[string]any, name string, otherwise float64) float64 {
	if v, ok := s[name].(float64); ok {
		return v
	}
	return otherwise
}

// size is a bound of a length. One that is negative makes the schema invalid, and a very high one the instance too large.
func (in *instantiator) size(s map[string]any, name string, otherwise int) int {
	value := numberAt(s, name, float64(otherwise))
	switch {
	case value < 0:
		in.err = fmt.Errorf("%s must not be negative", name)
		return 0
	case value <= schemaSize:
		return int(value)
	case strings.HasPrefix(name, "min"):
		in.err = errEndless
	}
	return schemaSize
}

// number is the smallest value at or above zero that the bounds allow, else the largest below it.
func (in *instantiator) number(s map[string]any) any {
	step := numberAt(s, "multipleOf", 1)
	if step <= 0 {
		in.err = errors.New("multipleOf must be above 0")
		return nil
	}
	low := math.Ceil(numberAt(s, "minimum", math.Inf(-1))/step) * step
	if above, ok := s["exclusiveMinimum"].(float64); ok {
		low = max(low, (math.Floor(above/step)+1)*step)
	}
	high := math.Floor(numberAt(s, "maximum", math.Inf(1))/step) * step
	if below, ok := s["exclusiveMaximum"].(float64); ok {
		high = min(high, (math.Ceil(below/step)-1)*step)
	}
	value := min(max(low, 0), high)
	if value < low || math.IsInf(value, 0) { // The bounds lie between two steps: take the middle.
		from := numberAt(s, "minimum", numberAt(s, "exclusiveMinimum", 0))
		value = (from + numberAt(s, "maximum", numberAt(s, "exclusiveMaximum", 0))) / 2
	}
	if math.IsInf(value, 0) || value < numberAt(s, "minimum", value) || value > numberAt(s, "maximum", value) {
		in.err = errors.New("its bounds leave no number")
		return nil
	}
	if s["type"] == kindInteger && math.Abs(value) < 1<<53 {
		return int64(value)
	}
	return value
}
