package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	unsupported         []bool // by the parameter's index; nil if nothing is
	drop                bool
	defaults, overrides []setting
	maxCompletionTokens int64
}

type setting struct {
	parameter *parameter
	value     []byte
}

// NewRules prepares a policy. It fails if a setting is none that CheckSetting accepts.
func NewRules(policy Policy) (*Rules, error) {
	r := &Rules{provider: policy.Provider, drop: policy.DropUnsupported, maxCompletionTokens: policy.MaxCompletionTokens}
	var err error
	if r.defaults, err = prepared(policy.Defaults, policy.Provider); err != nil {
		return nil, fmt.Errorf("defaults: %w", err)
	}
	if r.overrides, err = prepared(policy.Overrides, policy.Provider); err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	if len(policy.Supported) > 0 {
		r.unsupported = make([]bool, len(table))
		for i := range table {
			r.unsupported[i] = !table[i].isAmong(policy.Supported)
		}
	}
	return r, nil
}

// prepared checks settings, and puts those last that are only set where tools are, which another setting may bring.
func prepared(settings []Setting, provider Provider) ([]setting, error) {
	var first, last []setting
	for _, s := range settings {
		if err := CheckSetting(s, provider); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		known := byName[s.Name]
		if known.needsTools {
			last = append(last, setting{known, s.Value})
			continue
		}
		first = append(first, setting{known, s.Value})
	}
	return append(first, last...), nil
}

