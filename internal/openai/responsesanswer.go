package openai

import (
	"strings"

	"github.com/modelroute/modelroute/internal/pricing"
)

// readResponse reads a response or an event of its stream. Only the last event of a stream has a usage, and it has all of it.
func readResponse(s *scanner, _ *pricing.Usage) outcome {
	var o outcome
	var whole responseParts
	var response []byte
	var produced int64
	kind := ""
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); key {
		case "type":
			kind = plainText(s.span())
		case "response":
			response = s.span()
		case "delta":
			produced = s.walk()
		default:
			whole.take(key, s.span())
		}
	}
	if s.err != nil {
		return outcome{}
	}
	switch {
	case kind == "error":
		o.readError(s, &whole)
	case isLifecycle(kind) && len(response) > 0 && response[0] == '{':
		o.readLifecycle(kind, response)
	case strings.HasPrefix(kind, "response."):
		if strings.HasSuffix(kind, ".delta") {
			o.produced = produced
		}
	default:
		o.readParts(&whole)
	}
	return o
}

// responseParts are the members of a response that say how it went.
type responseParts struct{ usage, failure, status, output, provider []byte }

func (p *responseParts) take(key string, value []byte) {
	switch key {
	case "usage":
		p.usage = value
	case "error":
		p.failure = value
	case "status":
		p.status = value
	case "output":
		p.output = value
	case "provider":
		p.provider = value
	}
}

func (o *outcome) readParts(parts *responseParts) {
	if len(parts.usage) > 0 && string(parts.usage) != "null" {
		o.usage, o.usageErr = responseUsage.parse(parts.usage)
	}
	switch {
	case len(parts.failure) > 0 && !isFalsy(parts.failure):
		o.reported = parseReported(parts.failure)
	case string(parts.status) == `"failed"`:
		o.reported = &ReportedError{Message: "the response failed"}
	}
	o.provider = parts.provider
	o.generated = len(parts.output) > 0 && !isEmpty(parts.output)
}

// readError reads an event that is an error and no response. Its members stand beside its type, or in an error of their own.
func (o *outcome) readError(s *scanner, whole *responseParts) {
	if len(whole.failure) > 0 && !isFalsy(whole.failure) {
		o.reported = parseReported(whole.failure)
		return
	}
	o.reported = parseReported(s.data)
}

// readLifecycle reads an event that has the whole response as it is by then.
func (o *outcome) readLifecycle(kind string, response []byte) {
	var parts responseParts
	s := &scanner{data: response}
	for s.enterObject(); s.nextMember(); {
		key := string(s.key)
		parts.take(key, s.span())
	}
	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		o.done, o.finished = true, true
		o.readParts(&parts)
		o.reportedIn = response
	default:
		o.opening = true
		o.provider = parts.provider
	}
}
