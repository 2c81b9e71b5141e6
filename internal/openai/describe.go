package openai

import "slices"

// ParameterInfo is what people are told of a parameter.
type ParameterInfo struct {
	Name string
	// Values is what its value may be, such as "a number from 0 to 2".
	Values string
	// About says what it does. Names in it stand between backticks.
	About string
	// Listed says that a model supports it or does not, by the lists that catalogues have.
	Listed bool
	// Limit says that it is a completion limit.
	Limit bool
}

// Describe tells of the operation's parameters as an upstream of this provider has them, in the order of its reference and without those
// that are the route's to set.
func (o *Operation) Describe(provider Provider) []ParameterInfo {
	described := make([]ParameterInfo, 0, len(o.parameters.list))
	for i := range o.parameters.list {
		p := &o.parameters.list[i]
		if p.role == owned || !p.knows(provider) {
			continue
		}
		info := ParameterInfo{Name: p.name, Values: p.want, About: p.about, Listed: p.listed, Limit: slices.Contains(o.limits, p.name)}
		if rule, narrower := p.narrower[provider]; narrower {
			info.Values = rule.want
		}
		described = append(described, info)
	}
	return described
}
