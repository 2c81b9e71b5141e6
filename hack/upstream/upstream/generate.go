package upstream

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// choice is one answer as its tokens, in the order in which they are produced.
type choice struct {
	index  int
	prompt *prompt
	pieces []string  // one token each: of the content, or of the arguments of the call
	call   *toolCall // nil for an answer in words; its arguments are the pieces joined
	tokens int       // what is billed: at least the pieces; a stop sequence is produced too, though not shown
	finish string
	stop   string // the stop sequence that ended it, if one did
}

const (
	finishStop   = "stop"
	finishLength = "length"
	finishTools  = "tool_calls"
	finishError  = "error"
)

func (c *choice) content() string { return strings.Join(c.pieces, "") }

// generator produces the choices of one prompt.
type generator struct {
	req    *request
	prompt *prompt
	about  string // the last user message, without what is not for the model
	limit  int    // tokens of each choice; 0 is none
	usual  int    // tokens of an answer whose length the prompt leaves open
	exact  int    // tokens of every answer, if not 0
	prefix string
	entropy
}

// entropy is the chance that answers vary by where no seed is given.
type entropy [2]uint64

func (g *generator) choices(count int) []choice {
	out := make([]choice, count)
	for i := range out {
		out[i] = g.choice(i)
	}
	return out
}

func (g *generator) choice(index int) choice {
	c := choice{index: index}
	random := g.random(index)
	function := g.req.chosenTool()
	if function != nil {
		schema, _ := parseSchema(function.Parameters) // readTools has refused one that is wrong.
		id := "call_" + strconv.FormatUint(random.Uint64(), 36)
		c.call = &toolCall{ID: id, Type: typeFunction, Function: toolCallFunction{Name: function.Name}}
		c.cut(slices.Collect(tokens(arguments(schema, argumentWord(g.about)))), g.limit, nil)
		c.tokens++ // the mark and name of the call, which no limit cuts
		if c.finish == finishStop {
			c.finish = finishTools
		}
		c.keepWithin(g.limit)
		return c
	}
	c.cut(slices.Collect(tokens(g.text(random))), g.limit, g.req.stop)
	return c
}

// keepWithin gives back the last token where the mark of a call has taken its place.
func (c *choice) keepWithin(limit int) {
	if limit == 0 || c.tokens <= limit {
		return
	}
	c.tokens = limit
	c.pieces = c.pieces[:max(0, len(c.pieces)-1)]
	c.finish = finishLength
}

// cut ends the answer where a model would: at the first stop sequence, at the limit, or at its end.
func (c *choice) cut(all []string, limit int, stops []string) {
	c.pieces, c.finish = all, finishStop
	if limit > 0 && len(all) > limit {
		c.pieces, c.finish = all[:limit], finishLength
	}
	c.tokens = len(c.pieces)
	text := c.content()
	at, end := len(text), len(text)
	for _, stop := range stops {
		if i := strings.Index(text, stop); i >= 0 && i < at {
			at, end, c.stop = i, i+len(stop), stop
		}
	}
	if at == len(text) {
		return
	}
	c.finish = finishStop
	c.tokens = piecesCovering(c.pieces, end)
	shown := piecesCovering(c.pieces, at)
	c.pieces = slices.Clone(c.pieces[:shown])
	if extra := len(c.content()) - at; extra > 0 {
		last := &c.pieces[shown-1]
		*last = (*last)[:len(*last)-extra]
	}
}

// piecesCovering is how many pieces hold the first size bytes.
func piecesCovering(pieces []string, size int) int {
	for i, piece := range pieces {
		if size <= 0 {
			return i
		}
		size -= len(piece)
	}
	return len(pieces)
}

func (g *generator) text(random *rand.Rand) string {
	w := newWriter(g.about, random)
	switch {
	case g.req.format.kind == formatJSONObject:
		return string(marshal(members{{"answer", w.sentences(1)}, {"subject", w.subject}}))
	case g.req.format.kind == formatJSONSchema:
		text, _ := instance(g.req.format.schema, w.subject) // readFormat has refused a schema without instance.
		return text
	case g.exact > 0:
		return strings.Join(slices.Collect(tokens(g.prefix + w.tokens(g.exact)))[:g.exact], "")
	}
	if g.prompt.afterTool() {
		last := g.prompt.messages[len(g.prompt.messages)-1]
		return g.prefix + "The tool says: " + clip(strings.TrimSpace(last.text), 256)
	}
	return g.prefix + w.answer(g.usual)
}

// random is the source of chance of one choice: the prompt with the seed, or with fresh entropy where none is given and
// the temperature leaves room for chance.
func (g *generator) random(index int) *rand.Rand {
	h := sha256.New()
	h.Write([]byte(g.prompt.text))
	h.Write([]byte{0})
	extra := g.entropy
	cold := g.req.temperature != nil && *g.req.temperature == 0
	if g.req.seed != nil || cold {
		extra = entropy{}
	}
	if g.req.seed != nil {
		extra[0] = uint64(*g.req.seed) //nolint:gosec // Every bit of the seed counts; its sign does not matter.
	}
	if !cold {
		extra[1] += uint64(index) //nolint:gosec // An index of a choice is never negative.
	}
	_ = binary.Write(h, binary.BigEndian, extra) // A hash never fails.
	sum := h.Sum(nil)
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:]))) //nolint:gosec // No secret comes of it.
}

// arguments is the JSON object that a call passes; a function without a schema takes none.
func arguments(schema any, word string) string {
	s, _ := schema.(map[string]any)
	if s == nil || (s["type"] == nil && s["properties"] == nil && s["$ref"] == nil) {
		return "{}"
	}
	text, _ := instance(schema, word) // readTools has refused a schema without instance.
	return text
}

// argumentWord is what a call's free strings say: the first name (a capital inside a sentence) or the subject.
func argumentWord(prompt string) string {
	words := strings.Fields(clip(prompt, 4096))
	for _, word := range words[min(1, len(words)):] {
		word = strings.TrimFunc(word, func(r rune) bool { return classOf(r) != classWord })
		if len(word) > 1 && word[0] >= 'A' && word[0] <= 'Z' {
			return word
		}
	}
	return subjectOf(prompt)
}
