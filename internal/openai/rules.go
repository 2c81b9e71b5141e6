package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Setting is the value, as JSON text, that a route has for a parameter.
type Setting struct {
	Name  string
	Value json.RawMessage
}

// Policy is what a route says of the parameters of its requests.
type Policy struct {
	// Provider is whose rules the upstream keeps.
	Provider Provider
	// Supported are the parameters that the model supports; empty if that is not said, so that none is refused. DropUnsupported takes the
	// others out of a request, where else it is refused.
	Supported       []string
	DropUnsupported bool
	// Defaults are set where the client said nothing, Overrides always.
	Defaults, Overrides []Setting
	// MaxCompletionTokens is what larger completion limits are lowered to; 0 if there is no such bound.
	MaxCompletionTokens int64
}

// Rules are a Policy that was found to make sense. They are never changed, so that any number of requests can be held to them at once.
type Rules struct {
	provider            Provider
	drop                bool
	maxCompletionTokens int64
	of                  map[*Operation]operationRules
}

// operationRules are what a policy is for the parameters of one operation.
type operationRules struct {
	unsupported         []lack // by the parameter's index; nil if nothing is
	defaults, overrides []setting
}

// lack is what a model does not support of a parameter: the whole of it, or parts.
type lack struct {
	whole bool
	parts []part
}

type setting struct {
	parameter *parameter
	value     []byte
}

// NewRules prepares a policy for every operation. It fails if a setting is none that CheckSetting accepts. A setting that an operation does
// not have, or not with this value, is left out there.
func NewRules(policy Policy) (*Rules, error) {
	if err := checkSettings(policy.Defaults, policy.Provider); err != nil {
		return nil, fmt.Errorf("defaults: %w", err)
	}
	if err := checkSettings(policy.Overrides, policy.Provider); err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	rules := &Rules{
		provider: policy.Provider, drop: policy.DropUnsupported, maxCompletionTokens: policy.MaxCompletionTokens,
		of: make(map[*Operation]operationRules, len(operations)),
	}
	for _, operation := range operations {
		rules.of[operation] = operationRules{
			unsupported: operation.parameters.notAmong(policy.Supported),
			defaults:    operation.prepared(policy.Defaults, policy.Provider),
			overrides:   operation.prepared(policy.Overrides, policy.Provider),
		}
	}
	return rules, nil
}

