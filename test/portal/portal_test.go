// Package portal asks the real program for pages, in front of a real API server, as people who may see more or less.
package portal

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/timestamppb"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

const (
	patience = time.Minute
	// viewRole is what config/rbac calls the role of those who may see our kinds.
	viewRole = "modelroute-view"
)

// world is an API server with two routes, in namespaces a and b, and the portal in front of it.
type world struct {
	t      *testing.T
	config *rest.Config
	client client.Client
	// provider is whom the API server believes who people are, beside itself.
	provider *identityProvider
	url      string
	log      *syncbuffer.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	environment := &envtest.Environment{
		BinaryAssetsDirectory: cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), filepath.Join("..", "..", ".cluster", "bin")),
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	provider := newIdentityProvider(t)
	environment.ControlPlane.GetAPIServer().Configure().Set("authentication-config", provider.configuration())
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("starting the API server (make envtest gets it): %v", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	w := &world{t: t, config: config, provider: provider, log: &syncbuffer.Buffer{}}
	kinds := runtime.NewScheme()
	w.must(v1alpha1.AddToScheme(kinds))
	w.must(scheme.AddToScheme(kinds))
	w.client, err = client.New(config, client.Options{Scheme: kinds})
	w.must(err)
	w.fill()
	w.start()
	return w
}

// of is the world as a subtest sees it, which is what fails then.
func (w *world) of(t *testing.T) *world {
	its := *w
	its.t = t
	return &its
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		w.must(w.client.Create(w.t.Context(), object))
	}
}

// decode reads the first document of a file of the repository.
func (w *world) decode(into any, path ...string) {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	w.must(err)
	first, _, _ := strings.Cut(string(content), "\n---\n")
	w.must(yaml.UnmarshalStrict([]byte(first), into))
}

// fill makes the routes, and the role of those who may see them.
func (w *world) fill() {
	w.t.Helper()
	role := &rbacv1.ClusterRole{}
	w.decode(role, "config", "rbac", "aggregated_roles.yaml")
	if role.Name != viewRole {
		w.t.Fatalf("the first role is %s", role.Name)
	}
	w.create(role)
	for _, namespace := range []string{"a", "b"} {
		route := &v1alpha1.ModelRoute{}
		w.decode(route, "config", "samples", "mixtral-8x22b-instruct.yaml")
		route.Namespace, route.Spec.Model.DisplayName = namespace, "Model of "+namespace
		route.Spec.Consumers[0].Team = "search"
		w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, route)
	}
	team := &v1alpha1.TeamBudget{}
	w.decode(team, "config", "samples", "team-budget.yaml")
	w.create(team)
	team.Status.Routes = []v1alpha1.RouteSpend{
		{Namespace: "a", Name: "mixtral-8x22b-instruct", Spent: "1.25"}, {Namespace: "b", Name: "mixtral-8x22b-instruct", Spent: "0.50"},
	}
	w.must(w.client.Status().Update(w.t.Context(), team))
}

// start runs the program, knowing nothing but where the API server and the ledger are.
func (w *world) start() {
	w.t.Helper()
	dir := w.t.TempDir()
	authority, token, ledgers := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token"), filepath.Join(dir, "ledger.crt")
	books := ledgertest.StartWith(w.t, ledgertest.Options{TLS: true})
	w.spend(books, "a")
	for file, content := range map[string][]byte{
		authority: w.config.CAData, token: []byte(ledgertest.Key), ledgers: books.Authority(),
	} {
		w.must(os.WriteFile(file, content, 0o600))
	}
	w.url = serve(w.t, w.log, build(w.t), "--api-server="+w.config.Host, "--api-server-ca-file="+authority,
		"--ledger-url="+books.URL, "--ledger-token-file="+token, "--ledger-ca-file="+ledgers)
}

