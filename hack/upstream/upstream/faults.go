package upstream

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultHeader and TagHeader are the headers by which a caller chooses faults and marks a request in the books.
const (
	FaultHeader = "X-Upstream-Fault"
	TagHeader   = "X-Upstream-Tag"
)

// faults is what one request asked to go wrong. The zero value is an upstream that works.
type faults struct {
	text string // as chosen, for the books

	// Before the headers.
	status     int
	retryAfter int
	delay      time.Duration
	reset      bool
	lost       bool
	error200   string // "", faultBody or faultChoice
	stringCode bool

	// The answer.
	answerTokens int
	overrun      int
	cancellable  bool
	json         bool
	usage        string
	cost         string
	cached       int
	cacheWrite   int

	// The stream.
	firstByteDelay time.Duration
	chunkDelay     time.Duration
	cut            int // data events sent before it; -1 is never
	errorChunk     int // the same
	emptyChoices   bool
	big            int
	noDone         bool
	noNewline      bool
	retryLines     bool
	crlf           bool
	cr             bool
	multiLine      bool
	split          bool
}

// The values of the faults that take a word.
const (
	faultBody   = "body"
	faultChoice = "choice"

	usageMissing     = "missing"
	usageFirst       = "first"
	usageEvery       = "every"
	usageWithChoices = "with-choices"
	usageNullOthers  = "null-others"

	costNone     = "none"
	costBYOK     = "byok"
	costExponent = "exponent"
)

// fault is one row of the table of faults, which the README repeats.
type fault struct {
	name    string
	value   string // what follows "=", for people; empty if nothing does
	effect  string
	bills   string
	apply   func(f *faults, value string) error
	anyText bool // the value may be left out
}

