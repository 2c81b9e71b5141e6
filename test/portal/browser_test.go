package portal

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

const upstreamKey = "sk-or-v1-the-upstreams-own-key"

// local is the sample route as it is served on a laptop.
type local struct {
	t   *testing.T
	dir string
	// url is where the pages are.
	url string
}

var pagesAddress = regexp.MustCompile(`^Pages for people: (http://\S+)/$`)

// serveLocally builds the program and serves the sample route, whose consumer search is in the sample's team, from an upstream of its own.
func serveLocally(t *testing.T) *local {
	t.Helper()
	l := &local{t: t, dir: t.TempDir()}
	books := httptest.NewServer(upstream.New(upstream.Options{
		Keys: []upstream.Key{{Label: "route", Secret: upstreamKey, LimitNano: upstream.NoLimit}}, GenerationDelay: -1,
	}))
	t.Cleanup(books.Close)
	sample, err := os.ReadFile("../../config/samples/mixtral-8x22b-instruct.yaml")
	l.must(err)
	route := strings.Replace(string(sample), "https://openrouter.ai/api/v1", books.URL+"/api/v1", 1)
	route = strings.Replace(route, "- name: search\n", "- name: search\n    team: search\n", 1)
	l.must(os.WriteFile(filepath.Join(l.dir, "route.yaml"), []byte(route), 0o600))
	program := filepath.Join(l.dir, "kubectl-modelroute")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/kubectl-modelroute").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, output)
	}
	team, err := filepath.Abs("../../config/samples/team-budget.yaml")
	l.must(err)
	command := exec.Command(program, "run", "-f", "route.yaml", "-f", team, "--secret=ai-platform/openrouter/apiKey=env:UPSTREAM_KEY",
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0")
	command.Dir, command.Env = l.dir, append(os.Environ(), "UPSTREAM_KEY="+upstreamKey)
	var log syncbuffer.Buffer
	command.Stderr = &log
	output, err := command.StdoutPipe()
	l.must(err)
	l.must(command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, &log)
		}
	})
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if found := pagesAddress.FindStringSubmatch(lines.Text()); found != nil {
			l.url = found[1]
		}
		if strings.HasPrefix(lines.Text(), "For a shell") {
			return l
		}
	}
	t.Fatalf("it does not serve:\n%s", &log)
	return nil
}

func (l *local) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// key is that of the sample's consumer search.
func (l *local) key() string {
	l.t.Helper()
	content, err := os.ReadFile(filepath.Join(l.dir, ".modelroute/secrets/ai-platform/mixtral-8x22b-instruct-search.env"))
	l.must(err)
	_, rest, _ := strings.Cut(string(content), "OPENAI_API_KEY=")
	key, _, _ := strings.Cut(rest, "\n")
	return key
}

// spend asks once, so that something is spent.
func (l *local) spend() {
	l.t.Helper()
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.url+"/v1/chat/completions",
		strings.NewReader(`{"model": "mixtral-8x22b-instruct", "messages": [{"role": "user", "content": "What is a ledger?"}]}`))
	l.must(err)
	request.Header.Set("Authorization", "Bearer "+l.key())
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	l.must(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		l.t.Fatalf("asking is answered with %s", answer.Status)
	}
}

func TestThePagesInARealBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("there is no browser; run make browser: %v", err)
	}
	l := serveLocally(t)
	l.spend()
	// The page to sign in needs no API server, and a chart of many days no ledger that is as old.
	var log syncbuffer.Buffer
	cluster := serve(t, &log, build(t), "--api-server=https://127.0.0.1:1", "--api-server-ca-file=")
	// To try a route somebody has to be known to an API server.
	w := newWorld(t)
	visitor := w.newVisitor("browser", "a")
	command := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", "browser.test.mjs")
	command.Env = append(os.Environ(), "PORTAL_URL="+l.url, "CLUSTER_URL="+cluster, "BUSY_URL="+serveBusyRoute(t), "API_KEY="+l.key(),
		"RELAY_URL="+w.serveRelay(t, l), "VISITOR_TOKEN="+visitor.token, "CHROMIUM="+chromium)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