func checkSettings(settings []Setting, provider Provider) error {
	for _, s := range settings {
		if err := CheckSetting(s, provider); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// prepared returns those of the settings that the operation has and takes. Last are those that are only set where tools are, which another
// setting may bring.
func (o *Operation) prepared(settings []Setting, provider Provider) []setting {
	var first, last []setting
	for _, s := range settings {
		switch known := o.setting(s.Name); {
		case known == nil || !known.knows(provider) || known.check(s, provider) != nil:
		case known.needsTools:
			last = append(last, setting{known, s.Value})
		default:
			first = append(first, setting{known, s.Value})
		}
	}
	return append(first, last...)
}

// setting finds the parameter that a route's setting of this name is for; nil if the operation has none.
func (o *Operation) setting(name string) *parameter {
	if name == routesLimit && len(o.limits) > 0 {
		name = o.limits[0]
	} else if known := o.parameters.byName[name]; known == nil || !known.settable {
		return nil
	}
	return o.parameters.byName[name]
}

// CheckSetting reports why a route must not have this setting for an upstream of this provider; the error says what the value may be. It
// has to be good for the first of the operations that has the parameter; others that take less of it are left without.
func CheckSetting(s Setting, provider Provider) error {
	for _, operation := range operations {
		switch p := operation.setting(s.Name); {
		case p == nil:
		case !p.knows(provider):
			return errors.New("is not known to the upstream's provider, which would refuse or ignore it")
		default:
			return p.check(s, provider)
		}
	}
	return errors.New("is no parameter that a route can set")
}

// check reports why the parameter must not have this value at this provider.
func (p *parameter) check(s Setting, provider Provider) error {
	if string(s.Value) == "null" {
		return fmt.Errorf("must be %s, not null", p.want)
	}
	read := p.read
	if rule, narrower := p.narrower[provider]; narrower {
		read = rule.read
	}
	scan := &scanner{data: s.Value, unique: true}
	if problem := read(&Request{}, s.Name, scan); problem != nil {
		return errors.New(problem.Message)
	}
	if scan.end(); scan.err != nil {
		return scan.err
	}
	return nil
}

// IsSupported reports whether a model that supports these parameters supports the named one too: because it is there, under its own or a
// related name, or because it is no matter of models, as user is.
func IsSupported(name string, supported []string) bool {
	for _, operation := range operations {
		if known := operation.parameters.byName[name]; known != nil {
			return known.isAmong(supported)
		}
	}
	return true
}

// notAmong returns, by the indexes of the parameters, what a model does not support of them which supports these; nil if it is not said
// what it supports.
func (p *parameters) notAmong(supported []string) []lack {
	if len(supported) == 0 {
		return nil
	}
	lacking := make([]lack, len(p.list))
	for i := range p.list {
		lacking[i].whole = !p.list[i].isAmong(supported)
		for _, part := range p.list[i].parts {
			if !anyOf(part.listedAs, supported) {
				lacking[i].parts = append(lacking[i].parts, part)
			}
		}
	}
	return lacking
}

func (p *parameter) isAmong(supported []string) bool {
	return !p.listed || slices.Contains(supported, p.name) || anyOf(p.impliedBy, supported)
}

func anyOf(names, list []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(list, name) })
}

// Apply holds the request to a route's rules: what the model does not support is refused or dropped, what only other providers allow is
// refused, the route's values are set, and completion limits are lowered and get the name that the provider surely honours. A null is
// the client's choice of what leaving it out means: it is never refused, and no default replaces it.
func (r *Request) Apply(rules *Rules) *Error {
	own := rules.of[r.Operation]
	for i := range r.document.members {
		m := &r.document.members[i]
		if m.parameter == nil {
			continue
		}
		if problem := r.holdToProvider(m, rules); problem != nil {
			return problem
		}
		if m.removed || string(r.document.valueOf(m)) == "null" {
			continue
		}
		if problem := r.hold(m, own.unsupported, rules); problem != nil {
			return problem
		}
	}
	for _, s := range own.overrides {
		r.override(s, rules.provider)
	}
	for _, s := range own.defaults {
		r.setDefault(s, rules.provider)
	}
	for _, s := range r.Operation.always {
		r.put(r.Operation.parameters.byName[s.Name], s.Value)
	}
	r.nameLimit(rules.provider)
	r.spell(rules.provider)
	if rules.maxCompletionTokens > 0 && r.CompletionLimit() != nil {
		r.LimitCompletion(rules.maxCompletionTokens, rules.provider)
	}
	return nil
}

// hold holds one member of the client's request to the rules.
func (r *Request) hold(m *member, unsupported []lack, rules *Rules) *Error {
	if unsupported != nil {
		lacks := unsupported[m.parameter.index]
		switch {
		case lacks.whole && rules.drop:
			r.remove(m)
			return nil
		case lacks.whole:
			return refuseUnsupported(m.name, r.document.valueOf(m), m.parameter.idle)
		case len(lacks.parts) > 0:
			if problem := r.holdParts(m, lacks.parts, rules.drop); problem != nil || m.removed {
				return problem
			}
		}
	}
	if rule, narrower := m.parameter.narrower[rules.provider]; narrower {
		return rule.read(&Request{}, m.name, &scanner{data: r.document.valueOf(m)})
	}
	return nil
}