// spend books what the consumer search of the route in a namespace has spent just now: 1.25 USD.
func (w *world) spend(books *ledgertest.Ledger, namespace string) {
	w.t.Helper()
	route := &ledgerpb.RouteRef{Namespace: namespace, Name: "mixtral-8x22b-instruct"}
	books.PutRoute(&ledgerpb.PutRouteRequest{Route: route, Consumers: []string{"search"}})
	session := books.OpenSession(&ledgerpb.OpenSessionRequest{
		ProxyId: "00112233445566778899aabbccddeeff", Instance: "pod", Routes: []*ledgerpb.RouteRef{route},
	}).GetSession()
	client := books.HTTPClient()
	w.t.Cleanup(client.CloseIdleConnections)
	proxy := ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(client, books.URL)))
	_, err := proxy.Append(w.t.Context(), &ledgerpb.AppendRequest{Session: session, First: 1, Records: []*ledgerpb.Record{{
		Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
			Route: route, Consumer: "search", OpenedAt: timestamppb.Now(), AmountNanoUsd: 1_250_000_000, Requests: 1,
			Model: "mixtral", Upstream: "openrouter",
			Certainty: ledgerpb.Settlement_CERTAINTY_EXACT, Source: ledgerpb.Settlement_SOURCE_PRICED,
			Used: &ledgerpb.TokenUsage{Prompt: 1},
		}},
	}}})
	w.must(err)
}

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "portal")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/portal").CombinedOutput(); err != nil {
		t.Fatalf("building the portal: %v\n%s", err, output)
	}
	return program
}

// serve runs a portal until the test ends, and returns where it is.
func serve(t *testing.T, log *syncbuffer.Buffer, program string, arguments ...string) string {
	t.Helper()
	arguments = append([]string{"--listen=127.0.0.1:0", "--health-listen=127.0.0.1:0"}, arguments...)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), program, arguments...)
	command.Stderr = log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, log)
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, rest, found := strings.Cut(log.String(), `"address":"`); found {
			address, _, _ := strings.Cut(rest, `"`)
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve:\n%s", log)
		}
	}
}

// visitor is somebody with a ServiceAccount, whose token they sign in with.
type visitor struct {
	*world
	token  string
	cookie string
	// brings says that the token comes with each request, as from a proxy that signs people in.
	brings bool
}

// newVisitor makes a ServiceAccount that may see our kinds in these namespaces; in all, if one is "*".
func (w *world) newVisitor(name string, sees ...string) *visitor {
	w.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	w.create(account)
	role := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: viewRole}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}}
	for _, namespace := range sees {
		if namespace == "*" {
			w.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: role, Subjects: subjects})
		} else {
			w.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: role, Subjects: subjects})
		}
	}
	request := &authenticationv1.TokenRequest{}
	w.must(w.client.SubResource("token").Create(w.t.Context(), account, request))
	return &visitor{world: w, token: request.Status.Token}
}

// signIn returns the status of signing in.
func (v *visitor) signIn() int {
	v.t.Helper()
	status, _, header := v.send(http.MethodPost, "/sign-in", url.Values{"token": {v.token}})
	v.cookie, _, _ = strings.Cut(header.Get("Set-Cookie"), ";")
	return status
}

// get returns the status and the text of a page.
func (v *visitor) get(path string) (int, string) {
	v.t.Helper()
	status, body, _ := v.send(http.MethodGet, path, nil)
	return status, body
}

func (v *visitor) send(method, path string, form url.Values) (int, string, http.Header) {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, strings.NewReader(form.Encode()))
	v.must(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if v.brings {
		request.Header.Set("Authorization", "Bearer "+v.token)
	}
	if v.cookie != "" {
		request.Header.Set("Cookie", v.cookie)
	}
	answer, err := http.DefaultTransport.RoundTrip(request) // It follows no redirects.
	v.must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	v.must(err)
	if strings.Contains(string(body), v.token) || strings.Contains(v.log.String(), v.token) {
		v.t.Errorf("the token is on %s or in the log", path)
	}
	return answer.StatusCode, string(body), answer.Header
}

const page = "/mixtral-8x22b-instruct"

func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in:\n%s", part, text)
		}
	}
}

