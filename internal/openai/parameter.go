package openai

import "slices"

// Provider says whose rules an upstream keeps where they differ.
type Provider uint8

const (
	// Compatible is any server of OpenAI's chat completions, of which nothing more is known: it may know every parameter.
	Compatible Provider = 0
	// OpenAI is OpenAI itself. It refuses parameters that it does not know.
	OpenAI Provider = 1
	// OpenRouter is OpenRouter. It ignores parameters that it does not know.
	OpenRouter Provider = 2
	// Mistral is Mistral's own API. It refuses parameters that it does not know, and reports the usage of every stream unasked.
	Mistral Provider = 4

	both     = OpenAI | OpenRouter
	everyone = both | Mistral
)

// ProviderOf returns the provider of a route's upstream by its name in a route. One whose rules are not known here is Compatible.
func ProviderOf(name string) Provider {
	switch name {
	case "OpenAI":
		return OpenAI
	case "OpenRouter":
		return OpenRouter
	case "Mistral":
		return Mistral
	}
	return Compatible
}

// role says what a top-level parameter is to this package.
type role int

const (
	// inert parameters change neither price nor prompt.
	inert role = iota
	// prompt parameters are known to be put into the prompt.
	prompt
	// owned parameters change the price or the model and are the route's to set.
	owned
)

// parameter is what is known of one parameter of a request.
type parameter struct {
	name string
	role role
	// from are the providers whose references have it.
	from Provider
	// want is what its value must be, as a message puts it behind "expected"; empty if it may be anything.
	want string
	// read reads the value; nil if it may be anything.
	read reader
	// content reads the value of a parameter that is the content of the prompt, and returns how many bytes it can put there; nil for all
	// other parameters. Content is the client's, and no route sets it.
	content func(r *Request, name string, s *scanner) (promptBytes int64, problem *Error)
	// narrower are the parameter's rules at those providers that allow less than others do.
	narrower map[Provider]rule
	// spelled is how providers have the parameter that have it otherwise.
	spelled map[Provider]spelling
	// label says that it changes nothing of what is generated, so that a request is served without it where the provider does not know it.
	label bool
	// brings is how many bytes the provider puts into the prompt for it, beside its own.
	brings int64
	// listed says that a model supports it or does not, by the lists that catalogues have; others are the API's own. impliedBy are
	// further names that stand for it in such a list.
	listed    bool
	impliedBy []string
	// parts are those members of its object that a model supports or does not by themselves.
	parts []part
	// idle is the type of an object, as the value, that asks for nothing that a model could lack.
	idle string
	// aliases are other parameters that say the same thing.
	aliases []string
	// settable says that a route may have a value for it; needsTools, that it is without meaning, and refused by some, where no tool is
	// offered.
	settable, needsTools bool
	// about says what it does, or why it is not the client's.
	about string

	// index is where the parameter stands in the list of its operation.
	index int
}

// part is a member of a parameter's object. A model supports it if any of the names is in the list of what it supports; idle is as in
// parameter.
type part struct {
	name     string
	want     string
	listedAs []string
	idle     string
	about    string
}

// rule is what a value must be, and what reads it.
type rule struct {
	want string
	read reader
}

// reader reads a value and notes in the Request what matters of it. It may fail only by its value, never by what the Request says.
type reader func(r *Request, name string, s *scanner) *Error

// parameters are the parameters of an operation.
type parameters struct {
	list   []parameter
	byName map[string]*parameter
	// spelled are those that a provider has otherwise than most.
	spelled map[Provider][]*parameter
}

// newParameters joins an operation's own table of parameters with one that all share, whose entry does not count where the operation has
// its own.
func newParameters(own, shared []parameter) *parameters {
	list := slices.Clone(own)
	for _, p := range shared {
		if !slices.ContainsFunc(own, func(o parameter) bool { return o.name == p.name }) {
			list = append(list, p)
		}
	}
	p := &parameters{list: list, byName: make(map[string]*parameter, len(list)), spelled: map[Provider][]*parameter{}}
	for i := range list {
		list[i].index = i
		p.byName[list[i].name] = &list[i]
		for provider := range list[i].spelled {
			p.spelled[provider] = append(p.spelled[provider], &list[i])
		}
	}
	return p
}

// asInChat returns parameters of chats that other operations have too.
func asInChat(names ...string) []parameter {
	shared := make([]parameter, 0, len(names))
	for _, name := range names {
		at := slices.IndexFunc(chatParameters, func(p parameter) bool { return p.name == name })
		shared = append(shared, chatParameters[at])
	}
	return shared
}

// isContent reports whether a parameter, of which p is nil if it is not known, is the content of the prompt.
func (p *parameter) isContent() bool { return p != nil && p.content != nil }

// knows reports whether a provider has the parameter.
func (p *parameter) knows(provider Provider) bool {
	return provider == Compatible || p.from&provider != 0
}

// read reads the value of a top-level parameter, of which p is nil if it is not known, and returns how many bytes it can put into the
// prompt.
func (r *Request) read(name string, p *parameter, s *scanner) (promptBytes int64, problem *Error) {
	if p.isContent() {
		return p.content(r, name, s)
	}
	s.peek()
	start := s.pos
	if p == nil || p.read == nil {
		s.walk()
	} else if problem := p.read(r, name, s); problem != nil {
		return 0, problem
	}
	if s.err == nil && (p == nil || p.role != inert) {
		return r.weigh(p, s.data[start:s.pos]), nil
	}
	return 0, nil
}

// weigh returns how many bytes a value can put into the prompt, and notes one that is not the client's to set.
func (r *Request) weigh(p *parameter, value []byte) int64 {
	if p != nil && p.role == owned && p.read == nil && string(value) != "null" {
		r.forbid(p.name)
	}
	if p != nil && p.brings > 0 && !isFalsy(value) {
		return jsonBytes(value) + p.brings
	}
	return jsonBytes(value)
}

func (r *Request) forbid(path string) {
	if r.forbidden == "" {
		r.forbidden = path
	}
}

// ForbiddenField returns the path of the first field by which the client would change the price or the model, which are the route's
// to set: OpenRouter's routing and plugins, service tiers, predictions, searches, output of a kind that the route's model is not said to
// produce (text always is), tools that run at the upstream, and the like; marks for caching too, unless cacheWrites says that the route
// has a price for what they cause. A null is harmless. What the route itself sets is not reported.
//
// The list is of what is known today. A budget that must hold against a parameter that nobody knows yet needs a list of the
// parameters that are allowed.
func ForbiddenField(request *Request, cacheWrites bool, produces ...string) (name string, bad bool) {
	if request.forbidden != "" {
		return request.forbidden, true
	}
	if request.cacheMark != "" && !cacheWrites {
		return request.cacheMark, true
	}
	allowed := modalitiesOf(produces)
	if beyond := request.modalities &^ allowed; beyond != 0 {
		return "modalities", true
	}
	if request.voice && allowed&audioOutput == 0 {
		return "audio", true
	}
	return "", false
}
