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

// load is consumers of a scene who ask one question after the other, at all of its proxies, until they are told to stop.
type load struct {
	*scene
	client  *http.Client
	urls    []string
	stop    chan struct{}
	running sync.WaitGroup

	mu sync.Mutex
	// outcomes counts what was answered, by the consumer and the HTTP status.
	outcomes map[outcome]int
	// slowest is the longest that anybody has waited for an answer since that was last told.
	slowest time.Duration
}

type outcome struct {
	consumer string
	status   int
}

func (o outcome) String() string { return fmt.Sprintf("%s: HTTP %d", o.consumer, o.status) }

// startLoad begins to ask as each of the consumers, so often at a time.
func (s *scene) startLoad(askers int, consumers ...string) *load {
	s.t.Helper()
	l := &load{
		scene: s, stop: make(chan struct{}), outcomes: map[outcome]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: askers * len(consumers)}},
	}
	for _, pod := range s.readyPods(s.t, s.namespace, s.proxyLabels(), 2) {
		l.urls = append(l.urls, s.forward(s.t, pod, 8080))
	}
	for _, consumer := range consumers {
		key := s.key(consumer)
		for n := range askers {
			l.running.Go(func() { l.ask(consumer, key, n) })
		}
	}
	s.t.Cleanup(l.end)
	return l
}

// ask asks until the load is stopped.
func (l *load) ask(consumer, key string, n int) {
	for ; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		began := time.Now()
		status, err := l.askOnce(l.urls[n%len(l.urls)], key)
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

func (l *load) askOnce(url, key string) (status int, err error) {
	body := strings.NewReader(strings.Replace(pageBody, "{", `{"max_completion_tokens": 64,`, 1))
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, url+"/api/v1/chat/completions", body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
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
