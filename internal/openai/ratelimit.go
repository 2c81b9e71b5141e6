package openai

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// RateLimit is one limit of a rate limit, as of now. Its numbers are requests or tokens.
type RateLimit struct {
	// Name is the rate limit's name. Unit is "requests" or "tokens".
	Name, Unit string
	// Owner is whose rate limit it is if several routes share it: "team search". Empty otherwise.
	Owner string
	Limit int64
	// Remaining is what is left in the current window, as far as is known here.
	Remaining int64
	// ResetsIn is the time to the end of the window.
	ResetsIn time.Duration
}

// SetHeader tells a client where it stands, in OpenAI's headers.
func (l RateLimit) SetHeader(header http.Header) {
	values := []string{
		strconv.FormatInt(l.Limit, 10), strconv.FormatInt(max(l.Remaining, 0), 10), max(l.ResetsIn, 0).Round(time.Millisecond).String(),
	}
	for i, name := range rateLimitHeaders(l.Unit) {
		header[name] = values[i : i+1 : i+1]
	}
}

// rateLimitHeaders are the names of OpenAI's headers for a unit, in the form that http.Header has them in: limit, remaining and reset. Most
// answers have them, so they are not put together each time.
func rateLimitHeaders(unit string) [3]string {
	if unit == "tokens" {
		return [...]string{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"}
	}
	return [...]string{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"}
}

// RateLimitExceeded is a 429 for a request that needs so many requests or tokens of a limit, and gets them at the earliest after
// retryAfter, which is rounded up to whole seconds. As with OpenAI, the type names the unit. One that needs more than the whole limit will
// never be served, and SDKs are told not to retry it.
func RateLimitExceeded(l RateLimit, needed int64, retryAfter time.Duration) *Error {
	e := newError(http.StatusTooManyRequests, l.Unit, CodeRateLimitExceeded, "",
		"%s %q of %d %s is used up.", whose(l.Owner, "Rate limit"), l.Name, l.Limit, l.Unit)
	if l.Unit == "tokens" {
		e.Message = fmt.Sprintf("%s %q of %d tokens has %d left, and this request can take up to %d.",
			whose(l.Owner, "Rate limit"), l.Name, l.Limit, max(l.Remaining, 0), needed)
	}
	if needed > l.Limit {
		if l.Unit == "tokens" {
			e.Message += " That is more than the whole limit. Ask for fewer completion tokens, or send a shorter prompt."
		}
		e = e.with(headerShouldRetry, "false")
	} else {
		e.Message += fmt.Sprintf(" Retry in %s.", ceilSeconds(retryAfter))
		if retryAfter < l.ResetsIn {
			e.Message += fmt.Sprintf(" The limit is renewed in %s.", ceilSeconds(l.ResetsIn))
		}
		e = e.withRetryAfter(retryAfter)
	}
	l.SetHeader(e.Header)
	return e
}
