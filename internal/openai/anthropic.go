package openai

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Messages is POST /messages, Anthropic's, which OpenRouter and others serve too.
var Messages = &Operation{
	Name:     "chat",
	Endpoint: "Messages",
	Path:     "/messages",
	Answer:   "a message",

	parameters:  newParameters(slices.Concat(messagesParameters, messagesOwned), ownedParameters),
	required:    []string{"model", "max_tokens", "messages"},
	content:     "messages",
	limits:      []string{"max_tokens"},
	check:       checkMessages,
	leastTokens: leastOfMessages,
	overhead:    chatOverhead,

	read:         readMessageAnswer,
	ownEnd:       true,
	stream:       messageStream,
	failure:      messageFailure,
	failureEvent: messageFailureEvent,

	checkHeader: checkMessagesHeader,
	setHeader:   setMessagesHeader,
	rateHeader:  setMessagesRate,
	idHeader:    "Request-Id",
}

// messagesParameters has the parameters of a message that are the client's, from Anthropic's API reference.
var messagesParameters = []parameter{
	{name: "model", from: OpenRouter, want: "a string", read: readModel, about: "The model, by the route's name or an alias."},
	{name: "messages", role: prompt, from: OpenRouter, want: "an array of messages", content: readDialogue,
		about: "The conversation so far."},
	{name: "system", role: prompt, from: OpenRouter, want: "a string or an array of text blocks", content: readSystem,
		about: "What stands before the conversation."},
	{name: "max_tokens", from: OpenRouter, want: "an integer of at least 0", read: readLimit(0, 0),
		about: "The most tokens of the answer, thinking included; 0 only fills a cache. It is required."},
	{name: "stream", from: OpenRouter, want: "a boolean", read: readStream, about: "Answer as server-sent events."},
	{name: "stop_sequences", from: OpenRouter, want: "an array of strings", read: stringList, listed: true, impliedBy: []string{"stop"},
		about: "Sequences at which generation stops."},
	{name: "temperature", from: OpenRouter, want: "a number from 0 to 1", read: number(0, 1), listed: true, settable: true,
		about: "The sampling temperature; 0 is nearly deterministic."},
	{name: "top_p", from: OpenRouter, want: "a number from 0 to 1", read: number(0, 1), listed: true, settable: true,
		about: "Nucleus sampling: only the tokens within this cumulative probability."},
	{name: "top_k", from: OpenRouter, want: "an integer of at least 0", read: integer(0), listed: true, settable: true,
		about: "Only the k most probable tokens."},
	{name: "tools", role: prompt, from: OpenRouter, want: "an array of tools that the client runs", read: readMessageTools, listed: true,
		about: "The tools that the model may call; the client runs them."},
	{name: "tool_choice", role: prompt, from: OpenRouter, want: wantMessageChoice, read: readMessageChoice, listed: true,
		impliedBy: []string{"tools"}, about: "Which tool, if any, is called."},
	{name: "thinking", role: prompt, from: OpenRouter, want: wantThinking, read: readThinking, listed: true, impliedBy: reasoningNames,
		idle: "disabled", about: "How much the model thinks before it answers; `budget_tokens` must be less than `max_tokens`."},
	{name: "output_config", role: prompt, from: OpenRouter, want: "an object of effort and format", read: readOutputConfig,
		parts: []part{{name: "format", want: wantMessageFormat, listedAs: formatNames, about: "The JSON schema that the answer follows."}},
		about: "How much work goes into the answer, and the JSON schema that it follows."},
	{name: "output_format", role: prompt, from: OpenRouter, want: wantMessageFormat, read: readOutputFormat, listed: true,
		impliedBy: formatNames, about: "The older form of `output_config.format`."},
	{name: "metadata", from: OpenRouter, want: "an object with a user_id", read: readUserID,
		about: "An end user, for abuse reports."},
}

// messagesOwned has those that are the route's beside the ones that are so in every operation.
var messagesOwned = []parameter{
	{name: "mcp_servers", role: owned, from: OpenRouter, about: "Anthropic: tools that run at the upstream."},
	{name: "container", role: owned, from: OpenRouter, about: "Anthropic: code that runs at the upstream is paid for."},
	{name: "context_management", role: owned, from: OpenRouter, about: "Changes the prompt, and summaries of it are paid for."},
	{name: "user_profile_id", role: owned, from: OpenRouter, about: "Anthropic: it belongs to the upstream's account."},
	{name: "workspace_id", role: owned, from: OpenRouter, about: "Anthropic: which of the account's workspaces pays."},
	{name: "anthropic_beta", role: owned, from: OpenRouter, about: "Anthropic: a beta can change the price."},
	{name: "betas", role: owned, from: OpenRouter, about: "Anthropic: a beta can change the price."},
}

