package proxy_test

import (
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNothingOfTheClientsHeaderGoesUpstream(t *testing.T) {
	w := begin(t, setup{})
	body := asking("", "")
	request := w.chat(t.Context(), body)
	for name, value := range map[string]string{
		"Cookie": "session=1", "X-Api-Key": consumerKey, "X-Forwarded-For": "10.0.0.1", "Openai-Organization": "org",
		"X-Custom": "1", "Referer": "https://x/",
		"X-Upstream-Fault": "status=500", "Http-Referer": "https://x/", "X-Openrouter-Cache": "true",
		"Connection": "X-Custom", "Te": "trailers",
	} {
		request.Header.Set(name, value)
	}
	w.do(request).expectOK(t)
	got := w.last()
	want := http.Header{
		"Accept":          {"application/json"},
		"Accept-Encoding": {"identity"},
		"Authorization":   {"Bearer " + upstreamKey},
		"Content-Length":  {got.header.Get("Content-Length")},
		"Content-Type":    {"application/json"},
		"User-Agent":      {"modelroute-proxy"},
	}
	if diff := cmp.Diff(want, got.header); diff != "" {
		t.Errorf("header upstream (-want +got):\n%s", diff)
	}
	if got.path != "/api/v1/chat/completions" {
		t.Errorf("path upstream %q", got.path)
	}
}

func TestOnlyWhatClientsNeedOfTheUpstreamsHeaderComesBack(t *testing.T) {
	w := begin(t, setup{})
	kept := http.Header{
		"X-Generation-Id":          {"gen-1"},
		"X-Request-Id":             {"req-1"}, // It comes back under another name.
		"X-Ratelimit-Limit-Tokens": {"100"},
		"X-Ratelimit-Reset-Tokens": {"6m0s"},
		"Openai-Processing-Ms":     {"12"},
		"Retry-After-Ms":           {"1500"},
	}
	w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
		header := answer.Header()
		maps.Copy(header, kept)
		for name, value := range map[string]string{
			"Set-Cookie": "session=1", "Server": "cloudflare", "Authorization": "Bearer " + upstreamKey,
			"Www-Authenticate": "Bearer", "X-Api-Key": upstreamKey,
			"Openai-Organization": "our-own", "Alt-Svc": "h3", "Via": "1.1 x", "Access-Control-Allow-Origin": "*", "Location": "/elsewhere",
		} {
			header.Set(name, value)
		}
		header.Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(answer, `{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.000008}}`)
	})
	answer := w.ask(asking("", "")).expectOK(t)
	want := kept.Clone()
	want["X-Upstream-Request-Id"] = kept["X-Request-Id"]
	want["X-Request-Id"] = answer.header["X-Request-Id"]
	if answer.header.Get("X-Request-Id") == "req-1" {
		t.Error("the upstream's id is in the place of ours")
	}
	want["X-Modelroute-Cost"] = []string{"0.000008"}
	want["Content-Type"] = []string{"application/json"}
	want["Content-Length"] = answer.header["Content-Length"]
	want["Date"] = answer.header["Date"]
	if diff := cmp.Diff(want, answer.header); diff != "" {
		t.Errorf("header of the answer (-want +got):\n%s", diff)
	}
}

func TestAKeyMayComeAsXAPIKey(t *testing.T) {
	w := begin(t, setup{})
	request := w.chat(t.Context(), pageRequest)
	request.Header.Del("Authorization")
	request.Header.Set("X-Api-Key", consumerKey)
	w.do(request).expectOK(t)
	w.booksAgree()
}
