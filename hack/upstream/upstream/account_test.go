package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBooksAreFiltered(t *testing.T) {
	w := start(t, Options{Keys: []Key{{"a", "sk-or-a", NoLimit}, {"b", "sk-or-b", NoLimit}}})
	ask := func(key, tag string) string {
		return w.chat(t, body("What is a teapot?", `"max_tokens":5`), "Authorization", "Bearer "+key, TagHeader, tag).completion(t).ID
	}
	ids := []string{ask("sk-or-a", "x"), ask("sk-or-b", "y"), ask("sk-or-a", "y")}
	one := w.Billed(Filter{}).Requests[0].CostNanoUSD
	cases := map[string][]string{
		"":                          ids,
		"?key=a":                    {ids[0], ids[2]},
		"?key=b":                    {ids[1]},
		"?key=none":                 {},
		"?tag=y":                    {ids[1], ids[2]},
		"?since_id=" + ids[0]:       {ids[1], ids[2]},
		"?key=a&since_id=" + ids[0]: {ids[2]},
	}
	for query, want := range cases {
		s := decode[Statement](t, w.get(t, "/billed"+query, "Authorization", "").raw)
		got := []string{}
		for _, r := range s.Requests {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", query, diff)
		}
		total := int64(len(want)) * one
		if s.TotalNanoUSD != total || s.TotalUSD != FormatUSD(total) || s.Count != int64(len(want)) {
			t.Errorf("%q: total %d, %s of %d requests, want %d", query, s.TotalNanoUSD, s.TotalUSD, s.Count, total)
		}
	}
	if a := w.do(t, http.MethodDelete, "/billed", ""); a.status != http.StatusNoContent {
		t.Errorf("clearing answered %d", a.status)
	}
	if diff := cmp.Diff(Statement{TotalUSD: "0", Requests: []Record{}}, w.Billed(Filter{})); diff != "" {
		t.Errorf("after clearing: %s", diff)
	}
}

func TestTotalsOutliveTheRecords(t *testing.T) {
	w := start(t, Options{KeepRecords: 10})
	var sum int64
	for range 35 {
		u := w.chat(t, body("What is a teapot?", `"max_tokens":5`)).completion(t).Usage
		sum += exactNano(t, u.Cost)
	}
	s := w.Billed(Filter{})
	if s.TotalNanoUSD != sum || s.Count != 35 || len(s.Requests) > 10 || s.Dropped+int64(len(s.Requests)) != 35 {
		t.Errorf("%d nano-USD of %d requests, %d kept and %d dropped; want %d of 35", s.TotalNanoUSD, s.Count, len(s.Requests), s.Dropped, sum)
	}
}

func TestBooksHoldWhatTheRequestSaidOfItselfAndNoKey(t *testing.T) {
	w := start(t, Options{})
	w.chat(t, body(entanglement, `"user":"someone"`), TagHeader, "case-7").completion(t)
	r := w.onlyRecord(t)
	if r.User != "someone" || r.Tag != "case-7" || r.KeyHash != hashOf(anyKey) || r.Key != "key-"+r.KeyHash[:12] || r.Provider != "Mistral" {
		t.Errorf("%+v", r)
	}
	if raw := w.get(t, "/billed").raw; strings.Contains(string(raw), anyKey) || strings.Contains(string(raw), "entanglement") {
		t.Errorf("the books tell too much: %s", raw)
	}
}

func TestConcurrentRequestsAreAllBooked(t *testing.T) {
	w := start(t, Options{})
	const n = 40
	costs := make(chan int64, n)
	for i := range n {
		go func() {
			r := w.request(t, http.MethodPost, "/v1/chat/completions", body(fmt.Sprint("What is teapot ", i, "?")))
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				costs <- 0
				return
			}
			defer func() { _ = res.Body.Close() }()
			var c wireCompletion
			if err := json.NewDecoder(res.Body).Decode(&c); err != nil {
				t.Error(err)
				costs <- 0
				return
			}
			costs <- exactNano(t, c.Usage.Cost)
		}()
	}
	var sum int64
	for range n {
		sum += <-costs
	}
	if s := w.Billed(Filter{}); s.TotalNanoUSD != sum || s.Count != n {
		t.Errorf("the books hold %d in %d requests, usage said %d in %d", s.TotalNanoUSD, s.Count, sum, n)
	}
}

func TestKeyLimits(t *testing.T) {
	key, err := ParseKey("tiny=sk-or-tiny:0.0003")
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, Options{Keys: []Key{key}})
	auth := []string{"Authorization", "Bearer sk-or-tiny"}
	afford := w.chat(t, body("a", `"max_tokens":1000`), auth...)
	// 13 prompt tokens cost 26,000 of the 300,000 nano-USD; the rest pays for 45 completion tokens.
	if want := "You requested up to 1000 tokens, but can only afford 45."; afford.status != 402 || !strings.Contains(string(afford.raw), want) {
		t.Errorf("got %d %s, want %q", afford.status, afford.raw, want)
	}
	if a := w.chat(t, body("a"), auth...); a.status != 402 || !strings.Contains(string(a.raw), "You requested up to 65523 tokens") {
		t.Errorf("without a limit the model's own counts: got %d %s", a.status, a.raw)
	}
	if a := w.chat(t, body("a", `"max_tokens":20,"n":3`), auth...); a.status != 402 {
		t.Errorf("every choice must be afforded: got %d", a.status)
	}
	w.chat(t, body("a", `"max_tokens":45,"user":"fault:overrun=5"`), auth...).completion(t)
	spent := w.chat(t, body("a", `"max_tokens":1`), auth...)
	if p := spent.problem(t); spent.status != 402 || p.Metadata.Type != "payment_required" || !strings.Contains(p.Message, "Key limit exceeded") {
		t.Errorf("got %d %s", spent.status, spent.raw)
	}
	data := decode[struct {
		Data struct {
			Label     string
			Limit     json.Number
			Remaining json.Number `json:"limit_remaining"`
			Usage     json.Number
		}
	}](t, w.get(t, "/api/v1/key", auth...).raw).Data
	if data.Label != "tiny" || data.Limit != "0.0003" || data.Remaining != "0" || data.Usage != "0.000326" {
		t.Errorf("%+v", data)
	}
}

