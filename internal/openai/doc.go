// Package openai is the wire of OpenAI's API and of OpenRouter's, which is a superset and speaks Anthropic's messages too: requests and
// their edits, errors, server-sent events, usage. It works on bytes and does no I/O of its own.
//
// What the operations of the API share is written once, in request.go, rules.go, answer.go and meter.go. What they differ in is an
// Operation of each, with its table of parameters and its readers, in files that are named after it.
package openai
