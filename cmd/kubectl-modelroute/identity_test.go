package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhoNamesServiceAccountsHasAKeyOutsideACluster(t *testing.T) {
	w := newWorld(t)
	w.write("all.yaml", w.route("chat", "  keys: {allowedNamespaces: {from: All}}\n")+"---\n"+`apiVersion: modelroute.dev/v1alpha1
kind: ModelKey
metadata: {name: crawler, namespace: search}
spec:
  routeRefs: [{namespace: ai, name: chat}]
  serviceAccounts: [{name: crawler}]
`)
	s := w.start("-f", "all.yaml", keyFlag)
	w.answered(filepath.Join("..", "search", "crawler"), "Hello", http.StatusOK)
	s.end()
	w.wantBooksEqual()
	if !strings.Contains(s.announced.String(), "Whoever has serviceAccounts in a cluster has a key here.") {
		t.Error("nobody is told why there is a key")
	}
}