func TestParseKey(t *testing.T) {
	cases := map[string]Key{
		"app=sk-or-1":     {"app", "sk-or-1", NoLimit},
		"app=sk-or-1:2.5": {"app", "sk-or-1", 2_500_000_000},
		"app=sk-or-1:0":   {"app", "sk-or-1", 0},
	}
	for text, want := range cases {
		if got, err := ParseKey(text); err != nil || got != want {
			t.Errorf("ParseKey(%q) = %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sk-or-secret", "=sk-or-secret", "app=", "app=sk-or-secret:much", "app=sk-or-secret:-1"} {
		if _, err := ParseKey(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseKey(%q): %v", text, err)
		}
	}
}

func TestKeyUsageByWindow(t *testing.T) {
	now := &clock{}
	w := start(t, Options{Now: now.Now})
	// 2026-10-01 is a Thursday, so its week begins on 28 September.
	for _, day := range []string{"2026-09-27", "2026-09-28", "2026-09-30", "2026-10-01"} {
		at, err := time.Parse(time.DateTime, day+" 23:59:59")
		if err != nil {
			t.Fatal(err)
		}
		now.set(at)
		w.chat(t, body("a", `"max_tokens":4`)).completion(t)
	}
	one := w.Billed(Filter{}).Requests[0].CostNanoUSD
	got := decode[struct{ Data map[string]json.RawMessage }](t, w.get(t, "/v1/key").raw).Data
	for name, count := range map[string]int64{"usage": 4, "usage_daily": 1, "usage_weekly": 3, "usage_monthly": 1, "byok_usage": 0} {
		if want := FormatUSD(count * one); string(got[name]) != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	if string(got["limit"]) != "null" || string(got["limit_remaining"]) != "null" {
		t.Errorf("a key without a limit: %s", got)
	}
	credits := decode[struct{ Data map[string]json.Number }](t, w.get(t, "/v1/credits").raw).Data
	if credits["total_credits"] != "1000" || credits["total_usage"].String() != FormatUSD(4*one) {
		t.Errorf("%v", credits)
	}
}

func TestGenerationIsKnownAfterAWhile(t *testing.T) {
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	w := start(t, Options{Now: now.Now})
	c := w.chat(t, body("What is a teapot?", `"max_tokens":5`)).completion(t)
	path := "/api/v1/generation?id=" + c.ID
	now.set(time.Unix(1_800_000_000, 499_999_999))
	if a := w.get(t, path); a.status != 404 || a.problem(t).Metadata.Type != "not_found" {
		t.Errorf("known too early: %d %s", a.status, a.raw)
	}
	now.set(time.Unix(1_800_000_000, 500_000_000))
	a := w.get(t, path)
	data := decode[struct {
		Data struct {
			ID         string
			Total      json.Number `json:"total_cost"`
			Prompt     int         `json:"native_tokens_prompt"`
			Completion int         `json:"native_tokens_completion"`
			Finish     string      `json:"finish_reason"`
			Provider   string      `json:"provider_name"`
			Cancelled  bool
			Streamed   bool
		}
	}](t, a.raw).Data
	if data.ID != c.ID || data.Total != c.Usage.Cost || data.Prompt != c.Usage.Prompt || data.Completion != 5 || data.Finish != "length" ||
		data.Provider != "Mistral" || data.Cancelled || data.Streamed {
		t.Errorf("got %s", a.raw)
	}
	if other := w.get(t, path, "Authorization", "Bearer sk-or-other"); other.status != 404 {
		t.Errorf("another key sees it: %d", other.status)
	}
}

func TestModels(t *testing.T) {
	w := start(t, Options{})
	a := w.get(t, "/v1/models", "Authorization", "")
	type model struct {
		ID           string
		Context      int `json:"context_length"`
		Pricing      map[string]string
		Parameters   []string `json:"supported_parameters"`
		Architecture struct {
			Input []string `json:"input_modalities"`
		}
	}
	list := decode[struct {
		Data  []model
		Total int `json:"total_count"`
	}](t, a.raw)
	want := []string{
		"frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "response_format", "seed", "stop",
		"structured_outputs", "temperature", "tool_choice", "tools", "top_p",
	}
	m := list.Data[0]
	if m.ID != mixtral || m.Context != 65536 || m.Pricing["prompt"] != "0.000002" || m.Pricing["completion"] != "0.000006" || list.Total != 2 {
		t.Errorf("got %s", a.raw)
	}
	if diff := cmp.Diff(want, m.Parameters); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"/api/v1/model/" + mixtral, "/v1/models/" + mixtral} {
		one := decode[struct{ Data model }](t, w.get(t, path).raw)
		if diff := cmp.Diff(m, one.Data); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	ends := decode[struct {
		Data struct {
			Endpoints []struct {
				Provider string `json:"provider_name"`
				Pricing  map[string]string
			}
		}
	}](t, w.get(t, "/api/v1/models/"+mixtral+"/endpoints").raw).Data.Endpoints
	if len(ends) != 1 || ends[0].Provider != "Mistral" || ends[0].Pricing["completion"] != "0.000006" {
		t.Errorf("endpoints %+v", ends)
	}
}
