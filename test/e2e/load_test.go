//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// load is consumers of a scene who ask one question after the other until they are told to stop.
type load struct {
	*scene
	// client keeps connections from one question to the next.
	client  *http.Client
	urls    []string
	stop    chan struct{}
	running sync.WaitGroup

	mu sync.Mutex
	// outcomes counts what was answered, by the consumer and the HTTP status.
	outcomes map[outcome]int
	// slowest is the longest that anybody has waited for an answer since that was last told.
	slowest time.Duration
	// streams are the times between the first and the last byte of each stream that came to its end.
	streams []span
}

type outcome struct {
	consumer string
	status   int
}

func (o outcome) String() string { return fmt.Sprintf("%s: HTTP %d", o.consumer, o.status) }

type span struct{ began, ended time.Time }

// shortQuestion is answered at once.
var shortQuestion = strings.Replace(pageBody, "{", `{"max_completion_tokens": 64,`, 1)

// startLoad begins to ask as each of the consumers, so often at a time, at both proxies.
func (s *scene) startLoad(askers int, consumers ...string) *load {
	s.t.Helper()
	var urls []string
	for _, pod := range s.readyPods(s.t, s.namespace, s.proxyLabels(), 2) {
		urls = append(urls, s.forward(s.t, pod, 8080))
	}
	l := s.newLoad(urls...)
	for _, consumer := range consumers {
		l.begin(askers, consumer, shortQuestion)
	}
	return l
}

// newLoad is a load at these base URLs in which nobody asks yet.
func (s *scene) newLoad(urls ...string) *load {
	l := &load{
		scene: s, urls: urls, stop: make(chan struct{}), outcomes: map[outcome]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
	s.t.Cleanup(l.end)
	return l
}

// begin begins to ask the question as the consumer, so often at a time.
func (l *load) begin(askers int, consumer, body string) {
	l.t.Helper()
	key := l.key(consumer)
	for n := range askers {
		l.running.Go(func() { l.ask(consumer, key, body, n) })
	}
}

// ask asks until the load is stopped.
func (l *load) ask(consumer, key, body string, n int) {
	for ; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		began := time.Now()
		status, err := l.askOnce(l.urls[n%len(l.urls)], key, body)
		if err != nil {
			l.t.Errorf("%s is not answered: %v", consumer, err)
			return
		}
		l.mu.Lock()
		l.outcomes[outcome{consumer, status}]++
		l.slowest = max(l.slowest, time.Since(began))
		l.mu.Unlock()
	}
}

func (l *load) askOnce(url, key, body string) (status int, err error) {
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, url+"/api/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	// The connection of a stream is closed after its end where the proxy is about to go, which nothing can tell the client in advance.
	request.Close = strings.Contains(body, `"stream":true`)
	response, err := l.client.Do(request)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	content, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, err
	}
	if response.Header.Get("Content-Type") != "text/event-stream" {
		return response.StatusCode, nil
	}
	if !strings.HasSuffix(string(content), "data: [DONE]\n\n") {
		return 0, fmt.Errorf("a stream ends without [DONE], after %d bytes", len(content))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams = append(l.streams, span{began, time.Now()})
	return response.StatusCode, nil
}

// streamsAcross is how many streams ran at a moment, and came to their end.
func (l *load) streamsAcross(moment time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := 0
	for _, stream := range l.streams {
		if stream.began.Before(moment) && stream.ended.After(moment) {
			count++
		}
	}
	return count
}

// count is how often a consumer got the status.
func (l *load) count(consumer string, status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcomes[outcome{consumer, status}]
}

// awaitMore waits until a consumer has got the status so many times more.
func (l *load) awaitMore(consumer string, status, times int) {
	l.t.Helper()
	want := l.count(consumer, status) + times
	eventually(l.t, fmt.Sprintf("%s getting HTTP %d %d times", consumer, status, times), func() (bool, string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.outcomes[outcome{consumer, status}] >= want, fmt.Sprint(l.outcomes)
	})
}

// wantOnly expects that nobody ever got anything but these.
func (l *load) wantOnly(when string, allowed ...outcome) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf("%s: %v, the slowest in %v", when, l.outcomes, l.slowest.Round(time.Millisecond))
	l.slowest = 0
	for _, got := range slices.Collect(maps.Keys(l.outcomes)) {
		if !slices.Contains(allowed, got) {
			l.t.Errorf("%s: %s, %d times", when, got, l.outcomes[got])
		}
	}
}

// end stops the load and waits until the last question is answered.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
	l.client.CloseIdleConnections()
}
