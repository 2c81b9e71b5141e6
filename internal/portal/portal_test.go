package portal_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/portal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when the tests look at the pages.
var now = time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)

// read reads a manifest.
func read(t *testing.T, into any, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = yaml.UnmarshalStrict(content, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sample is the sample route as a cluster has it that serves it.
func sample(t *testing.T) *v1alpha1.ModelRoute {
	t.Helper()
	route := &v1alpha1.ModelRoute{}
	read(t, route, "../../config/samples/mixtral-8x22b-instruct.yaml")
	read(t, &route.Status, "testdata/status.yaml")
	return route
}

// source has routes that everybody may see, or fails.
type source struct {
	routes []v1alpha1.ModelRoute
	teams  []v1alpha1.TeamBudget
	err    error
	// asked is the namespace that was asked for last, and by whom.
	asked   string
	visitor portal.Visitor
}

func (s *source) List(_ context.Context, visitor portal.Visitor, namespace string) ([]v1alpha1.ModelRoute, error) {
	s.asked, s.visitor = namespace, visitor
	return slices.DeleteFunc(slices.Clone(s.routes), func(route v1alpha1.ModelRoute) bool {
		return namespace != "" && route.Namespace != namespace
	}), s.err
}

func (s *source) Get(_ context.Context, _ portal.Visitor, namespace, name string) (*v1alpha1.ModelRoute, error) {
	for i := range s.routes {
		if s.routes[i].Namespace == namespace && s.routes[i].Name == name {
			return &s.routes[i], s.err
		}
	}
	return nil, errors.Join(s.err, portal.ErrNotFound)
}

func (s *source) Teams(context.Context, portal.Visitor) ([]v1alpha1.TeamBudget, error) {
	return s.teams, s.err
}

func newPortal(source portal.Source) *portal.Portal {
	return portal.New(portal.Options{
		Source: source, APIPath: "/v1", Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
}

// get asks for a page, and returns the answer with its body.
func get(t *testing.T, handler http.Handler, path string) (*http.Response, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	answer := recorder.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in:\n%s", part, text)
		}
	}
}

const samplePath = "/routes/ai-platform/mixtral-8x22b-instruct"

// hash is what changes of a page with the files that it loads.
var hash = regexp.MustCompile(`\?v=[0-9a-f]+`)

func TestThePagesOfTheSampleRouteAreTheGoldenOnes(t *testing.T) {
	pages := portal.New(portal.Options{
		Source: &source{routes: []v1alpha1.ModelRoute{*sample(t)}, teams: []v1alpha1.TeamBudget{*searchTeam()}}, History: &books{spent: someSpend()},
		APIPath: "/v1", Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	for path, file := range map[string]string{
		samplePath: "route.html", "/": "overview.html", "/teams": "teams.html", "/teams/search": "team.html",
	} {
		answer, body := get(t, pages, path)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %s, %s", path, answer.Status, answer.Header.Get("Content-Type"))
		}
		body = hash.ReplaceAllString(body, "?v=HASH")
		file = filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), body); diff != "" {
			t.Errorf("%s: look at it, and then run go test ./internal/portal -update (-want +got):\n%s", path, diff)
		}
	}
}

func TestARoutesPageHasAllThatTheModelPageHas(t *testing.T) {
	_, body := get(t, newPortal(&source{routes: []v1alpha1.ModelRoute{*sample(t)}}), samplePath)
	wantContains(t, body,
		"<h1>Mixtral 8x22B Instruct</h1>", "By Mistral.", ">Available<", "39B active parameters of 141B", "65,536 tokens",
		"$2.00 per million tokens of input", "$6.00 per million of output", "<dd>text</dd>",
		"curl http://mixtral-8x22b-instruct.ai-platform.svc/v1/chat/completions", "OpenAI(base_url=", "new OpenAI({ baseURL:",
		"option.WithBaseURL(",
		"<code>0.7</code> unless you say otherwise", "at most 4,096", "refused, with 400",
		"<strong>$412.345678</strong> of $500.00 (82 %), $87.62 left", "Nearly used up", "in 3 days 11 hours", "2026-12-01 00:00 CET",
		"Used up; requests are refused", "At this rate it is about $466.00 by the end.",
		"Its books agree with ours", "$412.345678 billed to its key and $412.345678 spent with it since 2026-11-01",
	)
	for _, name := range []string{"frequency_penalty", "max_tokens", "presence_penalty", "response_format", "seed", "stop",
		"structured_outputs", "temperature", "tool_choice", "tools", "top_p"} {
		wantContains(t, body, `<th scope="row"><code>`+name+`</code></th>`)
	}
	if strings.Contains(body, "<code>top_k</code>") {
		t.Error("it has a parameter that the route does not support")
	}
}

// inline finds what the Content-Security-Policy would not let run.
var inline = regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script(\s+type="module")?>|(src|href|action)="(https?:)?//`)

func TestNoPageHasAnythingInlineOrFromElsewhere(t *testing.T) {
	forbidden := newPortal(&source{err: portal.ErrForbidden})
	served := portal.New(portal.Options{
		Source: &source{routes: []v1alpha1.ModelRoute{*sample(t)}, teams: []v1alpha1.TeamBudget{*searchTeam()}}, History: &books{spent: someSpend()},
		Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	for _, page := range []struct {
		handler http.Handler
		path    string
		status  int
	}{
		{served, "/", 200}, {served, "/?q=nothing+has+this", 200}, {served, samplePath, 200}, {served, "/routes/a/b", 404}, {forbidden, "/", 403},
		{served, "/teams", 200}, {served, "/teams/search", 200}, {served, "/teams/none", 404}, {forbidden, "/teams", 403},
	} {
		answer, body := get(t, page.handler, page.path)
		if answer.StatusCode != page.status {
			t.Errorf("%s: %s, want %d", page.path, answer.Status, page.status)
		}
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s has %q", page.path, found)
		}
		policy := answer.Header.Get("Content-Security-Policy")
		wantContains(t, policy, "default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'")
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
			t.Errorf("the policy of %s is weak: %s", page.path, policy)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s is cached: %q", page.path, got)
		}
	}
}

var loaded = regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)