// holdParts holds the parts that the model does not support of a member to the rules. A member of which nothing is left goes as a whole.
func (r *Request) holdParts(m *member, unsupported []part, drop bool) *Error {
	object := parseObject(r.document.valueOf(m))
	left, dropped := false, false
	for i := range object.members {
		entry := &object.members[i]
		at := slices.IndexFunc(unsupported, func(p part) bool { return p.name == entry.name })
		value := object.valueOf(entry)
		if drop && at >= 0 && string(value) != "null" {
			entry.removed, dropped = true, true
			continue
		}
		left = true
		if at < 0 || string(value) == "null" {
			continue
		}
		if problem := refuseUnsupported(m.name+"."+entry.name, value, unsupported[at].idle); problem != nil {
			return problem
		}
	}
	switch {
	case dropped && left:
		r.put(m.parameter, object.bytes())
	case dropped:
		r.remove(m)
	}
	return nil
}

// refuseUnsupported refuses what the model does not support, unless the value says that it is not wanted, which every model can do.
func refuseUnsupported(path string, value []byte, idle string) *Error {
	if string(value) == "false" || idle != "" && stringIn(value, "type") == idle {
		return nil
	}
	return coded(InvalidRequest(path, "Unsupported parameter: '%s' is not supported with this model.", path), CodeUnsupportedParameter)
}

// override sets a value whatever the client said, under whatever name.
func (r *Request) override(s setting, provider Provider) {
	operation := r.Operation
	if operation.isLimit(s.parameter) {
		known := operation.limitName(provider)
		for place, name := range operation.limits {
			if m := r.document.find(name); m != nil && name != known {
				r.remove(m)
			}
			r.limits[place] = nil
		}
		r.put(operation.parameters.byName[known], s.value)
		return
	}
	if s.parameter.needsTools && r.tools+r.functions == 0 {
		return
	}
	for _, name := range s.parameter.aliases {
		if m := r.document.find(name); m != nil && name != s.parameter.name {
			r.remove(m)
		}
	}
	r.put(s.parameter, s.value)
}

// setDefault sets a value if the client left the parameter out and did not say the same thing under another name. A null under its own
// name is a choice; one under another name says nothing. Of the completion limit no null is a choice, since it names none.
func (r *Request) setDefault(s setting, provider Provider) {
	if operation := r.Operation; operation.isLimit(s.parameter) {
		if r.CompletionLimit() == nil {
			r.put(operation.parameters.byName[operation.limitName(provider)], s.value)
		}
		return
	}
	if r.Has(s.parameter.name) || (s.parameter.needsTools && r.tools+r.functions == 0) {
		return
	}
	for _, name := range s.parameter.aliases {
		if value := r.document.get(name); value != nil && string(value) != "null" {
			return
		}
	}
	r.put(s.parameter, s.value)
}

// put sets a value that CheckSetting has accepted.
func (r *Request) put(p *parameter, value []byte) {
	forbidden, cacheMark := r.forbidden, r.cacheMark
	prompt, _ := r.read(p.name, p, &scanner{data: value})
	r.forbidden, r.cacheMark = forbidden, cacheMark // The route's own tools may be any.
	m := r.document.set(p.name, value)
	r.PromptBytes += prompt - m.prompt
	m.prompt = prompt
	r.edited = nil
}

// remove takes a member out of the request, and what the Request knows by it.
func (r *Request) remove(m *member) {
	m.removed = true
	r.PromptBytes -= m.prompt
	r.edited = nil
	switch m.name {
	case "tools":
		r.tools, r.toolTokens = 0, 0
	case "functions":
		r.functions = 0
	case "response_format", "text", "output_config":
		r.format = false
	case "output_format":
		r.olderFormat = false
	}
}

// Settable returns the names of the parameters that a route can set, sorted.
func Settable() []string {
	var names []string
	for _, operation := range operations {
		for i := range operation.parameters.list {
			if p := &operation.parameters.list[i]; p.settable {
				names = append(names, p.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
