package upstream

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const embedder = "openai/text-embedding-3-small"

func (w world) embed(t *testing.T, input string, members ...string) answer {
	t.Helper()
	all := append([]string{`"model":"` + embedder + `"`, `"input":` + input}, members...)
	return w.do(t, http.MethodPost, "/v1/embeddings", "{"+strings.Join(all, ",")+"}")
}

type wireEmbeddings struct {
	Object string `json:"object"`
	Model  string `json:"model"`
	Data   []struct {
		Object    string          `json:"object"`
		Index     int             `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	} `json:"data"`
	Usage map[string]json.RawMessage `json:"usage"`
	Error *wireError                 `json:"error"`
}

func TestEmbeddingsBillTheirInputs(t *testing.T) {
	cases := map[string]struct {
		reason, input string
		vectors       int
		tokens        int
	}{
		"One":       {"a text", `"What is a teapot?"`, 1, 7},
		"Many":      {"texts", `["What is a teapot?","a"]`, 2, 9},
		"Tokens":    {"one input of tokens", `[1,2,3]`, 1, 3},
		"ManyLists": {"inputs of tokens", `[[1,2,3],[4]]`, 2, 4},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			a := w.embed(t, tc.input)
			got := decode[wireEmbeddings](t, a.raw)
			if a.status != 200 || got.Object != "list" || got.Model != embedder || len(got.Data) != tc.vectors {
				t.Fatalf("%s: got %d %.300s", tc.reason, a.status, a.raw)
			}
			for i, data := range got.Data {
				if vector := decode[[]float64](t, data.Embedding); data.Index != i || data.Object != "embedding" || len(vector) != 1536 {
					t.Errorf("%s: vector %d is %d of %d numbers", tc.reason, i, data.Index, len(vector))
				}
			}
			r := w.onlyRecord(t)
			count := decode[int](t, got.Usage["total_tokens"])
			if r.CostNanoUSD != int64(tc.tokens)*20 || exactNano(t, json.Number(got.Usage["cost"])) != r.CostNanoUSD || count != tc.tokens {
				t.Errorf("%s: usage %s, record %+v", tc.reason, got.Usage, r)
			}
			if r.PromptTokens != tc.tokens || r.CompletionTokens != 0 || r.Endpoint != Embeddings || r.Streamed {
				t.Errorf("%s: record %+v", tc.reason, r)
			}
			if _, has := got.Usage["completion_tokens"]; has {
				t.Errorf("%s: embeddings complete nothing: %s", tc.reason, got.Usage)
			}
		})
	}
}

func TestEmbeddingsAreTheSameInBothEncodings(t *testing.T) {
	w := start(t, Options{})
	plain := decode[wireEmbeddings](t, w.embed(t, `["a","b"]`, `"dimensions":8`).raw)
	packed := decode[wireEmbeddings](t, w.embed(t, `["a","b"]`, `"dimensions":8,"encoding_format":"base64"`).raw)
	for i := range plain.Data {
		want := decode[[]float32](t, plain.Data[i].Embedding)
		raw, err := base64.StdEncoding.DecodeString(decode[string](t, packed.Data[i].Embedding))
		if err != nil {
			t.Fatal(err)
		}
		var got []float32
		var square float64
		for ; len(raw) > 0; raw = raw[4:] {
			value := math.Float32frombits(binary.LittleEndian.Uint32(raw))
			got = append(got, value)
			square += float64(value) * float64(value)
		}
		if diff := cmp.Diff(want, got); diff != "" || math.Abs(square-1) > 1e-5 {
			t.Errorf("vector %d: square of its length %v, %s", i, square, diff)
		}
	}
	if cmp.Equal(plain.Data[0].Embedding, plain.Data[1].Embedding) {
		t.Error("two texts have one vector")
	}
}

func TestEmbeddingsRefuse(t *testing.T) {
	w := start(t, Options{})
	cases := map[string]struct {
		reason, input, members string
		kind                   string
	}{
		"None":       {"no input", `null`, `"user":"a"`, "invalid_request"},
		"Empty":      {"an empty text has no vector", `["a",""]`, `"user":"a"`, "invalid_request"},
		"Encoding":   {"no such encoding", `"a"`, `"encoding_format":"hex"`, "invalid_request"},
		"Dimensions": {"more than there are", `"a"`, `"dimensions":1537`, "invalid_request"},
		"Context":    {"an input is too long", `"` + strings.Repeat("!", 8192) + `"`, `"user":"a"`, "context_length_exceeded"},
		"Chat":       {"a model that makes text", `"a"`, asMixtral, "wrong_endpoint"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wantError(400, tc.kind, 400.0)(t, w.embed(t, tc.input, tc.members))
		})
	}
	wantError(400, "wrong_endpoint", 400.0)(t, w.chat(t, body("a", `"model":"`+embedder+`"`)))
	full := `"` + strings.Repeat("!", 8191) + `"`
	if a := w.embed(t, full); a.status != 200 {
		t.Errorf("an input that fills the context: %d %.200s", a.status, a.raw)
	}
	if n := w.Billed(Filter{}).Count; n != 1 {
		t.Errorf("%d requests were billed, want the last only", n)
	}
}

func TestCatalogueListsEmbeddingModelsWhenAsked(t *testing.T) {
	w := start(t, Options{})
	ids := func(query string) string {
		list := decode[struct{ Data []struct{ ID string } }](t, w.get(t, "/v1/models"+query).raw)
		var out []string
		for _, m := range list.Data {
			out = append(out, m.ID)
		}
		return strings.Join(out, " ")
	}
	for query, want := range map[string]string{
		"":                              mixtral + " " + gpt,
		"?output_modalities=text":       mixtral + " " + gpt,
		"?output_modalities=embeddings": embedder,
		"?output_modalities=all":        mixtral + " " + gpt + " " + embedder,
	} {
		if got := ids(query); got != want {
			t.Errorf("%q lists %s, want %s", query, got, want)
		}
	}
}
