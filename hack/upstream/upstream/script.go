package upstream

import "strings"

// event is one event of a stream.
type event struct {
	name   string // of the server-sent event; empty where it has none
	data   any    // what is sent, as JSON, or a literal
	tokens int    // completion tokens that the caller has once it is sent
}

// script is a stream, event by event. The generation is booked between the events and the closing ones, so that whoever
// reads its usage or its end finds its record.
type script struct {
	events  []event
	closing []event // the last of these is how the endpoint ends a stream
}

// partKind says what a part of a choice is.
type partKind int

const (
	partText    partKind = iota // of the content, or of the arguments of a call
	partOpening                 // the begin of a choice
	partCall                    // the id and name of a tool call
	partEnd                     // the finish reason
)

// part is what a stream adds to one choice at a time, and the tokens that it brings.
type part struct {
	choice *choice
	kind   partKind
	text   string
	tokens int
}

// parts are a stream in order: the openings, then all choices in turn, each ending with its finish reason.
func (g *generation) parts(perEvent int) []part {
	var all []part
	longest := 0
	for i := range g.choices {
		c := &g.choices[i]
		all = append(all, part{choice: c, kind: partOpening})
		if c.call != nil {
			all = append(all, part{choice: c, kind: partCall, tokens: 1})
		}
		longest = max(longest, len(c.pieces))
	}
	for at := 0; at <= longest && len(g.choices) > 0; at += perEvent {
		for i := range g.choices {
			all = g.choices[i].appendParts(all, at, perEvent)
		}
	}
	return all
}

// appendParts adds the pieces of one choice from a position on, and its end once they are through.
func (c *choice) appendParts(all []part, at, count int) []part {
	end := min(at+count, len(c.pieces))
	if at < end {
		all = append(all, part{choice: c, text: strings.Join(c.pieces[at:end], ""), tokens: end - at})
	}
	if at <= len(c.pieces) && len(c.pieces) < at+count {
		all = append(all, part{choice: c, kind: partEnd})
	}
	return all
}