// faultTable lists every fault there is: how it is chosen, what happens, and what is billed.
var faultTable = []fault{
	{name: "status", value: "NNN", effect: "answer with this status and the endpoint's error envelope", bills: "nothing",
		apply: number32(func(f *faults) *int { return &f.status }, 400, 599)},
	{name: "retry-after", value: "SECONDS", effect: "with `status`: a Retry-After header", bills: "as without",
		apply: number32(func(f *faults) *int { return &f.retryAfter }, 1, 86400)},
	{name: "delay", value: "DUR", effect: "wait before the headers",
		bills: "all, also when the caller hangs up meanwhile (cancellable: nothing then)",
		apply: duration(func(f *faults) *time.Duration { return &f.delay })},
	{name: "reset", effect: "close the TCP connection with RST before the headers", bills: "nothing",
		apply: flag(func(f *faults) *bool { return &f.reset })},
	{name: "lost", effect: "produce the whole answer, then close with RST before the headers", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.lost })},
	{name: "error-200", value: "[choice]",
		effect: "status 200 and JSON with an error: at the top, or in `choices[0]` (/responses: `failed`)",
		bills:  "nothing; `choice` keeps a record of 0",
		apply:  word(func(f *faults) *string { return &f.error200 }, faultBody, faultBody, faultChoice), anyText: true},
	{name: "string-code", effect: "with `status`, `error-200` or `error-chunk`: `error.code` is a string", bills: "as without",
		apply: flag(func(f *faults) *bool { return &f.stringCode })},
	{name: "answer", value: "TOKENS", effect: "an answer of exactly so many tokens (the limit still holds)", bills: "all",
		apply: number32(func(f *faults) *int { return &f.answerTokens }, 1, 1<<20)},
	{name: "overrun", value: "TOKENS", effect: "so many completion tokens more than the limit, per choice", bills: "all, the overrun too",
		apply: number32(func(f *faults) *int { return &f.overrun }, 1, 1<<16)},
	{name: "cancellable", effect: "the provider stops when the stream ends early",
		bills: "the prompt and the tokens sent; nothing if none was",
		apply: flag(func(f *faults) *bool { return &f.cancellable })},
	{name: "json", effect: "a JSON answer to a request for a stream", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.json })},
	{name: "missing-usage", effect: "no usage at all", bills: "all",
		apply: set(func(f *faults) *string { return &f.usage }, usageMissing)},
	{name: "usage", value: "SHAPE", effect: "streamed usage `first` (a preview, and the last), `every` chunk (cumulative), " +
		"`with-choices` (one empty choice), `null-others` (null on all other chunks); " +
		"of /messages `first` alone: the prompt's only in `message_start`", bills: "all",
		apply: word(func(f *faults) *string { return &f.usage }, "", usageFirst, usageEvery, usageWithChoices, usageNullOthers)},
	{name: "no-cost", effect: "usage without cost, as a plain OpenAI upstream", bills: "all",
		apply: set(func(f *faults) *string { return &f.cost }, costNone)},
	{name: "byok", effect: "`is_byok: true`: cost is a fee of 5 %, the inference comes on top", bills: "fee and inference",
		apply: set(func(f *faults) *string { return &f.cost }, costBYOK)},
	{name: "exponent", effect: "cost as a number with an exponent, such as 8000e-9", bills: "all",
		apply: set(func(f *faults) *string { return &f.cost }, costExponent)},
	{name: "cached", value: "TOKENS", effect: "so many tokens of the prompt are read from a cache",
		bills: "these at the price of a cache read",
		apply: number32(func(f *faults) *int { return &f.cached }, 1, 1<<20)},
	{name: "cache-write", value: "TOKENS", effect: "so many tokens of the prompt are written to a cache",
		bills: "these at the price of a cache write",
		apply: number32(func(f *faults) *int { return &f.cacheWrite }, 1, 1<<20)},
	{name: "first-byte-delay", value: "DUR", effect: "send the headers, then wait before the first byte",
		bills: "all (cancellable: nothing if the caller hangs up)",
		apply: duration(func(f *faults) *time.Duration { return &f.firstByteDelay })},
	{name: "chunk-delay", value: "DUR", effect: "wait before each data event", bills: "all (cancellable: the tokens sent)",
		apply: duration(func(f *faults) *time.Duration { return &f.chunkDelay })},
	{name: "cut", value: "N", effect: "break the connection after N data events, without `[DONE]` or a clean end",
		bills: "all (cancellable: the tokens sent)",
		apply: number32(func(f *faults) *int { return &f.cut }, 0, 1<<20)},
	{name: "error-chunk", value: "N", effect: "an error chunk after N data events, then the end without `[DONE]`",
		bills: "nothing; the books keep a record of 0",
		apply: number32(func(f *faults) *int { return &f.errorChunk }, 0, 1<<20)},
	{name: "empty-choices", effect: "with `error-chunk`: its `choices` are empty (/responses: an `error` of no response)",
		bills: "as without", apply: flag(func(f *faults) *bool { return &f.emptyChoices })},
	{name: "big", value: "BYTES", effect: "the first data event has at least so many bytes (an `obfuscation` field)", bills: "all",
		apply: number32(func(f *faults) *int { return &f.big }, 1, 64<<20)},
	{name: "no-done", effect: "a clean end without `[DONE]` (/messages, /responses: without the last event)", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.noDone })},
	{name: "no-trailing-newline", effect: "the stream ends right after `[DONE]` or the last event, without a newline", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.noNewline })},
	{name: "retry-lines", effect: "`retry:` blocks before the first and after each data event", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.retryLines })},
	{name: "crlf", effect: "lines end with CR LF", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.crlf })},
	{name: "cr", effect: "lines end with CR alone", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.cr })},
	{name: "multi-line", effect: "each event has its JSON on several `data:` lines", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.multiLine })},
	{name: "split", effect: "writes of one to three bytes, so that `data:` and characters of several bytes are torn", bills: "all",
		apply: flag(func(f *faults) *bool { return &f.split })},
}

func flag(field func(*faults) *bool) func(*faults, string) error {
	return func(f *faults, _ string) error {
		*field(f) = true
		return nil
	}
}