// CheckSetting reports why a route must not have this setting for an upstream of this provider; the error says what the value may be.
func CheckSetting(s Setting, provider Provider) error {
	known := byName[s.Name]
	switch {
	case known == nil || !known.settable:
		return errors.New("is no parameter that a route can set")
	case !known.knows(provider):
		return errors.New("is not known to the upstream's provider, which would refuse or ignore it")
	case string(s.Value) == "null":
		return fmt.Errorf("must be %s, not null", known.want)
	}
	read := known.read
	if rule, narrower := known.narrower[provider]; narrower {
		read = rule.read
	}
	scan := &scanner{data: s.Value, unique: true}
	if problem := read(&Chat{}, s.Name, scan); problem != nil {
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
	known := byName[name]
	return known == nil || known.isAmong(supported)
}

func (p *parameter) isAmong(supported []string) bool {
	if !p.listed || slices.Contains(supported, p.name) {
		return true
	}
	return slices.ContainsFunc(p.impliedBy, func(name string) bool { return slices.Contains(supported, name) })
}

// Apply holds the request to a route's rules: what the model does not support is refused or dropped, what only other providers allow is
// refused, the route's values are set, and completion limits are lowered and get the name that the provider surely honours. A null is
// the client's choice of what leaving it out means: it is never refused, and no default replaces it.
func (c *Chat) Apply(r *Rules) *Error {
	for i := range c.document.members {
		m := &c.document.members[i]
		if m.parameter == nil || string(c.document.valueOf(m)) == "null" {
			continue
		}
		if problem := c.hold(m, r); problem != nil {
			return problem
		}
	}
	for _, s := range r.overrides {
		c.override(s, r.provider)
	}
	for _, s := range r.defaults {
		c.setDefault(s, r.provider)
	}
	c.nameLimit(r.provider)
	if r.maxCompletionTokens > 0 && c.CompletionLimit() != nil {
		c.LimitCompletion(r.maxCompletionTokens, "")
	}
	return nil
}

// hold holds one member of the client's request to the rules.
func (c *Chat) hold(m *member, r *Rules) *Error {
	if r.unsupported != nil && r.unsupported[m.parameter.index] {
		if !r.drop && string(c.document.valueOf(m)) == "false" { // Not to want it is what every model can do.
			return nil
		}
		if !r.drop {
			return coded(InvalidRequest(m.name, "Unsupported parameter: '%s' is not supported with this model.", m.name),
				CodeUnsupportedParameter)
		}
		c.remove(m)
		return nil
	}
	if rule, narrower := m.parameter.narrower[r.provider]; narrower {
		return rule.read(&Chat{}, m.name, &scanner{data: c.document.valueOf(m)})
	}
	return nil
}

// override sets a value whatever the client said, under whatever name.
func (c *Chat) override(s setting, provider Provider) {
	if s.parameter.isLimit() {
		known := LimitName(provider)
		for _, name := range limitNames {
			if m := c.document.find(name); m != nil && name != known {
				c.remove(m)
			}
		}
		c.MaxTokens, c.MaxCompletionTokens = nil, nil
		c.put(byName[known], s.value)
		return
	}
	if s.parameter.needsTools && c.tools+c.functions == 0 {
		return
	}
	for _, name := range s.parameter.aliases {
		if m := c.document.find(name); m != nil && name != s.parameter.name {
			c.remove(m)
		}
	}
	c.put(s.parameter, s.value)
}

// setDefault sets a value if the client left the parameter out and did not say the same thing under another name. A null under its own
// name is a choice; one under another name says nothing. Of the completion limit no null is a choice, since it names none.
func (c *Chat) setDefault(s setting, provider Provider) {
	if s.parameter.isLimit() {
		if c.CompletionLimit() == nil {
			c.put(byName[LimitName(provider)], s.value)
		}
		return
	}
	if c.Has(s.parameter.name) || (s.parameter.needsTools && c.tools+c.functions == 0) {
		return
	}
	for _, name := range s.parameter.aliases {
		if value := c.document.get(name); value != nil && string(value) != "null" {
			return
		}
	}
	c.put(s.parameter, s.value)
}

// put sets a value that CheckSetting has accepted.
func (c *Chat) put(p *parameter, value []byte) {
	forbidden := c.forbidden
	prompt, _ := c.read(p.name, p, &scanner{data: value})
	c.forbidden = forbidden // The route's own tools may be any.
	m := c.document.set(p.name, value)
	c.PromptBytes += prompt - m.prompt
	m.prompt = prompt
	c.edited = nil
}

// remove takes a member out of the request, and what the Chat knows by it.
func (c *Chat) remove(m *member) {
	m.removed = true
	c.PromptBytes -= m.prompt
	c.edited = nil
	switch m.name {
	case "tools":
		c.tools = 0
	case "functions":
		c.functions = 0
	case "response_format":
		c.format = false
	}
}

func (p *parameter) isLimit() bool { return slices.Contains(limitNames, p.name) }

// LimitName is the name under which a provider surely honours a completion limit. OpenAI refuses the old name for its newer models;
// many compatible servers know only the old one and would ignore the new one, and with it the budget. OpenRouter knows both.
func LimitName(provider Provider) string {
	if provider == Compatible {
		return "max_tokens"
	}
	return "max_completion_tokens"
}

// nameLimit gives the client's completion limit the name that the provider surely honours. The number keeps its text. Where both are sent
// both stay, except at OpenAI, which refuses that: there the deprecated one goes, and what it asked for with it.
func (c *Chat) nameLimit(provider Provider) {
	if provider == OpenRouter || c.CompletionLimit() == nil {
		return
	}
	name, other := LimitName(provider), "max_tokens"
	if name == other {
		other = "max_completion_tokens"
	}
	old := c.document.find(other)
	if old == nil || string(c.document.valueOf(old)) == "null" {
		return
	}
	switch at := c.document.find(name); {
	case at == nil:
		old.name, old.renamed = name, true
	case string(c.document.valueOf(at)) == "null":
		at.value = c.document.valueOf(old)
		old.removed = true
	case provider == OpenAI:
		old.removed = true
		c.MaxTokens = nil
		c.edited = nil
		return
	default:
		return
	}
	c.MaxTokens, c.MaxCompletionTokens = c.MaxCompletionTokens, c.MaxTokens
	c.edited = nil
}

// setLimit sets one of the two names of the completion limit.
func (c *Chat) setLimit(name string, limit int64) {
	if name == "max_tokens" {
		c.MaxTokens = &limit
	} else {
		name, c.MaxCompletionTokens = "max_completion_tokens", &limit
	}
	c.replace(name, strconv.AppendInt(nil, limit, 10))
}

// Settable returns the names of the parameters that a route can set, sorted.
func Settable() []string {
	var names []string
	for i := range table {
		if table[i].settable {
			names = append(names, table[i].name)
		}
	}
	slices.Sort(names)
	return names
}
