package openai

import (
	"slices"
	"strings"
)

// MayReason reports whether a model that supports these parameters may reason before it answers. One of which it is not said what it
// supports may.
func MayReason(supported []string) bool {
	return len(supported) == 0 || slices.ContainsFunc(supported, func(name string) bool {
		return strings.Contains(name, "reasoning") || name == "thinking"
	})
}

// ForgoesReasoning reports whether the request, as it goes upstream, asks the model not to reason.
func (r *Request) ForgoesReasoning() bool {
	switch {
	case decodeString(r.document.get("reasoning_effort")) == "none":
		return true
	case stringIn(r.document.get("reasoning"), "effort") == "none":
		return true
	}
	return stringIn(r.document.get("thinking"), "type") == "disabled"
}

// stringIn is the string that a value has as a member; empty if it is no object or has none.
func stringIn(value []byte, member string) string {
	if len(value) == 0 || value[0] != '{' {
		return ""
	}
	object := parseObject(value)
	return decodeString(object.get(member))
}
