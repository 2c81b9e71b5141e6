package upstream

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// knowledge has one good sentence on subjects that examples and tests like to ask about. The first that a prompt names is taken.
var knowledge = []struct{ subject, sentence string }{
	{"quantum entanglement", "Quantum entanglement is a bond between particles that share one quantum state ψ, so that measuring " +
		"one of them at once fixes what will be found at the other, however far apart they are."},
	{"photosynthesis", "Photosynthesis is how plants turn light, water and CO₂ into sugar and oxygen."},
	{"kubernetes", "Kubernetes runs containers on a cluster of machines and keeps what is running equal to what was declared."},
	{"recursion", "Recursion is solving a problem by solving smaller cases of the same problem until one is simple."},
	{"gravity", "Gravity is the curving of space and time by mass, which we feel as a pull of about 9.8 m/s² at the surface of the Earth."},
	{"black hole", "A black hole is a region where gravity is so strong that nothing which crosses its horizon, not even light, gets out."},
	{"machine learning", "Machine learning lets a program find its own rules from examples instead of writing them by hand."},
	{"paris", "Paris is the capital of France, on the river Seine, with about 2.1 million inhabitants and very many cafés."},
	{"weather", "The weather is the state of the air at one place and time, and it is hard to foretell beyond about ten days."},
}

var openings = []string{
	"%s is best understood from what it does rather than from how it is named.",
	"At its heart, %s is about how a few simple parts work together.",
	"%s has a plain core: a small idea that holds in many places.",
	"The short answer about %s is that it depends on where you start, and the start is simple.",
}

var (
	beginnings = []string{
		"In practice,", "Seen closely,", "For most people,", "Over time,", "As a rule,", "On the whole,", "At first,", "In the end,",
	}
	subjects = []string{"%s", "the idea behind %s", "a careful view of %s", "every good account of %s", "the naïve picture of %s"}
	verbs    = []string{"rests on", "explains", "begins with", "leads to", "asks for", "makes room for"}
	objects  = []string{
		"a few facts that anyone can check", "more order than one would expect", "a balance between cost and use",
		"questions that are still open", "patience and good measurements", "a rule that holds in ≈ 90 % of cases",
		"clear words and small steps", "what was learnt from its failures",
	}
)

// writer composes plain English about a subject. The same subject and source of chance give the same text.
type writer struct {
	subject string
	about   string // the prompt, in lower case
	rand    *rand.Rand
}

func newWriter(prompt string, source *rand.Rand) *writer {
	return &writer{subject: subjectOf(prompt), about: strings.ToLower(prompt), rand: source}
}

func (w *writer) first() string {
	for _, known := range knowledge {
		if strings.Contains(w.about, known.subject) {
			return known.sentence
		}
	}
	return capital(strings.ReplaceAll(openings[w.rand.IntN(len(openings))], "%s", w.subject))
}

func (w *writer) next() string {
	pick := func(list []string) string { return list[w.rand.IntN(len(list))] }
	sentence := pick(beginnings) + " " + pick(subjects) + " " + pick(verbs) + " " + pick(objects) + "."
	return strings.ReplaceAll(sentence, "%s", w.subject)
}

// sentences writes count sentences.
func (w *writer) sentences(count int) string {
	var text strings.Builder
	text.WriteString(w.first())
	for range count - 1 {
		text.WriteString(" " + w.next())
	}
	return text.String()
}

// tokens writes whole sentences until there are at least count tokens.
func (w *writer) tokens(count int) string {
	var text strings.Builder
	text.WriteString(w.first())
	for have := CountTokens(text.String()); have < count; {
		sentence := " " + w.next()
		text.WriteString(sentence)
		have += CountTokens(sentence)
	}
	return text.String()
}

var askedLength = regexp.MustCompile(`\b(an?|one|two|three|four|five|\d{1,5})[ -](sentence|word)s?\b`)

var numberWords = map[string]int{"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}

// answer writes what the prompt asks for, in the length that it asks for or about as many tokens as usual.
func (w *writer) answer(usual int) string {
	found := askedLength.FindStringSubmatch(w.about)
	if found == nil {
		return w.tokens(usual)
	}
	count, isWord := numberWords[found[1]]
	if !isWord {
		count, _ = strconv.Atoi(found[1]) // The expression admits only up to five digits.
	}
	if found[2] == "sentence" {
		return w.sentences(count)
	}
	if count <= 1 {
		return capital(w.subject)
	}
	return w.tokens(count * 3 / 2) // English has about three of this tokenizer's tokens to two words.
}

var (
	askingWords = regexp.MustCompile(`(?i)^\s*(please\s+)?(can you\s+)?(explain|describe|summari[sz]e|define|tell me about|` +
		`write( me)? (a|an) \w+ (about|on)|write about|what (is|are|was)|who (is|was)|how (do|does)|why (is|are|do|does))\s+`)
	askedForm = regexp.MustCompile(`(?i)[\s,]+(to me\b|in (\w+|\d+)[ -](sentence|word)s?|as json|briefly|in short).*$`)
)

// subjectBytes bounds a subject: a prompt of a megabyte is not quoted in every sentence.
const subjectBytes = 48

// subjectOf guesses what a prompt is about: its first line without the words that ask.
func subjectOf(prompt string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(clip(prompt, 4*subjectBytes)), "\n")
	line = askedForm.ReplaceAllString(askingWords.ReplaceAllString(line, ""), "")
	line = strings.ReplaceAll(line, "%s", "")
	line = strings.TrimFunc(clip(line, subjectBytes), func(r rune) bool { return classOf(r) != classWord })
	if line == "" {
		return "this question"
	}
	return line
}

// clip shortens text to at most size bytes, between characters.
func clip(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
