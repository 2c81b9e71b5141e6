//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestSomebodyAsksAModelFromTheCommandLineAndSeesWhatItCost(t *testing.T) {
	s := newScene(t, nil)
	kubectl := s.plugin()

	if found := kubectl("doctor"); !strings.Contains(found, "ok") {
		t.Errorf("doctor says:\n%s", found)
	}
	if listed := kubectl("models"); !strings.Contains(listed, s.namespace+"/"+s.route.Name) {
		t.Errorf("models lists:\n%s", listed)
	}
	if said := kubectl("chat", s.route.Name, "--consumer", "search", "What is a ledger?"); strings.TrimSpace(said) == "" {
		t.Error("the model has no answer")
	}

	billed := s.billed()
	s.statusShows(billed)
	var usage struct {
		Accounts []struct{ Consumer, Spent string }
	}
	if err := json.Unmarshal([]byte(kubectl("usage", "--by", "consumer", "-o", "json")), &usage); err != nil {
		t.Fatal(err)
	}
	spent := map[string]string{}
	for _, account := range usage.Accounts {
		spent[account.Consumer] = account.Spent
	}
	if spent["search"] != billed.String() {
		t.Errorf("search has spent %q, and the upstream billed %s", spent["search"], billed)
	}

	key := s.key("search")
	holder := "modelroute/" + s.route.Name + "/search"
	if exports := kubectl("keys", "env", holder); !strings.Contains(exports, key) {
		t.Error("keys env does not print the key")
	}
	kubectl("keys", "revoke", holder, "--yes")
	url := s.proxy()
	eventually(t, "the revoked key being refused", func() (bool, string) {
		got := s.ask(url, key, pageBody)
		return got.status == http.StatusUnauthorized, got.body
	})
}

func TestWhoeverHasTheRoleForItReadsInTheLedgerWhatWasSpentOnEachDay(t *testing.T) {
	s := newScene(t, nil)
	kubectl := s.plugin()
	if got := s.ask(s.proxy(), s.key("search"), pageBody); got.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", got.status, got.body)
	}
	billed := s.billed()
	s.statusShows(billed)

	reader := "reader-of-" + s.namespace
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: reader},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "modelroute-reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: reader}},
	}
	s.create(binding)
	t.Cleanup(func() { _ = s.Delete(context.WithoutCancel(t.Context()), binding) })

	records, err := csv.NewReader(strings.NewReader(kubectl("usage", "--by", "day", "-o", "csv", "--as", reader))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 {
		t.Fatalf("there are not one header and one line, but %q", records)
	}
	told := map[string]string{}
	for i, column := range records[0] {
		told[column] = records[1][i]
	}
	if told["route"] != s.route.Name || told["consumer"] != "search" || told["spent_usd"] != billed.String() {
		t.Errorf("%v, and the upstream billed %s for the consumer search", told, billed)
	}
}

// plugin builds kubectl-modelroute, and returns what runs it in the namespace of the scene: it must succeed, and its output is returned.
func (s *scene) plugin() func(arguments ...string) string {
	s.t.Helper()
	program := filepath.Join(s.t.TempDir(), "kubectl-modelroute")
	build := exec.CommandContext(s.t.Context(), "go", "build", "-o", program, "../../cmd/kubectl-modelroute")
	if said, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("building kubectl-modelroute: %v\n%s", err, said)
	}
	return func(arguments ...string) string {
		s.t.Helper()
		command := exec.CommandContext(s.t.Context(), program, append(arguments, "--namespace", s.namespace)...)
		command.Env = append(os.Environ(), "KUBECONFIG="+cmp.Or(os.Getenv("KUBECONFIG"), "../../.cluster/kubeconfig"))
		var output, errors bytes.Buffer
		command.Stdout, command.Stderr = &output, &errors
		if err := command.Run(); err != nil {
			s.t.Fatalf("kubectl modelroute %s: %v\n%s%s", strings.Join(arguments, " "), err, &output, &errors)
		}
		return output.String()
	}
}

func TestAVisitorOfThePagesSeesTheRoutesOfTheirOwnNamespaceAlone(t *testing.T) {
	s, others := newScene(t, nil), newScene(t, nil)
	v := s.visitor("view")

	if got := v.get("/"); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/sign-in") {
		t.Errorf("before they sign in, a visitor gets HTTP %d, %v", got.status, got.header)
	}
	v.signIn()

	page := v.get("/routes/" + s.namespace + "/" + s.route.Name)
	for _, shown := range []string{s.route.Name, "$2.00", "$6.00", "65,536", "http://" + s.route.Name + "." + s.namespace + ".svc/v1"} {
		if !strings.Contains(page.body, shown) {
			t.Errorf("HTTP %d, and the page does not show %q", page.status, shown)
		}
	}
	if strings.Contains(page.body, s.key("search")) || strings.Contains(page.body, "sk-or-e2e") {
		t.Error("there is a key on the page")
	}
	if list := v.get("/?namespace=" + s.namespace); list.status != http.StatusOK || !strings.Contains(list.body, s.route.Name) {
		t.Errorf("the list of the namespace is HTTP %d: %s", list.status, list.body)
	}
	for _, forbidden := range []string{"/", "/?namespace=" + others.namespace, "/routes/" + others.namespace + "/" + others.route.Name} {
		if got := v.get(forbidden); got.status != http.StatusForbidden {
			t.Errorf("%s is HTTP %d, want 403: %s", forbidden, got.status, got.body)
		}
	}
}

