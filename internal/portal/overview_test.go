package portal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
)

func TestRoutesAreFoundByWhatPeopleKnowThemBy(t *testing.T) {
	other := v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "search", Name: "embeddings"},
		Spec: v1alpha1.ModelRouteSpec{
			Model:     v1alpha1.Model{Name: "text-embedding-3-small"},
			Upstreams: []v1alpha1.Upstream{{Name: "openai", Provider: v1alpha1.ProviderOpenAI}},
		},
	}
	routes := []v1alpha1.ModelRoute{other, *sample(t)}
	for query, want := range map[string][]string{
		"":                        {"mixtral-8x22b-instruct", "embeddings"},
		"MIXTRAL":                 {"mixtral-8x22b-instruct"},
		"mistral":                 {"mixtral-8x22b-instruct"},
		"openai":                  {"embeddings"},
		"cost-efficient coding":   {"mixtral-8x22b-instruct"},
		"mistralai/mixtral":       {"mixtral-8x22b-instruct"},
		"search":                  {"embeddings"},
		"mixtral embedding":       nil,
		"  text-embedding-3   ":   {"embeddings"},
		"<script>alert(1)</scrip": nil,
	} {
		var got []string
		for _, row := range portal.NewOverview(routes, query, "", now).Rows {
			got = append(got, row.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q finds (-want +got):\n%s", query, diff)
		}
	}
}

func TestTheSearchIsAskedForInTheAddress(t *testing.T) {
	s := &source{routes: []v1alpha1.ModelRoute{*sample(t)}}
	_, body := get(t, newPortal(s), "/?q=%3Cscript%3E&namespace=ai-platform")
	wantContains(t, body, `value="&lt;script&gt;"`, "0 of 1 routes")
	if s.asked != "ai-platform" {
		t.Errorf("the source was asked for namespace %q", s.asked)
	}
}

// thousand is a portal of a thousand routes that are like the sample route but for their names.
func thousand(t testing.TB) *portal.Portal {
	t.Helper()
	var one v1alpha1.ModelRoute
	content, err := os.ReadFile("../../config/samples/mixtral-8x22b-instruct.yaml")
	if err == nil {
		err = yaml.Unmarshal(content, &one)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &source{}
	for i := range 1000 {
		route := one.DeepCopy()
		route.Name = fmt.Sprintf("route-%04d", i)
		s.routes = append(s.routes, *route)
	}
	return newPortal(s)
}

func TestTheListHasAThousandRoutesInOneAnswerOfLessThanTwoMegabytes(t *testing.T) {
	answer, body := get(t, thousand(t), "/")
	if answer.StatusCode != http.StatusOK || len(body) >= 2_000_000 {
		t.Errorf("%s, with %d bytes", answer.Status, len(body))
	}
	for i := range 1000 {
		wantContains(t, body, fmt.Sprintf(`href="/routes/ai-platform/route-%04d"`, i))
		if t.Failed() {
			return
		}
	}
}

func BenchmarkTheListOfAThousandRoutes(b *testing.B) {
	pages := thousand(b)
	for b.Loop() {
		recorder := httptest.NewRecorder()
		pages.ServeHTTP(recorder, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil))
		b.SetBytes(int64(recorder.Body.Len()))
	}
}
