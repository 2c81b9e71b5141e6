package openrouter_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/fence"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openrouter"
)

const managementKey = "sk-or-management"

func account(t *testing.T) openrouter.Account {
	t.Helper()
	server := httptest.NewServer(upstream.New(upstream.Options{
		Keys: []upstream.Key{{Label: "management", Secret: managementKey, LimitNano: upstream.NoLimit, Management: true}},
	}))
	t.Cleanup(server.Close)
	return openrouter.Account{BaseURL: server.URL + "/api/v1", ManagementKey: managementKey}
}

func TestAKeyIsMadeFoundChangedAndDeleted(t *testing.T) {
	at, keys := account(t), openrouter.NewKeys()
	ask := fence.Ask{Limited: true, Amount: money.FromNano(550*money.NanoPerUSD + 10_000_000), Reset: fence.Monthly}
	key, hash, err := keys.Create(t.Context(), at, "a fence", ask)
	if err != nil || key == "" {
		t.Fatalf("making a key: %v", err)
	}
	found, err := keys.Get(t.Context(), at, hash)
	if err != nil || found.Name != "a fence" || found.Hash != hash || !ask.Fits(found.Key) {
		t.Errorf("it is found as %+v (%v)", found, err)
	}
	none := fence.Ask{}
	if err := keys.Change(t.Context(), at, hash, none); err != nil {
		t.Fatal(err)
	}
	if found, err = keys.Get(t.Context(), at, hash); err != nil || !none.Fits(found.Key) || found.Name != "a fence" {
		t.Errorf("without a limit it is %+v (%v)", found, err)
	}
	for range 2 { // to delete what is gone is no error
		if err := keys.Delete(t.Context(), at, hash); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keys.Get(t.Context(), at, hash); !errors.Is(err, openrouter.ErrNotFound) {
		t.Errorf("once deleted: %v", err)
	}
	if err := keys.Change(t.Context(), at, hash, none); !errors.Is(err, openrouter.ErrNotFound) {
		t.Errorf("changing it once deleted: %v", err)
	}
}

func TestKeysAreFoundByTheirNamesOnAllPages(t *testing.T) {
	at, keys := account(t), openrouter.NewKeys()
	want := map[string]bool{}
	create := func(name string) string {
		_, hash, err := keys.Create(t.Context(), at, name, fence.Ask{})
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	want[create("ours")] = true
	for i := range 100 {
		manage(t, at, http.MethodPost, "/keys", fmt.Sprintf(`{"name":"other %d"}`, i))
	}
	disabled := create("ours")
	want[disabled] = true
	manage(t, at, http.MethodPatch, "/keys/"+disabled, `{"disabled":true}`)
	named, err := keys.Named(t.Context(), at, func(name string) bool { return name == "ours" })
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, key := range named {
		got[key.Hash] = true
		if key.Disabled != (key.Hash == disabled) {
			t.Errorf("that %s is disabled is %t", key.Hash, key.Disabled)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// manage asks the upstream directly: the client keeps to a pace that a test need not.
func manage(t *testing.T, at openrouter.Account, method, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, at.BaseURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+managementKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode > 299 {
		t.Fatalf("%s %s: %d", method, path, response.StatusCode)
	}
}

func TestNoErrorTellsAKey(t *testing.T) {
	const secret = "sk-or-v1-secret"
	for reason, handler := range map[string]http.HandlerFunc{
		"a refusal": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"an answer without hash": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"data":{},"key":"`+secret+`"}`)
		},
		"a hash that is a path": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"data":{"hash":"../credits"},"key":"`+secret+`"}`)
		},
		"something else":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"key":`+secret) },
		"more than is needed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"`+strings.Repeat("x", 2<<20)) },
		"a broken connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(reason, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			at := openrouter.Account{BaseURL: server.URL, ManagementKey: managementKey}
			_, _, err := openrouter.NewKeys().Create(t.Context(), at, "a fence", fence.Ask{})
			if err == nil || !strings.Contains(err.Error(), server.URL+"/keys") {
				t.Fatalf("the error is %v", err)
			}
			if strings.Contains(err.Error(), managementKey) || strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells a key: %v", err)
			}
		})
	}
}

func TestAListWithoutEndIsGivenUp(t *testing.T) {
	pages := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pages++
		_, _ = io.WriteString(w, `{"data":[{"hash":"a","name":"other"}]}`)
	}))
	defer server.Close()
	keys := openrouter.NewUnlimitedKeys()
	_, err := keys.Named(t.Context(), openrouter.Account{BaseURL: server.URL}, func(string) bool { return true })
	if err == nil || pages != 1000 {
		t.Errorf("after %d pages: %v", pages, err)
	}
}
