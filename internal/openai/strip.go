package openai

import "bytes"

// span is a part of an event's Data: from its first byte to the byte behind its last.
type span struct{ from, to int }

// StripUsage takes the usage out of an event for a client that did not ask for it: out is what to send, and drop is true if nothing
// is left to send. A chunk without choices that has a usage is dropped, since without asking there would be none; from any other
// chunk only the member usage goes, null or not, and every other byte stays. An event that is no chunk stays as it is, and so does
// an error. out is event.Raw or a slice of its own.
func StripUsage(event Event) (out []byte, drop bool) {
	if event.CommentOnly || event.Done {
		return event.Raw, false
	}
	cuts, usageOnly := findUsage(event.Data)
	switch {
	case usageOnly:
		return nil, true
	case len(cuts) == 0:
		return event.Raw, false
	}
	return cutData(event, cuts), false
}

// findUsage returns where a chunk's members named usage are, each with one of the commas beside it, and whether the usage is all that the
// chunk is for.
func findUsage(data []byte) (cuts []span, usageOnly bool) {
	s := scanner{data: data}
	var hasUsage, hasMore bool
	var finder cutFinder
	for s.enterObject(); s.nextMember(); {
		keyStart, key := s.keyStart, s.key
		value := s.span()
		finder.member(string(key) == "usage", span{keyStart, s.pos})
		switch string(key) {
		case "usage":
			hasUsage = hasUsage || bytes.HasPrefix(value, []byte("{"))
		case "choices":
			hasMore = hasMore || !isEmpty(value)
		case "error":
			hasMore = hasMore || !isFalsy(value)
		}
	}
	if s.end(); s.err != nil {
		return nil, false
	}
	return finder.all(), hasUsage && !hasMore
}

// cutFinder gathers what to cut so that some members of an object go, each with one of the commas beside it.
type cutFinder struct {
	cuts []span
	last span // the member before
	kept bool // some member before stays
	open bool // the member before goes, and the comma behind it, since nothing before it stays
}

// member takes the next member of the object, from its key to the end of its value.
func (f *cutFinder) member(goes bool, at span) {
	if f.open {
		f.cuts = append(f.cuts, span{f.last.from, at.from})
	}
	f.open = goes && !f.kept
	if goes && f.kept {
		f.cuts = append(f.cuts, span{f.last.to, at.to})
	}
	f.kept = f.kept || !goes
	f.last = at
}

// all returns the cuts once the object has no more members.
func (f *cutFinder) all() []span {
	if f.open {
		return append(f.cuts, f.last)
	}
	return f.cuts
}

// isEmpty reports whether a JSON value is null or an array or object without entries.
func isEmpty(value []byte) bool {
	if string(value) == "null" {
		return true
	}
	isContainer := len(value) >= 2 && (value[0] == '[' || value[0] == '{')
	return isContainer && len(bytes.TrimSpace(value[1:len(value)-1])) == 0
}

// isFalsy reports whether Python, and with it OpenAI's SDK, takes a JSON value for false.
func isFalsy(value []byte) bool {
	switch string(value) {
	case "false", `""`, "0":
		return true
	}
	return isEmpty(value)
}

// cutData returns the event without parts of its data, on whichever of its lines they are.
func cutData(event Event, cuts []span) []byte {
	raw := event.Raw
	out := make([]byte, 0, len(raw))
	copied, dataStart := 0, 0 // how much of raw is dealt with, and where in Data the next data line's value begins
	for position := event.skip; position < len(raw); {
		line, length := nextLine(raw[position:])
		if name, value := splitField(line); string(name) == "data" {
			valueStart := position + len(line) - len(value)
			for _, cut := range cuts {
				from, to := max(cut.from-dataStart, 0), min(cut.to-dataStart, len(value))
				if from < to {
					out = append(out, raw[copied:valueStart+from]...)
					copied = valueStart + to
				}
			}
			dataStart += len(value) + 1
		}
		position += length
	}
	return append(out, raw[copied:]...)
}
