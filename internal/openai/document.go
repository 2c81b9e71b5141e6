package openai

import "slices"

// document is a JSON object whose members can be set while every other byte stays.
type document struct {
	raw     []byte
	members []member
	// end is where the closing brace is.
	end int
}

// member is a member of a document.
type member struct {
	name string
	// start and end are where the value is in the document; start is 0 for a member that was added.
	start, end int
	// value is the new value; nil where the old one stays.
	value []byte
	// prompt is how many bytes the value can put into the prompt.
	prompt int64
}

func (d *document) find(name string) *member {
	for i := range d.members {
		if d.members[i].name == name {
			return &d.members[i]
		}
	}
	return nil
}

// last returns the value of the last member of this name, as most readers do where there are several; nil if there is none.
func (d *document) last(name string) []byte {
	for _, m := range slices.Backward(d.members) {
		if m.name == name {
			return d.raw[m.start:m.end]
		}
	}
	return nil
}

// get returns the value of a member as it stands, nil if there is none.
func (d *document) get(name string) []byte {
	m := d.find(name)
	switch {
	case m == nil:
		return nil
	case m.value != nil:
		return m.value
	}
	return d.raw[m.start:m.end]
}

// set gives a member a new value and returns it, added if it is not there yet.
func (d *document) set(name string, value []byte) *member {
	m := d.find(name)
	if m == nil {
		d.members = append(d.members, member{name: name})
		m = &d.members[len(d.members)-1]
	}
	m.value = value
	return m
}

// bytes returns the document with its edits: new values stand where the old ones stood, added members before the closing brace. Without
// edits it is the original.
func (d *document) bytes() []byte {
	size, edited, bare := len(d.raw), false, true
	for _, m := range d.members {
		bare = bare && m.start == 0
		if m.value != nil {
			edited = true
			size += len(m.value) + len(m.name) + len(`,"":`)
		}
	}
	if !edited {
		return d.raw
	}
	out, from := make([]byte, 0, size), 0
	for _, m := range d.members {
		if m.start == 0 || m.value == nil {
			continue
		}
		out = append(append(out, d.raw[from:m.start]...), m.value...)
		from = m.end
	}
	out = append(out, d.raw[from:d.end]...)
	for _, m := range d.members {
		if m.start != 0 {
			continue
		}
		if !bare {
			out = append(out, ',')
		}
		bare = false
		out = append(append(append(out, quote(m.name)...), ':'), m.value...)
	}
	return append(out, d.raw[d.end:]...)
}

// parseObject reads an object that is known to be good JSON.
func parseObject(raw []byte) document {
	s := &scanner{data: raw}
	d := document{raw: raw}
	for s.enterObject(); s.nextMember(); {
		name := string(s.key)
		value := s.span()
		d.members = append(d.members, member{name: name, start: s.pos - len(value), end: s.pos})
	}
	d.end = s.pos - 1
	return d
}

// quote returns text as a JSON string. Text that is no UTF-8 gets replacement characters.
func quote(text string) []byte { return encode(text) }
