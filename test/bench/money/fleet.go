package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// renew starts a proxy with a new journal in a slot, as the replacement of a pod does. It returns when the proxy is ready.
func (w *world) renew(number int) error {
	w.mu.Lock()
	w.started++
	instance := fmt.Sprintf("proxy-%d-%d", number, w.started)
	w.mu.Unlock()
	journal := filepath.Join(w.dir, "journal-"+instance)
	if err := os.Mkdir(journal, 0o700); err != nil {
		return fmt.Errorf("making a journal's directory: %w", err)
	}
	return w.startProxy(number, instance, journal)
}

// startProxy starts a proxy on a journal, waits until it is ready, and sends clients to it. Until then they go where they went before, even
// if nobody is there any more.
func (w *world) startProxy(number int, instance, journal string) error {
	s := w.slots[number]
	started, err := rig.Spawn(w.ctx, w.log(instance), roleProxy,
		"-dir", w.dir, "-instance", instance, "-config", s.config, "-journal", journal)
	if err != nil {
		return err
	}
	if err := w.awaitReady(started); err != nil {
		started.Kill()
		return err
	}
	s.put(&replica{Child: started, instance: instance, journal: journal})
	return nil
}

func (w *world) awaitReady(started *rig.Child) error {
	return rig.Await(w.ctx, "a proxy is ready", rig.StartTime, func() bool {
		body, err := get(w.ctx, "http://"+started.At.Admin+"/readyz")
		return err == nil && body != ""
	})
}

func (s *slot) put(next *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = next
}

func (s *slot) replica() *replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// crash kills a slot's proxy and starts it again on its journal, as the kubelet does with a container.
func (w *world) crash(number int, away time.Duration) {
	killed := w.slots[number].replica()
	killed.Kill()
	rig.Pause(w.ctx, away)
	w.note(w.startProxy(number, killed.instance, killed.journal))
}

// lose kills a slot's proxy and deletes its journal, as a lost node does, and starts another one in its place.
func (w *world) lose(number int) {
	lost := w.slots[number].replica()
	found, err := w.ask(w.ctx)
	w.note(err)
	w.mu.Lock()
	w.lost = append(w.lost, found.proxies[lost.instance])
	w.mu.Unlock()
	lost.Kill()
	w.note(os.RemoveAll(lost.journal))
	w.note(w.renew(number))
}

// roll replaces a slot's proxy without loss: the new one is ready before the old one is asked to end.
func (w *world) roll(number int) {
	old := w.slots[number].replica()
	if err := w.renew(number); err != nil {
		w.note(err)
		return
	}
	w.note(old.Terminate())
}

// stopProxies asks all proxies to end and waits until they have.
func (w *world) stopProxies() {
	failures := make(chan error, replicas)
	for _, s := range w.slots {
		go func() { failures <- s.replica().Terminate() }()
	}
	for range w.slots {
		if err := <-failures; err != nil {
			w.note(fmt.Errorf("a proxy did not end well: %w", err))
		}
	}
}

// pick is the URL of some proxy.
func (w *world) pick() string {
	return "http://" + w.slots[rand.IntN(replicas)].replica().At.Address //nolint:gosec // Any proxy will do.
}

// get returns the body of a good answer.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, response.Status)
	}
	return string(body), err
}

var busyMetric = regexp.MustCompile(`(?m)^modelroute_proxy_(?:requests_in_flight|ledger_owed_records) (\S+)$`)

// quiet waits until nothing is under way any more: at the upstream, at the proxies that run, and between them and the ledger.
func (w *world) quiet(patience time.Duration) error {
	return rig.Await(w.ctx, "nothing is under way", patience, func() bool {
		busy, err := get(w.ctx, "http://"+w.upstream.At.Address+busyPath)
		if err != nil || busy != "0" {
			return false
		}
		for _, s := range w.slots {
			if current := s.replica(); !isClosed(current.Ended) && !current.idle(w.ctx) {
				return false
			}
		}
		return true
	})
}

func (r *replica) idle(ctx context.Context) bool {
	metrics, err := get(ctx, "http://"+r.At.Admin+"/metrics")
	if err != nil {
		return false
	}
	found := busyMetric.FindAllStringSubmatch(metrics, -1)
	for _, one := range found {
		if value, err := strconv.ParseFloat(one[1], 64); err != nil || value != 0 {
			return false
		}
	}
	return len(found) == 2
}