// checkMessages checks parameters of which one says what another may be.
func checkMessages(r *Request) *Error {
	limit := r.CompletionLimit()
	switch {
	case limit == nil:
		return missing("max_tokens")
	case r.thinkingBudget >= *limit && r.thinkingBudget > 0:
		return conflict("thinking.budget_tokens", "'thinking.budget_tokens' must be less than 'max_tokens'.")
	}
	return nil
}

const versionHeader = "Anthropic-Version"

// messagesVersions are the versions of Anthropic's API that clients may ask for. The first one is what upstreams are asked for: what the
// later one takes it takes too, and the answers are the same.
var messagesVersions = []string{"2023-06-01", "2026-10-21"}

// checkMessagesHeader refuses a version whose answers may have another shape than those that clients get. Without any the client can mean
// no other one; Anthropic itself is strict there, and only its SDKs send it by themselves.
func checkMessagesHeader(header http.Header) *Error {
	asked := header.Get(versionHeader)
	if asked == "" || slices.Contains(messagesVersions, asked) {
		return nil
	}
	return InvalidRequest("", "anthropic-version: %.40q is not served here. Send %s.", asked, strings.Join(messagesVersions, " or "))
}

// setMessagesHeader sets the version, and the key where servers look for it. Most compatible ones, vLLM among them, look for a bearer
// token, and some for x-api-key alone, so that they get both. Anthropic takes a bearer token for one of OAuth and refuses a key there; its
// keys are told by how they begin.
func setMessagesHeader(header http.Header, provider Provider, key string) {
	header.Set(versionHeader, messagesVersions[0])
	if key == "" || provider != Compatible {
		return
	}
	header.Set("X-Api-Key", key)
	if strings.HasPrefix(key, "sk-ant-") {
		header.Del("Authorization")
	}
}

// setMessagesRate sets Anthropic's headers, in which a reset is a point in time.
func setMessagesRate(header http.Header, l RateLimit, now time.Time) {
	name := "Anthropic-Ratelimit-" + strings.ToUpper(l.Unit[:1]) + l.Unit[1:]
	header.Set(name+"-Limit", strconv.FormatInt(l.Limit, 10))
	header.Set(name+"-Remaining", strconv.FormatInt(max(l.Remaining, 0), 10))
	header.Set(name+"-Reset", now.Add(max(l.ResetsIn, 0)).UTC().Format(time.RFC3339))
}

// messageErrorTypes are Anthropic's types of errors by status; those that it does not name are invalid requests below 500, and errors of
// the API above.
var messageErrorTypes = map[int]string{
	http.StatusUnauthorized:          "authentication_error",
	http.StatusPaymentRequired:       "billing_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusConflict:              "conflict_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusGatewayTimeout:        "timeout_error",
	statusOverloaded:                 "overloaded_error",
}

// statusOverloaded is Anthropic's, and net/http does not name it.
const statusOverloaded = 529

func messageErrorType(status int) string {
	kind, named := messageErrorTypes[status]
	switch {
	case named:
		return kind
	case status >= http.StatusInternalServerError:
		return "api_error"
	}
	return TypeInvalidRequest
}

// messageError is Anthropic's shape. Code and Param are not in it: they say what its types are too coarse for.
type messageError struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Code    string `json:"code,omitempty"`
		Param   string `json:"param,omitempty"`
	} `json:"error"`
	RequestID string `json:"request_id,omitempty"`
}

func messageFailure(d Dialect, e *Error) any {
	failure := messageError{Type: "error", RequestID: d.RequestID}
	failure.Error.Type, failure.Error.Message = messageErrorType(e.Status), e.Message
	failure.Error.Code, failure.Error.Param = e.Code, e.Param
	return failure
}

func messageFailureEvent(d Dialect, e *Error) []byte {
	return namedEvent(nil, "error", messageFailure(d, e))
}

// namedEvent appends an event with a name to a stream.
func namedEvent(stream []byte, name string, data any) []byte {
	return fmt.Appendf(stream, "event: %s\ndata: %s\n\n", name, encode(data))
}
