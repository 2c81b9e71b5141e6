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
	w := start(t, Options{Keys: []Key{{Label: "a", Secret: "sk-or-a", LimitNano: NoLimit}, {Label: "b", Secret: "sk-or-b", LimitNano: NoLimit}}})
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
	wantError(400, "invalid_request", 400.0)(t, w.get(t, "/billed?label=a"))
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
		t.Errorf("%d nano-USD of %d requests, %d kept, %d dropped; want %d of 35", s.TotalNanoUSD, s.Count, len(s.Requests), s.Dropped, sum)
	}
}

func TestBooksHoldWhatTheRequestSaidOfItselfAndNoKey(t *testing.T) {
	w := start(t, Options{})
	w.chat(t, body(entanglement, `"user":"someone"`), TagHeader, "case-7").completion(t)
	r := w.onlyRecord(t)
	want := [...]string{"someone", "case-7", hashOf(anyKey), "key-" + hashOf(anyKey)[:12], "Mistral"}
	if got := [...]string{r.User, r.Tag, r.KeyHash, r.Key, r.Provider}; got != want {
		t.Errorf("got %q, want %q", got, want)
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
	// 13 prompt tokens cost 26,000 of the 300,000 nano-USD; the rest pays for 45 completion tokens.
	cases := map[string]struct {
		reason, members string
		status          int
		message         string
	}{
		"Limit":   {"the limit asked for counts", `"max_tokens":1000`, 402, "You requested up to 1000 tokens, but can only afford 45."},
		"Open":    {"without a limit the model's own counts", `"n":1`, 402, "You requested up to 65523 tokens, but can only afford 45."},
		"Choices": {"every choice must be afforded", `"max_tokens":20,"n":3`, 402, "You requested up to 60 tokens"},
		"Exact":   {"what can just be afforded is served", `"max_tokens":45`, 200, "usage"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, auth := limited(t)
			if a := w.chat(t, body("a", tc.members), auth...); a.status != tc.status || !strings.Contains(string(a.raw), tc.message) {
				t.Errorf("%s: got %d %s, want %q", tc.reason, a.status, a.raw, tc.message)
			}
		})
	}
}

// limited is an upstream with one key that may spend 0.0003 USD.
func limited(t *testing.T) (w world, auth []string) {
	t.Helper()
	key, err := ParseKey("tiny=sk-or-tiny:0.0003")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, Options{Keys: []Key{key}}), []string{"Authorization", "Bearer sk-or-tiny"}
}

func TestExhaustedKey(t *testing.T) {
	w, auth := limited(t)
	w.chat(t, body("a", `"max_tokens":45,"user":"fault:overrun=5"`), auth...).completion(t)
	spent := w.chat(t, body("a", `"max_tokens":1`), auth...)
	wantError(402, "payment_required", 402.0)(t, spent)
	if !strings.Contains(string(spent.raw), "Key limit exceeded") {
		t.Errorf("got %s", spent.raw)
	}
	type key struct {
		Label     string
		Limit     json.Number
		Remaining json.Number `json:"limit_remaining"`
		Usage     json.Number
	}
	got := decode[struct{ Data key }](t, w.get(t, "/api/v1/key", auth...).raw).Data
	if diff := cmp.Diff(key{"tiny", "0.0003", "0", "0.000326"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseKey(t *testing.T) {
	cases := map[string]Key{
		"app=sk-or-1":     {Label: "app", Secret: "sk-or-1", LimitNano: NoLimit},
		"app=sk-or-1:2.5": {Label: "app", Secret: "sk-or-1", LimitNano: 2_500_000_000},
		"app=sk-or-1:0":   {Label: "app", Secret: "sk-or-1", LimitNano: 0},
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

func TestOwnProviderKeyIsShownApart(t *testing.T) {
	now := &clock{}
	w := start(t, Options{Now: now.Now})
	for _, day := range []time.Time{time.Date(2026, 9, 30, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)} {
		now.set(day)
		w.chat(t, body("a", `"max_tokens":4,"user":"fault:byok"`)).completion(t)
	}
	r := w.Billed(Filter{}).Requests[0]
	fee := r.CostNanoUSD - r.BYOKNanoUSD
	got := decode[struct{ Data map[string]json.RawMessage }](t, w.get(t, "/v1/key").raw).Data
	for name, want := range map[string]int64{
		"usage": 2 * fee, "usage_daily": fee, "usage_weekly": 2 * fee, "usage_monthly": fee, "byok_usage": 2 * r.BYOKNanoUSD,
		"byok_usage_daily": r.BYOKNanoUSD, "byok_usage_weekly": 2 * r.BYOKNanoUSD, "byok_usage_monthly": r.BYOKNanoUSD,
	} {
		if string(got[name]) != FormatUSD(want) || want == 0 {
			t.Errorf("%s is %s, want %s", name, got[name], FormatUSD(want))
		}
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
	type generation struct {
		ID         string
		Total      json.Number `json:"total_cost"`
		Prompt     int         `json:"native_tokens_prompt"`
		Completion int         `json:"native_tokens_completion"`
		Finish     string      `json:"finish_reason"`
		Provider   string      `json:"provider_name"`
		Cancelled  bool
		Streamed   bool
		Attempts   []struct {
			Provider string `json:"provider_name"`
			Status   int
		} `json:"provider_responses"`
	}
	want := generation{ID: c.ID, Total: c.Usage.Cost, Prompt: c.Usage.Prompt, Completion: 5, Finish: "length", Provider: "Mistral"}
	want.Attempts = append(want.Attempts, struct {
		Provider string `json:"provider_name"`
		Status   int
	}{"Mistral", 200})
	if diff := cmp.Diff(want, decode[struct{ Data generation }](t, a.raw).Data); diff != "" {
		t.Error(diff)
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
		Data []model
	}](t, a.raw)
	want := []string{
		"frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "response_format", "seed", "stop",
		"structured_outputs", "temperature", "tool_choice", "tools", "top_p",
	}
	m := list.Data[0]
	if m.ID != mixtral || m.Context != 65536 || m.Pricing["prompt"] != "0.000002" || m.Pricing["completion"] != "0.000006" {
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

func TestModelsComeInPagesWhenAsked(t *testing.T) {
	w := start(t, Options{})
	type list struct {
		Data  []struct{ ID string }
		Count int                    `json:"total_count"`
		Links struct{ Next *string } `json:"links"`
	}
	first := decode[list](t, w.get(t, "/api/v1/models?limit=1").raw)
	if len(first.Data) != 1 || first.Data[0].ID != mixtral || first.Count != 2 || first.Links.Next == nil {
		t.Fatalf("the first page: %+v", first)
	}
	last := decode[list](t, w.get(t, *first.Links.Next).raw)
	if len(last.Data) != 1 || last.Data[0].ID != gpt || last.Count != 2 || last.Links.Next != nil {
		t.Errorf("the last page: %+v", last)
	}
	if beyond := decode[list](t, w.get(t, "/v1/models?offset=9").raw); beyond.Data == nil || len(beyond.Data) != 0 {
		t.Errorf("beyond the last page: %+v", beyond)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=all", "offset=-1"} {
		wantError(400, "invalid_request", 400.0)(t, w.get(t, "/v1/models?"+query))
	}
}