func TestAVisitorOfThePagesSeesWhatWasSpentOnEachDay(t *testing.T) {
	s := newScene(t, nil)
	if got := s.ask(s.proxy(), s.key("search"), pageBody); got.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", got.status, got.body)
	}
	billed := s.billed()
	s.statusShows(billed)
	v := s.visitor("view")
	v.signIn()
	// The ledger's certificate is in the portal's pod once the kubelet has seen it.
	eventually(t, "the page showing the day", func() (bool, string) {
		page := v.get("/routes/" + s.namespace + "/" + s.route.Name)
		day := "<strong>$" + billed.String() + "</strong> in the last 30 days"
		return strings.Contains(page.body, day) && strings.Contains(page.body, `<rect class="series-1"`), page.body
	})
}

func TestAVisitorOfThePagesTriesARouteWithAKeyOfTheirs(t *testing.T) {
	s, others := newScene(t, nil), newScene(t, nil)
	v := s.visitor("view")
	stream := strings.Replace(pageBody, "{", `{"stream": true, "stream_options": {"include_usage": true},`, 1)
	if got := v.try(s.route, s.key("search"), stream); got.status != http.StatusUnauthorized {
		t.Errorf("before they sign in, it is HTTP %d: %s", got.status, got.body)
	}
	v.signIn()
	if page := v.get("/routes/" + s.namespace + "/" + s.route.Name); !strings.Contains(page.body, "through this server") {
		t.Errorf("HTTP %d, and there is no form to try the route", page.status)
	}

	got := v.try(s.route, s.key("search"), stream)
	lines := dataLines(got.body)
	if got.status != http.StatusOK || len(lines) < 3 || lines[len(lines)-1] != "[DONE]" || got.header.Get("X-Request-Id") == "" {
		t.Fatalf("HTTP %d, %v: %s", got.status, got.header, got.body)
	}
	billed := s.billed()
	if billed.IsZero() {
		t.Error("the upstream has billed nothing")
	}
	s.statusShows(billed)

	for name, refused := range map[string]struct {
		route  *v1alpha1.ModelRoute
		key    string
		status int
	}{
		"a route that they may not see": {others.route, others.key("search"), http.StatusForbidden},
		"a key of another route":        {s.route, others.key("search"), http.StatusUnauthorized},
	} {
		if got := v.try(refused.route, refused.key, stream); got.status != refused.status {
			t.Errorf("%s: HTTP %d, want %d: %s", name, got.status, refused.status, got.body)
		}
	}
	if now := s.billed(); now != billed || !others.billed().IsZero() {
		t.Errorf("what is refused is billed: %s and %s", now, others.billed())
	}
}

func TestAVisitorOfThePagesWhoComesThroughAProxyOfOIDCNeedNotSignIn(t *testing.T) {
	s := newScene(t, nil)
	v := s.visitor("view")
	v.authorization = "Bearer " + v.token
	if page := v.get("/routes/" + s.namespace + "/" + s.route.Name); page.status != http.StatusOK || !strings.Contains(page.body, s.route.Name) {
		t.Errorf("the page is HTTP %d: %s", page.status, page.body)
	}
	if got := v.try(s.route, s.key("search"), pageBody); got.status != http.StatusOK {
		t.Errorf("trying the route is HTTP %d: %s", got.status, got.body)
	}
	v.authorization = "Bearer of-nobody"
	if page := v.get("/"); page.status != http.StatusUnauthorized {
		t.Errorf("with a token of nobody's it is HTTP %d: %s", page.status, page.body)
	}
}

// visitor is a person with a browser at the portal.
type visitor struct {
	t          *testing.T
	url, token string
	cookies    []*http.Cookie
	// authorization is what a proxy between the two adds to each request; empty for nothing.
	authorization string
}

// visitor makes a ServiceAccount with a ClusterRole in the scene's namespace, who visits the portal.
func (s *scene) visitor(role string) *visitor {
	s.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "visitor"}}
	s.create(account)
	s.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "visitor"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "visitor"}},
	})
	request := &authenticationv1.TokenRequest{}
	if err := s.SubResource("token").Create(s.t.Context(), account, request); err != nil {
		s.t.Fatalf("asking for a token: %v", err)
	}
	pod := s.readyPods(s.t, operatorNamespace, client.MatchingLabels{"app.kubernetes.io/name": "modelroute-portal"}, 1)[0]
	return &visitor{t: s.t, url: s.forward(s.t, pod, 8080), token: request.Status.Token}
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	return v.send(http.MethodGet, path, nil)
}

func (v *visitor) signIn() {
	v.t.Helper()
	if got := v.send(http.MethodPost, "/sign-in", url.Values{"token": {v.token}}); got.status != http.StatusSeeOther {
		v.t.Fatalf("signing in: HTTP %d: %s", got.status, got.body)
	}
}

// send sends a form, or nothing.
func (v *visitor) send(method, path string, form url.Values) answer {
	v.t.Helper()
	header := http.Header{}
	if form != nil {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.do(method, path, header, form.Encode())
}

// try asks a route as the form on its page does.
func (v *visitor) try(route *v1alpha1.ModelRoute, key, body string) answer {
	v.t.Helper()
	header := http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {key}, "Sec-Fetch-Site": {"same-origin"}}
	return v.do(http.MethodPost, "/routes/"+route.Namespace+"/"+route.Name+"/v1/chat/completions", header, body)
}

// do sends a request with the cookies so far, keeps those that come back, and follows no redirection.
func (v *visitor) do(method, path string, header http.Header, body string) answer {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header = header
	if v.authorization != "" {
		request.Header.Set("Authorization", v.authorization)
	}
	for _, cookie := range v.cookies {
		request.AddCookie(cookie)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	v.cookies = append(v.cookies, response.Cookies()...)
	content, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(content)}
}
