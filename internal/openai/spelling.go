package openai

// spelling is how a provider has a parameter: under another name, or with other words for the same values. Empty is as others have it.
type spelling struct {
	name  string
	words map[string]string
}

// refusesUnknown reports whether a provider refuses a request for a parameter that it does not know, so that it must not get those that
// only others have. OpenAI does too, and is left to say so itself, since what it knows depends on the model.
func (p Provider) refusesUnknown() bool { return p == Mistral }

// ReportsUsageUnasked reports whether a provider's streams have their usage without being asked for it, and must not be asked.
func (p Provider) ReportsUsageUnasked() bool { return p == Mistral }

// holdToProvider takes out what the provider would refuse and the request can do without, and refuses what it cannot.
func (r *Request) holdToProvider(m *member, rules *Rules) *Error {
	if !rules.provider.refusesUnknown() || m.parameter.knows(rules.provider) {
		return nil
	}
	value := string(r.document.valueOf(m))
	if m.parameter.label || rules.drop || value == "null" || value == "false" {
		r.remove(m)
		return nil
	}
	return coded(InvalidRequest(m.name, "Unsupported parameter: '%s' is not known to the provider of this model.", m.name),
		CodeUnsupportedParameter)
}

// spell puts the parameters of a request into the words of a provider. What is only renamed keeps its value's text. Where the provider's
// own name is there too, it counts.
func (r *Request) spell(provider Provider) {
	for _, p := range r.Operation.parameters.spelled[provider] {
		m := r.document.find(p.name)
		if m == nil {
			continue
		}
		in := p.spelled[provider]
		if value := r.document.valueOf(m); value[0] == '"' {
			if word, found := in.words[decodeString(value)]; found {
				m.value = quote(word)
				r.PromptBytes += jsonBytes(m.value) - m.prompt
				m.prompt = jsonBytes(m.value)
			}
		}
		switch {
		case in.name == "":
		case r.document.find(in.name) != nil:
			r.remove(m)
		default:
			m.name, m.renamed = in.name, true
		}
		r.edited = nil
	}
}
