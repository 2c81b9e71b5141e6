// Package openai is the wire of OpenAI's chat completions and of OpenRouter's, which is a superset: requests and their edits, errors,
// server-sent events, usage. It works on bytes and does no I/O of its own.
package openai