func TestWhatPagesLoadIsThereAndKept(t *testing.T) {
	pages := newPortal(&source{})
	_, body := get(t, pages, "/")
	found := loaded.FindAllStringSubmatch(body, -1)
	if len(found) < 3 {
		t.Fatalf("the page loads only %v", found)
	}
	types := map[string]string{".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
	for _, match := range found {
		path, _, _ := strings.Cut(match[1], "?")
		answer, content := get(t, pages, match[1])
		if answer.StatusCode != http.StatusOK || content == "" {
			t.Errorf("%s: %s", match[1], answer.Status)
		}
		wantContains(t, answer.Header.Get("Content-Type"), types[filepath.Ext(path)])
		wantContains(t, answer.Header.Get("Cache-Control"), "immutable")
		stale, _ := get(t, pages, path+"?v=of-another-version")
		if got := stale.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s of another version is kept: %s", path, got)
		}
	}
	if answer, _ := get(t, pages, "/assets/portal.go"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is not there: %s", answer.Status)
	}
}

func TestWhatARouteSaysIsTextAndNothingElse(t *testing.T) {
	route := sample(t)
	const hostile = `</p><script>alert("1")</script><a href="javascript:alert(1)">`
	route.Spec.Model.Description, route.Spec.Model.DisplayName = hostile, hostile
	route.Spec.Consumers[0].Name, route.Status.Consumers[0].Name = hostile, hostile
	route.Status.Conditions[0].Message = hostile
	team := searchTeam()
	team.Status.Conditions[0].Message, team.Status.Routes[0].Name = hostile, hostile
	pages := portal.New(portal.Options{
		Source:  &source{routes: []v1alpha1.ModelRoute{*route}, teams: []v1alpha1.TeamBudget{*team}},
		History: &books{spent: []portal.Spent{{Day: today, Consumer: hostile, Amount: money.FromNano(1)}}},
		Now:     func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	for _, path := range []string{"/", samplePath, "/teams", "/teams/search"} {
		_, body := get(t, pages, path)
		if strings.Contains(body, "<script>") || strings.Contains(body, `href="javascript`) {
			t.Errorf("%s has what the route says as HTML:\n%s", path, body)
		}
	}
}

func TestAnEndpointThatAShellWouldRunIsInNoExample(t *testing.T) {
	for _, endpoint := range []string{
		"http://a/v1; rm -rf ~", "http://a/$(id)", "http://a/v1'", `http://a/"`, "javascript:alert(1)", "http://a/v1\n",
	} {
		route := sample(t)
		route.Status.Endpoint = endpoint
		shown, err := portal.NewRoute(route, now)
		if err != nil {
			t.Fatal(err)
		}
		if len(shown.Examples) > 0 {
			t.Errorf("%q is in %s", endpoint, shown.Examples[0].Code)
		}
	}
}

func TestARouteThatNobodyHasLookedAtYetHasAPageAsWell(t *testing.T) {
	route := &v1alpha1.ModelRoute{}
	read(t, route, "../../config/samples/minimal.yaml")
	shown, err := portal.NewRoute(route, now)
	if err != nil {
		t.Fatal(err)
	}
	if shown.Availability.Word != "Not known yet" || shown.ContextLength == "" || !shown.Prices[0].Known {
		t.Errorf("it is %q, with a context of %q and the price %+v", shown.Availability.Word, shown.ContextLength, shown.Prices[0])
	}
	answer, _ := get(t, newPortal(&source{routes: []v1alpha1.ModelRoute{*route}}), "/routes/"+route.Namespace+"/"+route.Name)
	if answer.StatusCode != http.StatusOK {
		t.Errorf("its page is %s", answer.Status)
	}
}

func TestAModelOfEmbeddingsIsAskedForEmbeddings(t *testing.T) {
	route := sample(t)
	route.Spec.Model.OutputModalities = []v1alpha1.OutputModality{v1alpha1.OutputEmbeddings}
	shown, err := portal.NewRoute(route, now)
	if err != nil {
		t.Fatal(err)
	}
	if shown.Chats || len(shown.Examples) != 4 {
		t.Fatalf("it chats (%v), with %d examples", shown.Chats, len(shown.Examples))
	}
	for _, example := range shown.Examples {
		wantContains(t, strings.ToLower(example.Code), "embedding", "mixtral-8x22b-instruct")
	}
}

func TestAvailabilityIsWhatTheConditionsSay(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Message: "because of " + kind}
	}
	cases := map[string]struct {
		conditions []metav1.Condition
		suspended  bool
		want       portal.Availability
	}{
		"nothing": {nil, false, portal.Availability{Word: "Not known yet", Tone: portal.Neutral}},
		"ready": {[]metav1.Condition{condition("Ready", "True"), condition("WithinBudget", "True")}, false,
			portal.Availability{Word: "Available", Tone: portal.Good}},
		"used up": {[]metav1.Condition{condition("Ready", "True"), condition("WithinBudget", "False")}, false,
			portal.Availability{Word: "Available, a budget is used up", Tone: portal.Warning, Message: "because of WithinBudget"}},
		"on its way": {[]metav1.Condition{condition("Ready", "False"), condition("Reconciling", "True")}, false,
			portal.Availability{Word: "Not ready", Tone: portal.Warning, Message: "because of Ready"}},
		"stalled": {[]metav1.Condition{condition("Ready", "False"), condition("Stalled", "True")}, false,
			portal.Availability{Word: "Broken", Tone: portal.Bad, Message: "because of Ready"}},
		"suspended": {[]metav1.Condition{condition("Ready", "True")}, true, portal.Availability{
			Word: "Suspended", Tone: portal.Warning, Message: "Somebody has asked for requests to be refused for now."}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			route := sample(t)
			route.Status.Conditions = test.conditions
			if test.suspended {
				route.Annotations = map[string]string{v1alpha1.AnnotationSuspended: "true"}
			}
			shown, err := portal.NewRoute(route, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, shown.Availability); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoMayNotSeeAllIsAskedForANamespace(t *testing.T) {
	_, body := get(t, newPortal(&source{err: fmt.Errorf("listing: %w", portal.ErrForbidden)}), "/")
	wantContains(t, body, "You may not see this", `name="namespace"`)
}

func TestWhatFailedIsForTheLogAlone(t *testing.T) {
	answer, body := get(t, newPortal(&source{err: errors.New("dial tcp 10.0.0.7: the secret reason")}), "/")
	if answer.StatusCode != http.StatusBadGateway || strings.Contains(body, "secret reason") {
		t.Errorf("%s:\n%s", answer.Status, body)
	}
}

func TestAllThatIsNoPageIsTheOthers(t *testing.T) {
	other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "the other: "+r.URL.Path) })
	both := newPortal(&source{}).Beside(other)
	for path, isOthers := range map[string]bool{
		"/": false, "/?q=a": false, "/assets/portal.css": false, "/routes/a/b": false, "/teams": false,
		"/teams/a": false, "/teams/a/b": true,
		"/v1/models": true, "/api/v1/models": true, "/chat/completions": true, "/routes": true, "/routes/a": true, "//v1/models": true,
	} {
		if _, body := get(t, both, path); strings.HasPrefix(body, "the other: ") != isOthers {
			t.Errorf("%s is the other's (%v): %s", path, !isOthers, body)
		}
	}
	recorder := httptest.NewRecorder()
	both.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	if got := recorder.Body.String(); got != "the other: /" {
		t.Errorf("a POST is answered with %q", got)
	}
}
