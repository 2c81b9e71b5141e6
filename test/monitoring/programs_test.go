package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/controllers"
	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/test/world"
)

// What the manager is told of: a route whose consumer spends in a team's name.
const (
	namespace = "ai"
	route     = "chat"
	team      = "search"
)

// programs are a proxy that has answered and refused requests, its ledger, and a manager with a route and a team.
type programs struct {
	*world.World
	t *testing.T
	// targets are the addresses with their paths, by job.
	targets map[string]string
}

// begin starts them. They end with the test.
func begin(t *testing.T) *programs {
	t.Helper()
	budget := &ledgerpb.Budget{
		Ref: &ledgerpb.BudgetRef{Name: "daily"}, Limit: money.NanoPerUSD / 100, Period: ledgerpb.Period_PERIOD_DAY,
		Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
	setup := world.Setup{Budgets: []*ledgerpb.Budget{budget}, Upstream: upstream.Options{TokenDelay: 10 * time.Millisecond}}
	p := &programs{World: world.Begin(t, setup), t: t}
	books := httptest.NewServer(promhttp.HandlerFor(p.Ledger().Metrics, promhttp.HandlerOpts{}))
	t.Cleanup(books.Close)
	manager := p.startManager()
	p.targets = map[string]string{
		"proxy": p.AdminURL + "/metrics", "ledger": books.URL, "manager": manager + "/metrics", "spend": manager + controllers.SpendPath,
	}
	p.ask(`{"model":"`+world.Model+`","max_completion_tokens":16,"messages":[{"role":"user","content":"Hello"}]}`, http.StatusOK)
	p.ask(streamed, http.StatusOK)
	p.ask(`{"model":"`+world.Model+`","max_completion_tokens":16000,"messages":[{"role":"user","content":"Too much"}]}`, http.StatusPaymentRequired)
	p.hangUp()
	return p
}

const streamed = `{"model":"` + world.Model + `","max_completion_tokens":64,"stream":true,"messages":[{"role":"user","content":"Hello"}]}`

// hangUp asks for a stream and leaves when it has begun.
func (p *programs) hangUp() {
	p.t.Helper()
	ctx, leave := context.WithCancel(p.t.Context())
	defer leave()
	response := p.send(ctx, streamed, http.StatusOK)
	defer func() { _ = response.Body.Close() }()
	if _, err := response.Body.Read(make([]byte, 1)); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends a request, which the proxy must answer with the status, and reads the answer.
func (p *programs) ask(body string, status int) {
	p.t.Helper()
	response := p.send(p.t.Context(), body, status)
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		p.t.Fatal(err)
	}
}

// send sends a request of the consumer, which the proxy must answer with the status. The caller closes the answer.
func (p *programs) send(ctx context.Context, body string, status int) *http.Response {
	p.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+world.Key)
	request.Header.Set("Content-Type", "application/json")
	response, err := p.Client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if response.StatusCode != status {
		said, err := io.ReadAll(response.Body)
		p.t.Fatalf("the proxy answers with %s and not %d (%v): %s", response.Status, status, err, said)
	}
	return response
}

// startManager starts the manager, with a route and a team, and returns the URL of its metrics.
func (p *programs) startManager() string {
	p.t.Helper()
	user, err := environment.AddUser(envtest.User{Name: "manager", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		p.t.Fatal(err)
	}
	dir := p.t.TempDir()
	config, token := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "token")
	for file, content := range map[string][]byte{config: kubeconfig, token: []byte(ledgertest.Key)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		p.t.Fatal(err)
	}
	kube, err := client.New(user.Config(), client.Options{Scheme: scheme})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, object := range objects() {
		if err := kube.Create(p.t.Context(), object); err != nil {
			p.t.Fatalf("creating a %T: %v", object, err)
		}
	}
	// A manager tells its ledger that nobody serves the routes that its cluster does not have, such as this proxy's.
	books := ledgertest.Start(p.t)
	address := freeAddress(p.t)
	start(p.t, []string{"KUBECONFIG=" + config}, managerProgram, "--namespace", "modelroute-system", "--proxy-image", "localhost/none",
		"--ledger-url", books.URL, "--ledger-token-file", token, "--metrics-bind-address", address, "--health-probe-bind-address", "0")
	p.Eventually("the manager shows the team's budget", func() bool {
		metrics, err := fetch(p.t.Context(), "http://"+address+controllers.SpendPath)
		return err == nil && bytes.Contains(metrics, []byte(`team="`+team+`"`)) && bytes.Contains(metrics, []byte(`route="`+route+`"`))
	})
	return "http://" + address
}

func objects() []client.Object {
	inNamespace := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	budgets := []v1alpha1.Budget{{
		Name: "monthly", Amount: "500.00", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny,
	}}
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "modelroute-system"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Secret{ObjectMeta: inNamespace("upstream"), Data: map[string][]byte{"apiKey": []byte(world.UpstreamKey)}},
		&v1alpha1.TeamBudget{
			ObjectMeta: metav1.ObjectMeta{Name: team},
			Spec:       v1alpha1.TeamBudgetSpec{NamespaceSelector: &metav1.LabelSelector{}, Budgets: budgets},
		},
		&v1alpha1.ModelRoute{ObjectMeta: inNamespace(route), Spec: v1alpha1.ModelRouteSpec{
			Model: v1alpha1.Model{ContextLength: 65536},
			Upstreams: []v1alpha1.Upstream{{
				Name: "upstream", Provider: "OpenAICompatible", BaseURL: "http://upstream.models.svc/v1",
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "upstream", Key: "apiKey"},
				Pricing:         v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"},
			}},
			Budgets: budgets, Consumers: []v1alpha1.Consumer{{Name: "bot", Team: team, Budgets: budgets}},
		}},
	}
}

// start starts a program, which ends with the test. What it says is in the test's output if that fails.
func start(t *testing.T, environ []string, program string, arguments ...string) {
	t.Helper()
	var said bytes.Buffer
	command := exec.Command(program, arguments...)
	command.Env = append(os.Environ(), environ...)
	command.Stdout, command.Stderr = &said, &said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), &said)
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// fetch returns what a URL answers with 200.
func fetch(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", url, response.Status, content)
	}
	return content, err
}
