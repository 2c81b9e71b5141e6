package upstream

// responseEvent is one event of a stream; which members it has depends on its type.
type responseEvent struct {
	Type           string    `json:"type"`
	SequenceNumber int       `json:"sequence_number"` // the events of a stream in order, from 0
	Response       *response `json:"response,omitempty"`
	OutputIndex    *int      `json:"output_index,omitempty"`
	ItemID         string    `json:"item_id,omitempty"`
	Item           any       `json:"item,omitempty"`
	ContentIndex   *int      `json:"content_index,omitempty"`
	Part           any       `json:"part,omitempty"`
	Delta          *string   `json:"delta,omitempty"`
	Text           *string   `json:"text,omitempty"`
	Logprobs       *[]any    `json:"logprobs,omitempty"`
	Name           string    `json:"name,omitempty"`
	Arguments      *string   `json:"arguments,omitempty"`
}

// responseFailure is the event of an error that belongs to no response.
type responseFailure struct {
	Type           string  `json:"type"`
	SequenceNumber int     `json:"sequence_number"`
	Code           string  `json:"code"`
	Message        string  `json:"message"`
	Param          *string `json:"param"`
}

// responseScript numbers events as they are added.
type responseScript struct {
	events []event
	itemID string
}

// add adds an event about the response as a whole.
func (s *responseScript) add(e responseEvent, tokens int) {
	e.SequenceNumber = len(s.events)
	s.events = append(s.events, event{name: e.Type, data: e, tokens: tokens})
}

// addItem adds an event about the one item as a whole.
func (s *responseScript) addItem(kind string, item any, tokens int) {
	s.add(responseEvent{Type: kind, OutputIndex: new(int), Item: item}, tokens)
}

// within adds an event about something within the item.
func (s *responseScript) within(e responseEvent, tokens int) {
	e.OutputIndex, e.ItemID = new(int), s.itemID
	s.add(e, tokens)
}

// withinText adds an event about the one part of text.
func (s *responseScript) withinText(e responseEvent, tokens int) {
	e.ContentIndex = new(int)
	s.within(e, tokens)
}

func (responsesAPI) script(g *generation, perEvent int) script {
	s, begun, done := responseScript{itemID: g.itemID()}, g.begunResponse(), g.doneResponse()
	s.add(responseEvent{Type: "response.created", Response: &begun}, 0)
	s.add(responseEvent{Type: "response.in_progress", Response: &begun}, 0)
	for _, p := range g.parts(perEvent) {
		if p.choice.call != nil {
			s.addCall(g, p)
		} else {
			s.addText(g, p)
		}
	}
	s.add(responseEvent{Type: "response." + done.Status, Response: &done}, 0)
	last := len(s.events) - 1
	return script{events: s.events[:last], closing: s.events[last:]}
}

func (s *responseScript) addText(g *generation, p part) {
	none := []any{}
	switch p.kind {
	case partOpening:
		s.addItem("response.output_item.added", g.begunItem(), 0)
		s.withinText(responseEvent{Type: "response.content_part.added", Part: newOutputText("")}, 0)
	case partEnd:
		whole := p.choice.content()
		s.withinText(responseEvent{Type: "response.output_text.done", Text: &whole, Logprobs: &none}, 0)
		s.withinText(responseEvent{Type: "response.content_part.done", Part: newOutputText(whole)}, 0)
		s.addItem("response.output_item.done", g.doneItem(), 0)
	default:
		s.withinText(responseEvent{Type: "response.output_text.delta", Delta: &p.text, Logprobs: &none}, p.tokens)
	}
}

func (s *responseScript) addCall(g *generation, p part) {
	switch p.kind {
	case partOpening:
	case partCall:
		s.addItem("response.output_item.added", g.begunItem(), p.tokens)
	case partEnd:
		whole := p.choice.content()
		s.within(responseEvent{Type: "response.function_call_arguments.done", Name: p.choice.call.Function.Name, Arguments: &whole}, 0)
		s.addItem("response.output_item.done", g.doneItem(), 0)
	default:
		s.within(responseEvent{Type: "response.function_call_arguments.delta", Delta: &p.text}, p.tokens)
	}
}

// failure ends a stream with a response that failed, or with an error that is no response.
func (responsesAPI) failure(g *generation, sent int) event {
	if g.faults.emptyChoices {
		e := responseFailure{Type: "error", SequenceNumber: sent, Code: "server_error", Message: g.providerError().message}
		return event{name: e.Type, data: e}
	}
	out := g.failedResponse()
	e := responseEvent{Type: "response.failed", SequenceNumber: sent, Response: &out}
	return event{name: e.Type, data: e}
}
