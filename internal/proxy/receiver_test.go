package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// receiver remembers what the upstream got.
type receiver struct {
	next http.Handler

	mutex    sync.Mutex
	requests []received
	// instead answers in the upstream's place where it is set.
	instead http.HandlerFunc
}

type received struct {
	header http.Header
	host   string
	path   string
	query  string
	body   string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	r.mutex.Lock()
	r.requests = append(r.requests, received{header: request.Header.Clone(), host: request.Host, path: request.URL.Path, query: request.URL.RawQuery, body: string(body)})
	instead := r.instead
	r.mutex.Unlock()
	if instead != nil {
		instead(w, request)
		return
	}
	r.next.ServeHTTP(w, request)
}

func (r *receiver) answerWith(handler http.HandlerFunc) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.instead = handler
}

func (r *receiver) all() []received {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]received(nil), r.requests...)
}

// last is the last request that the upstream got.
func (w *world) last() received {
	w.t.Helper()
	all := w.received.all()
	if len(all) == 0 {
		w.t.Fatal("the upstream got no request")
	}
	return all[len(all)-1]
}
