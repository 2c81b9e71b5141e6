package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// fetch returns what a URL answers with.
func fetch(ctx context.Context, httpClient *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// requests are how many requests the API server has answered: those that write, those that write but are not kept, and those that read, but
// for watches.
type requests struct{ writes, tries, reads float64 }

func (r requests) since(before requests) requests {
	return requests{writes: r.writes - before.writes, tries: r.tries - before.tries, reads: r.reads - before.reads}
}

// requests counts those of everybody about what the operator reads and writes, which are not those by which API servers know of each other.
func (w *world) requests(ctx context.Context) (requests, error) {
	metrics, err := fetch(ctx, w.http, strings.TrimSuffix(w.config.Host, "/")+"/metrics")
	if err != nil {
		return requests{}, err
	}
	var count requests
	for labels, value := range series(metrics, "apiserver_request_total") {
		switch {
		case !strings.Contains(labels, `component="apiserver"`), strings.Contains(labels, `,resource=""`), isTheServersOwn(labels):
		case strings.Contains(labels, `verb="WATCH"`), strings.Contains(labels, `verb="CONNECT"`):
		case strings.Contains(labels, `verb="GET"`), strings.Contains(labels, `verb="LIST"`):
			count.reads += value
		case strings.Contains(labels, `dry_run=""`):
			count.writes += value
		default:
			count.tries += value
		}
	}
	return count, nil
}

// isTheServersOwn reports whether requests are about what an API server keeps of itself.
func isTheServersOwn(labels string) bool {
	for _, resource := range []string{
		"leases", "flowschemas", "prioritylevelconfigurations", "apiservices", "endpoints", "endpointslices", "configmaps", "nodes",
		"resourcequotas", "limitranges", "ipaddresses", "servicecidrs", "subjectaccessreviews", "tokenreviews", "customresourcedefinitions",
	} {
		if strings.Contains(labels, `,resource="`+resource+`"`) {
			return true
		}
	}
	return false
}

// work is what a manager has to do and has done since it began: how many objects wait, how many passes over one it has made, and how many
// requests that are no reads.
type work struct{ queued, passes, writes float64 }

func (w *world) work(ctx context.Context) (work, error) {
	metrics, err := fetch(ctx, http.DefaultClient, "http://"+w.metricsAddress+"/metrics")
	if err != nil {
		return work{}, err
	}
	var now work
	for _, value := range series(metrics, "workqueue_depth") {
		now.queued += value
	}
	for _, value := range series(metrics, "controller_runtime_reconcile_total") {
		now.passes += value
	}
	for labels, value := range series(metrics, "rest_client_requests_total") {
		if !strings.Contains(labels, `method="GET"`) {
			now.writes += value
		}
	}
	return now, nil
}

// series are the series of a metric in Prometheus's text, by their labels.
func series(metrics []byte, name string) map[string]float64 {
	found := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, is := strings.CutPrefix(lines.Text(), name+"{")
		if !is {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		value, err := strconv.ParseFloat(rest[at+1:], 64)
		if err == nil {
			found[rest[:at]] = value
		}
	}
	return found
}