func set(field func(*faults) *string, value string) func(*faults, string) error {
	return func(f *faults, _ string) error {
		*field(f) = value
		return nil
	}
}

func word(field func(*faults) *string, otherwise string, allowed ...string) func(*faults, string) error {
	return func(f *faults, value string) error {
		if value == "" {
			value = otherwise
		}
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("expected one of %s", strings.Join(allowed, ", "))
		}
		*field(f) = value
		return nil
	}
}

func number32(field func(*faults) *int, low, high int) func(*faults, string) error {
	return func(f *faults, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < low || n > high {
			return fmt.Errorf("expected an integer between %d and %d", low, high)
		}
		*field(f) = n
		return nil
	}
}

func duration(field func(*faults) *time.Duration) func(*faults, string) error {
	return func(f *faults, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 || d > time.Hour {
			return fmt.Errorf("expected a duration of at most an hour, such as 250ms")
		}
		*field(f) = d
		return nil
	}
}

// faultUserPrefix begins a "user" that chooses faults, since a proxy may drop unknown headers.
const faultUserPrefix = "fault:"

// faultMarker chooses faults from within the last user message, which the user of any SDK can write.
var faultMarker = regexp.MustCompile(`\[\[fault:([^\]]*)\]\]`)

// chosenFaults reads the faults of a request from its header, its user and its last user message, and all of them count.
// An unknown fault is an error, so that a test with a slip of the pen does not pass.
func chosenFaults(header http.Header, req *request) (faults, error) {
	parts := header.Values(FaultHeader)
	if rest, ok := strings.CutPrefix(req.user, faultUserPrefix); ok {
		parts = append(parts, rest)
	}
	for i := range req.prompts {
		for _, found := range faultMarker.FindAllStringSubmatch(req.prompts[i].lastUser(), -1) {
			parts = append(parts, found[1])
		}
	}
	return parseFaults(strings.Join(parts, ","))
}

func parseFaults(text string) (faults, error) {
	f := faults{cut: -1, errorChunk: -1}
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		row := findFault(name)
		if row == nil {
			return f, badRequest("unknown fault %q", name)
		}
		if row.value == "" && value != "" {
			return f, badRequest("fault %q takes no value", name)
		}
		if err := row.apply(&f, value); err != nil {
			return f, badRequest("fault %q: %v", part, err)
		}
		names = append(names, part)
	}
	f.text = strings.Join(names, ",")
	return f, f.idle()
}

// idle refuses a fault that does nothing without another one.
func (f *faults) idle() error {
	switch {
	case f.retryAfter > 0 && f.status == 0:
		return badRequest(`fault "retry-after" needs "status"`)
	case f.stringCode && f.status == 0 && f.error200 == "" && f.errorChunk < 0:
		return badRequest(`fault "string-code" needs "status", "error-200" or "error-chunk"`)
	case f.emptyChoices && f.errorChunk < 0:
		return badRequest(`fault "empty-choices" needs "error-chunk"`)
	case f.crlf && f.cr:
		return badRequest(`fault "crlf" and fault "cr" exclude each other`)
	default:
		return nil
	}
}

func findFault(name string) *fault {
	for i := range faultTable {
		if faultTable[i].name == name {
			return &faultTable[i]
		}
	}
	return nil
}

// refusal is the error answer that a request asked for, or nil.
func (f *faults) refusal(provider string) *apiError {
	if f.status == 0 {
		return nil
	}
	e := newError(f.status, "Provider returned error")
	e.retryAfter, e.stringCode = f.retryAfter, f.stringCode
	if f.status >= http.StatusInternalServerError || f.status == http.StatusTooManyRequests {
		e.provider = provider
	}
	return e
}

// providerError is what fails after the status has been sent.
func (f *faults) providerError(provider string) *apiError {
	e := newError(http.StatusBadGateway, "Provider returned error")
	e.provider, e.stringCode = provider, f.stringCode
	return e
}

// splitPrefix begins every answer under the fault "split", so that there is a character of several bytes to tear.
const splitPrefix = "∀ naïve 🙂: "
