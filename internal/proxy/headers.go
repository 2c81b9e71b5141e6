package proxy

import (
	"net/http"
	"strings"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// userAgent is what the upstream is told of who asks.
const userAgent = "modelroute-proxy"

// requestHeader is the whole header that goes upstream. Nothing of the client's header is in it: neither its key and its cookies, nor
// anything that might steer the upstream or tell it who the client is.
func requestHeader(key string, stream bool) http.Header {
	header := http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
		"User-Agent":   {userAgent},
		// A compressed answer would have to be decompressed to be metered, and a compressed stream is held back by whoever compresses it.
		"Accept-Encoding": {"identity"},
	}
	if stream {
		header.Set("Accept", "text/event-stream")
	}
	if key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
	return header
}

// tellWhoAsks tells OpenRouter who asks, where the route says so. X-Title is the older name of X-OpenRouter-Title.
func tellWhoAsks(header http.Header, upstream *routeconfig.Upstream) {
	if upstream.Referer != "" {
		header.Set("HTTP-Referer", upstream.Referer)
	}
	if upstream.Title != "" {
		header.Set("X-OpenRouter-Title", upstream.Title)
		header.Set("X-Title", upstream.Title)
	}
}

// relayedHeaders are the upstream's headers that the client gets: what SDKs read to retry, to pace themselves and to name an answer. All
// others stay here, among them Set-Cookie, Server and whatever describes the connection.
var relayedHeaders = []string{
	"Retry-After", "Retry-After-Ms", "X-Should-Retry", "X-Generation-Id", "Openai-Processing-Ms", "Openai-Version",
}

// isRateLimit reports whether a header tells of a rate limit, as OpenAI or Anthropic does.
func isRateLimit(name string) bool {
	return strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "Anthropic-Ratelimit-")
}

// forgetRelayed takes back what a failed attempt put into the header of the answer.
func forgetRelayed(header http.Header) {
	for _, name := range relayedHeaders {
		header.Del(name)
	}
	for _, name := range [...]string{limitHeader, upstreamRequestIDHeader, budgetHeader, remainingHeader} {
		header.Del(name)
	}
	for name := range header {
		if isRateLimit(name) {
			header.Del(name)
		}
	}
}

// relayHeaders copies the headers that the client gets. Where the client has rate limits of ours it is told of those, and not of the
// upstream's. requestID is the upstream's id of the request, which comes under another name than it has there.
func relayHeaders(to, from http.Header, requestID string) {
	if requestID != "" {
		to.Set(upstreamRequestIDHeader, requestID)
	}
	hasOwn := false
	for name := range to {
		hasOwn = hasOwn || isRateLimit(name)
	}
	for _, name := range relayedHeaders {
		if values, found := from[name]; found {
			to[name] = values
		}
	}
	for name, values := range from {
		if !hasOwn && isRateLimit(name) {
			to[name] = values
		}
	}
}
