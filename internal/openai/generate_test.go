package openai

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// piece is one member of a generated object, in the very bytes that stand in the text.
type piece struct{ name, key, beforeColon, afterColon, value string }

// text is a generated object. It knows its own parts, so that a test can say without any parser what an edit must make of it.
type text struct {
	before, after string // white space around the object
	open, close   string // white space behind its opening and before its closing brace
	separators    []string
	pieces        []piece
}

// render returns the object with some values replaced and some members added at its end.
func (t text) render(values map[string]string, added ...string) string {
	var out strings.Builder
	out.WriteString(t.before + "{" + t.open)
	for i, p := range t.pieces {
		if i > 0 {
			out.WriteString(t.separators[i])
		}
		value, replaced := values[p.name]
		if !replaced {
			value = p.value
		}
		out.WriteString(p.key + p.beforeColon + ":" + p.afterColon + value)
	}
	out.WriteString(t.close)
	for i, member := range added {
		if i > 0 || len(t.pieces) > 0 {
			out.WriteString(",")
		}
		out.WriteString(member)
	}
	out.WriteString("}" + t.after)
	return out.String()
}

// drawObject draws an object with these members, in any order, and others of other names.
func drawObject(t *rapid.T, members map[string]string, others int) text {
	var object text
	for name, value := range members {
		object.pieces = append(object.pieces, piece{name: name, value: value})
	}
	for i := range rapid.IntRange(0, others).Draw(t, "others") {
		name := fmt.Sprintf("x%d%s", i, rapid.StringOfN(rapid.RuneFrom([]rune(`ab"\/é😀`)), 0, 4, -1).Draw(t, "name"))
		object.pieces = append(object.pieces, piece{name: name, value: drawValue(t, 3)})
	}
	// A map has no order, but a test that fails must fail again from the same draws.
	sortPieces(object.pieces)
	object.pieces = rapid.Permutation(object.pieces).Draw(t, "order")
	object.before, object.after = drawSpace(t), drawSpace(t)
	object.open, object.close = drawSpace(t), drawSpace(t)
	for i := range object.pieces {
		p := &object.pieces[i]
		p.key, p.beforeColon, p.afterColon = drawString(t, p.name), drawSpace(t), drawSpace(t)
		object.separators = append(object.separators, drawSpace(t)+","+drawSpace(t))
	}
	return object
}

func sortPieces(pieces []piece) {
	for i := range pieces {
		for j := i; j > 0 && pieces[j].name < pieces[j-1].name; j-- {
			pieces[j], pieces[j-1] = pieces[j-1], pieces[j]
		}
	}
}

func drawSpace(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n  "}).Draw(t, "space")
}

// drawString returns a JSON string that stands for value, some of its characters escaped in one of the ways that there are.
func drawString(t *rapid.T, value string) string {
	style := rapid.IntRange(0, 2).Draw(t, "escapes")
	var out strings.Builder
	for _, r := range value {
		must := r < 0x20 || r == '"' || r == '\\'
		switch {
		case style == 2 && r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&out, `\u%04x\u%04X`, high, low)
		case style == 2 && r <= 0xffff, must && r < 0x20:
			fmt.Fprintf(&out, `\u%04x`, r)
		case must, style == 1 && r == '/':
			out.WriteString(`\` + string(r))
		default:
			out.WriteRune(r)
		}
	}
	return `"` + out.String() + `"`
}

// drawValue draws any JSON value.
func drawValue(t *rapid.T, depth int) string {
	kinds := 4
	if depth > 0 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "literal")
	case 1:
		numbers := []string{"0", "-0", "1e400", "12345678901234567890123456789", "0.10", "-1.5E-7", "1e20", "3"}
		return rapid.SampledFrom(numbers).Draw(t, "number")
	case 2, 3:
		return drawString(t, drawText(t))
	case 4:
		return drawObject(t, nil, 3).bare()
	default:
		var elements []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			elements = append(elements, drawSpace(t)+drawValue(t, depth-1)+drawSpace(t))
		}
		return "[" + strings.Join(elements, ",") + "]"
	}
}

// bare renders an object that is a value, without space around it.
func (t text) bare() string {
	t.before, t.after = "", ""
	return t.render(nil)
}

// drawText draws text of all the kinds that matter here: plain, markup, JSON in text, control characters, characters of every length,
// characters that normal form C makes longer.
func drawText(t *rapid.T) string {
	runes := []rune("aZ09 {}[],:\"\\/<>&'\n\t\x00\x7fé漢😀\u0958\ufb2c\U0001d160\ufffd")
	return rapid.StringOfN(rapid.RuneFrom(runes), 0, 24, -1).Draw(t, "text")
}
