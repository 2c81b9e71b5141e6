package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

const managementKey = "sk-or-management"

// wireKey is what tests read of a managed key.
type wireKey struct {
	Hash      string       `json:"hash"`
	Name      string       `json:"name"`
	Label     string       `json:"label"`
	Disabled  bool         `json:"disabled"`
	Limit     *json.Number `json:"limit"`
	Remaining *json.Number `json:"limit_remaining"`
	Reset     *string      `json:"limit_reset"`
	Usage     json.Number  `json:"usage"`
	Daily     json.Number  `json:"usage_daily"`
	Monthly   json.Number  `json:"usage_monthly"`
}

type wireKeyEnvelope struct {
	Data wireKey `json:"data"`
	Key  string  `json:"key"`
}

// manage does something with /keys as the holder of the management key.
func (w world) manage(t *testing.T, method, path, text string) answer {
	t.Helper()
	return w.do(t, method, "/api/v1/keys"+path, text, "Authorization", "Bearer "+managementKey)
}

// make makes a key.
func (w world) make(t *testing.T, text string) wireKeyEnvelope {
	t.Helper()
	a := w.manage(t, http.MethodPost, "", text)
	if a.status != http.StatusCreated {
		t.Fatalf("making a key: %d %s", a.status, a.raw)
	}
	return decode[wireKeyEnvelope](t, a.raw)
}

func (w world) look(t *testing.T, hash string) wireKey {
	t.Helper()
	return decode[wireKeyEnvelope](t, w.manage(t, http.MethodGet, "/"+hash, "").raw).Data
}

func startManaged(t *testing.T, now *time.Time) world {
	t.Helper()
	return start(t, Options{
		Keys: []Key{{Label: "management", Secret: managementKey, LimitNano: NoLimit, Management: true}},
		Now:  func() time.Time { return *now },
	})
}

// ask has a key generate so much that it costs 0.0624 USD or a little more, and returns the status.
func (w world) ask(t *testing.T, key string) int {
	t.Helper()
	return w.chat(t, body("Tell me all. [[fault:answer=10000]]", `"max_tokens":10400`), "Authorization", "Bearer "+key).status
}

func TestAManagedKeySpendsUpToItsLimitAndAgainAfterItsReset(t *testing.T) {
	now := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)
	w := startManaged(t, &now)
	key := w.make(t, `{"name":"fence","limit":0.1,"limit_reset":"daily"}`)
	if key.Data.Hash != hashOf(key.Key) || key.Data.Name != "fence" || *key.Data.Limit != "0.1" || *key.Data.Reset != "daily" {
		t.Fatalf("the key is %+v", key.Data)
	}
	if status := w.ask(t, key.Key); status != http.StatusOK {
		t.Fatalf("the first request: %d", status)
	}
	if status := w.ask(t, key.Key); status != http.StatusPaymentRequired {
		t.Errorf("the second request is not afforded, and was answered %d", status)
	}
	spent := w.look(t, key.Data.Hash)
	if spent.Daily == "0" || spent.Daily != spent.Usage || *spent.Remaining == "0.1" {
		t.Errorf("after one request the key is %+v", spent)
	}
	now = now.Add(time.Hour)
	if next := w.look(t, key.Data.Hash); next.Daily != "0" || next.Monthly != "0" || next.Usage != spent.Usage || *next.Remaining != "0.1" {
		t.Errorf("in the next month the key is %+v", next)
	}
	if status := w.ask(t, key.Key); status != http.StatusOK {
		t.Errorf("after the reset: %d", status)
	}
}

func TestAManagedKeyIsChangedDisabledAndDeleted(t *testing.T) {
	now := time.Now()
	w := startManaged(t, &now)
	key := w.make(t, `{"name":"fence","limit":1}`)
	if a := w.manage(t, http.MethodPatch, "/"+key.Data.Hash, `{"limit":null}`); a.status != http.StatusOK {
		t.Fatalf("changing the limit: %d %s", a.status, a.raw)
	}
	if changed := w.look(t, key.Data.Hash); changed.Limit != nil || changed.Remaining != nil || changed.Name != "fence" {
		t.Errorf("without a limit the key is %+v", changed)
	}
	w.manage(t, http.MethodPatch, "/"+key.Data.Hash, `{"disabled":true}`)
	if status := w.ask(t, key.Key); status != http.StatusUnauthorized {
		t.Errorf("a disabled key was answered %d", status)
	}
	list := func(query string) int {
		return len(decode[struct{ Data []wireKey }](t, w.manage(t, http.MethodGet, query, "").raw).Data)
	}
	if shown, all := list(""), list("?include_disabled=true"); shown != 0 || all != 1 {
		t.Errorf("the list has %d keys, and %d with those that are disabled", shown, all)
	}
	if a := w.manage(t, http.MethodDelete, "/"+key.Data.Hash, ""); a.status != http.StatusOK {
		t.Errorf("deleting it: %d %s", a.status, a.raw)
	}
	for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
		if a := w.manage(t, method, "/"+key.Data.Hash, "{}"); a.status != http.StatusNotFound {
			t.Errorf("%s of a deleted key: %d", method, a.status)
		}
	}
	if status := w.ask(t, key.Key); status != http.StatusUnauthorized {
		t.Errorf("a deleted key was answered %d", status)
	}
}

func TestTheListOfKeysHasPages(t *testing.T) {
	now := time.Now()
	w := startManaged(t, &now)
	for i := range 101 {
		w.make(t, fmt.Sprintf(`{"name":"key %d"}`, i))
	}
	page := func(query string) []wireKey {
		return decode[struct{ Data []wireKey }](t, w.manage(t, http.MethodGet, query, "").raw).Data
	}
	first, second, third := page(""), page("?offset=100"), page("?offset=200")
	if len(first) != 100 || first[0].Name != "key 100" || len(second) != 1 || second[0].Name != "key 0" || len(third) != 0 {
		t.Errorf("the pages have %d, %d and %d keys", len(first), len(second), len(third))
	}
}

func TestOnlyAManagementKeyManagesAndItAsksNoModel(t *testing.T) {
	now := time.Now()
	w := startManaged(t, &now)
	key := w.make(t, `{"name":"fence"}`)
	if a := w.get(t, "/api/v1/keys", "Authorization", "Bearer "+key.Key); a.status != http.StatusUnauthorized {
		t.Errorf("another key lists keys: %d", a.status)
	}
	if status := w.ask(t, managementKey); status != http.StatusForbidden {
		t.Errorf("the management key asks a model: %d", status)
	}
	for _, wrong := range []string{`{}`, `{"name":""}`, `{"name":"x","limit":-1}`, `{"name":"x","limit_reset":"yearly"}`, `{"name":"x","unknown":1}`, `[`} {
		if a := w.manage(t, http.MethodPost, "", wrong); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", wrong, a.status, a.raw)
		}
	}
}
