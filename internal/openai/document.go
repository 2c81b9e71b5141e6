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
	// parameter is what is known of it; nil if that is nothing.
	parameter *parameter
	// key and keyEnd are where the key is in the document, quotes and all; start and end are where the value is. All are 0 for a member
	// that was added.
	key, keyEnd, start, end int
	// value is the new value; nil where the old one stays.
	value []byte
	// renamed says that name is not what stands there as the key; removed, that the member is left out.
	renamed, removed bool
	// prompt is how many bytes the value can put into the prompt.
	prompt int64
}

func (d *document) find(name string) *member {
	for i := range d.members {
		if d.members[i].name == name && !d.members[i].removed {
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
	if m := d.find(name); m != nil {
		return d.valueOf(m)
	}
	return nil
}

// valueOf returns the value of a member as it stands.
func (d *document) valueOf(m *member) []byte {
	if m.value != nil {
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

// bytes returns the document with its edits: new values and keys stand where the old ones stood, added members before the closing
// brace. A member that is removed goes with its key and the comma before it, or, if nothing is left before it, the comma behind it,
// and the white space beside that comma. Without edits it is the original.
func (d *document) bytes() []byte {
	size, edited := len(d.raw), false
	for i := range d.members {
		if m := &d.members[i]; m.value != nil || m.removed || m.renamed {
			edited = true
			size += len(m.value) + len(m.name) + len(`,"":`)
		}
	}
	if !edited {
		return d.raw
	}
	out, from, bare := make([]byte, 0, size), 0, true
	for i := range d.members {
		m := &d.members[i]
		if m.start == 0 {
			continue
		}
		if m.removed {
			cut, to := d.extent(i, bare)
			out, from = append(out, d.raw[from:cut]...), to
			continue
		}
		bare = false
		if m.renamed {
			out, from = appendKey(append(out, d.raw[from:m.key]...), m.name), m.keyEnd
		}
		if m.value != nil {
			out, from = append(append(out, d.raw[from:m.start]...), m.value...), m.end
		}
	}
	out = d.appendAdded(append(out, d.raw[from:d.end]...), bare)
	return append(out, d.raw[d.end:]...)
}

// extent returns the bytes that go with a member that is removed; bare says that no member is left before it.
func (d *document) extent(index int, bare bool) (from, to int) {
	m := &d.members[index]
	switch next := index + 1; {
	case !bare:
		return d.members[index-1].end, m.end
	case next < len(d.members) && d.members[next].start != 0:
		return m.key, d.members[next].key
	}
	return m.key, m.end
}

func (d *document) appendAdded(out []byte, bare bool) []byte {
	for i := range d.members {
		m := &d.members[i]
		if m.start != 0 || m.removed {
			continue
		}
		if !bare {
			out = append(out, ',')
		}
		bare = false
		out = append(append(appendKey(out, m.name), ':'), m.value...)
	}
	return out
}

// appendKey appends a name as a key. In most there is nothing to escape.
func appendKey(out []byte, name string) []byte {
	for _, c := range []byte(name) {
		if c != '_' && (c < 'a' || c > 'z') {
			return append(out, quote(name)...)
		}
	}
	return append(append(append(out, '"'), name...), '"')
}

// parseObject reads an object that is known to be good JSON.
func parseObject(raw []byte) document {
	s := &scanner{data: raw}
	d := document{raw: raw}
	for s.enterObject(); s.nextMember(); {
		m := member{name: string(s.key), key: s.keyStart, keyEnd: s.keyEnd}
		value := s.span()
		m.start, m.end = s.pos-len(value), s.pos
		d.members = append(d.members, m)
	}
	d.end = s.pos - 1
	return d
}

// quote returns text as a JSON string. Text that is no UTF-8 gets replacement characters.
func quote(text string) []byte { return encode(text) }
