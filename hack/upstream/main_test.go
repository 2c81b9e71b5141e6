package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// lines collects a log, and hands over its lines as they come.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	next chan string
}

func (l *lines) follow(r io.Reader) {
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		l.mu.Lock()
		l.text.WriteString(scanner.Text() + "\n")
		l.mu.Unlock()
		l.next <- scanner.Text()
	}
	close(l.next)
}

func TestRunServesAndDrains(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	log := &lines{next: make(chan string, 64)}
	go log.follow(r)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, []string{"--listen", "127.0.0.1:0", "--api-key", "app=sk-or-secret"}, w)
		_ = w.Close()
	}()
	var first struct{ Msg, Address string }
	if err := json.Unmarshal([]byte(<-log.next), &first); err != nil || first.Msg != "listening" {
		t.Fatalf("the first line of the log: %+v, %v", first, err)
	}
	if got := get(t, "http://"+first.Address+"/healthz"); got != "ok\n" {
		t.Errorf("healthz says %q", got)
	}
	stream := ask(t, "http://"+first.Address+"/v1/chat/completions")
	buffered := bufio.NewReader(stream)
	if _, err := buffered.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stop()
	rest, err := io.ReadAll(buffered)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("a stream that had begun ended with %q, %v", rest[max(0, len(rest)-40):], err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range log.next { // until the log has ended
	}
	if text := log.text.String(); strings.Contains(text, "sk-or-secret") || !strings.Contains(text, `"msg":"draining"`) {
		t.Errorf("the log: %s", text)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// ask begins a stream that takes a while.
func ask(t *testing.T, url string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(
		`{"model":"mistralai/mixtral-8x22b-instruct","stream":true,"user":"fault:answer=20,chunk-delay=10ms",`+
			`"messages":[{"role":"user","content":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk-or-secret")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res.Body
}

func TestFlagsThatAreWrong(t *testing.T) {
	cases := map[string][]string{
		"no such flag":        {"--nothing"},
		"an argument":         {"serve"},
		"a key without label": {"--api-key", "sk-or-secret"},
		"a limit of no money": {"--api-key", "app=sk-or-secret:much"},
		"a label twice":       {"--api-key", "app=sk-or-secret", "--api-key", "app=sk-or-secret2"},
		"a key twice":         {"--api-key", "app=sk-or-secret", "--api-key", "search=sk-or-secret"},
		"tokens below zero":   {"--answer-tokens", "-1"},
		"a delay below zero":  {"--token-delay", "-1s"},
		"no address":          {"--listen", "nowhere:-1"},
	}
	for name, args := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := Run(t.Context(), args, &out)
			if err == nil || strings.Contains(err.Error()+out.String(), "secret") {
				t.Errorf("got %v and %q", err, out.String())
			}
		})
	}
}