// see is what a visitor must get: the status of a path, and which routes are named there.
type see struct {
	path   string
	status int
	a, b   bool
}

func (v *visitor) wantToSee(all ...see) {
	v.t.Helper()
	for _, want := range all {
		status, body := v.get(want.path)
		a, b := strings.Contains(body, "Model of a"), strings.Contains(body, "Model of b")
		if got := (see{want.path, status, a, b}); got != want {
			v.t.Errorf("sees %+v, want %+v:\n%s", got, want, body)
		}
	}
}

func TestPeopleSeeWhatKubernetesLetsThemSee(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		sees []string
		want []see
	}{
		"everything": {[]string{"*"}, []see{
			{"/", 200, true, true}, {"/?namespace=a", 200, true, false}, {"/routes/b" + page, 200, false, true},
			{"/routes/b/none", 404, false, false},
		}},
		"one-namespace": {[]string{"a"}, []see{
			{"/", 403, false, false}, {"/?namespace=a", 200, true, false}, {"/?namespace=b", 403, false, false},
			{"/routes/a" + page, 200, true, false}, {"/routes/b" + page, 403, false, false},
		}},
		"nothing": {nil, []see{
			{"/", 403, false, false}, {"/?namespace=a", 403, false, false}, {"/routes/a" + page, 403, false, false},
			{"/routes/a%2F..%2Fb/x", 404, false, false}, {"/?namespace=..", 404, false, false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			v := w.of(t).newVisitor(name, test.sees...)
			v.wantToSee(see{"/", 303, false, false}, see{"/routes/a" + page, 303, false, false})
			if status := v.signIn(); status != http.StatusSeeOther {
				t.Fatalf("signing in is answered with %d:\n%s", status, w.log)
			}
			v.wantToSee(test.want...)
		})
	}

	t.Run("single sign-on", func(t *testing.T) { wantSingleSignOn(t, w.of(t)) })

	t.Run("what is spent, and by teams", func(t *testing.T) {
		w := w.of(t)
		everything := w.newVisitor("accountant", "*")
		everything.signIn()
		_, spends := everything.get("/routes/a" + page)
		wantContains(t, spends, "<strong>$1.25</strong> in the last 30 days", `of team <a href="/teams/search">search</a>`)
		_, other := everything.get("/routes/b" + page)
		wantContains(t, other, "Nothing was spent in the last 30 days.")
		_, teams := everything.get("/teams")
		wantContains(t, teams, `<a href="/teams/search">search</a>`)
		_, team := everything.get("/teams/search")
		wantContains(t, team, `<a href="/routes/a`+page+`">`, `<a href="/routes/b`+page+`">`)

		some := w.newVisitor("developer", "a")
		some.signIn()
		if status, body := some.get("/teams/search"); status != http.StatusForbidden {
			t.Errorf("who may not list TeamBudgets sees a team: %d\n%s", status, body)
		}
		_, spends = some.get("/routes/a" + page)
		wantContains(t, spends, "<strong>$1.25</strong> in the last 30 days", "of team search")
	})

	t.Run("nobody any more", func(t *testing.T) {
		w := w.of(t)
		v := w.newVisitor("gone", "*")
		if v.signIn(); v.cookie == "" {
			t.Fatal("cannot sign in")
		}
		w.must(w.client.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gone"}}))
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			if status, _ := v.get("/"); status == http.StatusSeeOther {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("whoever is deleted still sees the routes")
			}
		}
		again := &visitor{world: w, token: v.token}
		if status := again.signIn(); status != http.StatusForbidden || again.cookie != "" {
			t.Errorf("a token of somebody who is gone is accepted: %d", status)
		}
	})

	t.Run("a stranger", func(t *testing.T) {
		stranger := &visitor{world: w.of(t), token: fmt.Sprintf("eyJhbGciOiJub25lIn0.%s.", "eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ")}
		if status := stranger.signIn(); status != http.StatusForbidden || stranger.cookie != "" {
			t.Errorf("a token of nobody is accepted: %d", status)
		}
	})
}
