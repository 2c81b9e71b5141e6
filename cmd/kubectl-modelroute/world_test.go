package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/cli"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

const (
	upstreamKey = "sk-or-v1-the-upstreams-own-key"
	// keyVariable is where the program finds it.
	keyVariable = "TEST_UPSTREAM_KEY"
	keyFlag     = "--secret=ai/openrouter/apiKey=env:" + keyVariable
	// patience is how long a test waits for what must happen in the end.
	patience = time.Minute
)

// program is the real program, built once.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndTest(m)) }

// buildAndTest exists because os.Exit would skip its deferred call.
func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kubectl-modelroute-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "kubectl-modelroute")
	arguments := []string{"build", "-o", program}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "-race" && setting.Value == "true" {
				arguments = append(arguments, "-race") // What the tests are asked for, the program is as well.
			}
		}
	}
	if output, err := exec.Command("go", append(arguments, ".")...).CombinedOutput(); err != nil {
		panic("building the program: " + string(output))
	}
	return m.Run()
}

// world is a directory in which the program runs, and an upstream that keeps books.
type world struct {
	t        *testing.T
	dir      string
	upstream *upstream.Server
	url      string
}

// newWorld makes a world of the test's own, beside which those of others may be.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, dir: t.TempDir()}
	w.upstream = upstream.New(upstream.Options{
		Keys: []upstream.Key{{Label: "route", Secret: upstreamKey, LimitNano: upstream.NoLimit}}, GenerationDelay: -1,
	})
	server := httptest.NewServer(w.upstream)
	t.Cleanup(server.Close)
	w.url = server.URL + "/api/v1"
	return w
}

// route is a manifest with the consumer search, who has what spec says beside its name.
func (w *world) route(name, spec string) string {
	return `apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: ` + name + `, namespace: ai}
spec:
  model: {name: ` + name + `-model, contextLength: 65536}
  upstreams:
  - name: openrouter
    provider: OpenRouter
    baseURL: ` + w.url + `
    model: mistralai/mixtral-8x22b-instruct
    apiKeySecretRef: {name: openrouter, key: apiKey}
    pricing: {prompt: "2.00", completion: "6.00"}
  parameters: {defaults: {max_completion_tokens: 200}}
  consumers:
  - name: search
` + spec
}

// limited is the budget of a consumer.
func limited(amount string) string {
	return `    budgets: [{name: total, amount: "` + amount + `", window: {period: Total}, enforcement: Deny}]` + "\n"
}

func (w *world) write(name, content string) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// command is a call of the program in the world's directory.
func (w *world) command(arguments ...string) *exec.Cmd {
	command := exec.CommandContext(w.t.Context(), program, arguments...)
	command.Dir = w.dir
	command.Env = append(os.Environ(), keyVariable+"="+upstreamKey)
	return command
}

// call runs a command to its end.
func (w *world) call(arguments ...string) (status int, output, diagnostics string) {
	w.t.Helper()
	command := w.command(arguments...)
	var out, err bytes.Buffer
	command.Stdout, command.Stderr = &out, &err
	_ = command.Run() // The status says all.
	return command.ProcessState.ExitCode(), out.String(), err.String()
}

// serving is a run that serves.
type serving struct {
	*world
	command *exec.Cmd
	log     *syncbuffer.Buffer
	admin   string
	// announced is what it said until it served.
	announced strings.Builder
	ended     chan error
	once      sync.Once
}

var adminAddress = regexp.MustCompile(`Health and metrics: (http://\S+)`)

// start starts a run on ports that are free, and waits until it says that it serves.
func (w *world) start(arguments ...string) *serving {
	w.t.Helper()
	s := &serving{world: w, log: &syncbuffer.Buffer{}, ended: make(chan error, 1)}
	s.command = w.command(append([]string{"run", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"}, arguments...)...)
	s.command.Stderr = s.log
	output, err := s.command.StdoutPipe()
	w.must(err)
	w.must(s.command.Start())
	w.t.Cleanup(func() {
		_ = s.command.Process.Kill()
		_ = s.wait() // It was killed, or has ended by itself.
		if strings.Contains(s.log.String(), upstreamKey) || strings.Contains(s.log.String(), "DATA RACE") {
			w.t.Errorf("the log tells a key, or of a race:\n%s", s.log)
		}
	})
	for lines := bufio.NewScanner(output); lines.Scan(); {
		s.announced.WriteString(lines.Text() + "\n")
		if found := adminAddress.FindStringSubmatch(lines.Text()); found != nil {
			s.admin = found[1]
		}
		if strings.HasPrefix(lines.Text(), "For a shell") {
			return s
		}
	}
	w.t.Fatalf("it does not serve:\n%s", s.log)
	return nil
}

// wait waits for the end.
func (s *serving) wait() error {
	s.once.Do(func() { s.ended <- s.command.Wait() })
	err := <-s.ended
	s.ended <- err
	return err
}

// end asks for the end, as kubectl and Ctrl-C do, and waits for it.
func (s *serving) end() {
	s.t.Helper()
	s.must(s.command.Process.Signal(syscall.SIGTERM))
	if err := s.wait(); err != nil {
		s.t.Errorf("it ended with %v:\n%s", err, s.log)
	}
}

// kill ends it as a crash does.
func (s *serving) kill() {
	s.t.Helper()
	s.must(s.command.Process.Signal(syscall.SIGKILL))
	_ = s.wait()
}

// environment is what a shell has that sources a consumer's file.
func (w *world) environment(secret string) map[string]string {
	w.t.Helper()
	shell := exec.CommandContext(w.t.Context(), "sh", "-c", `set -a; . "$0"; set +a; env`, filepath.Join(w.dir, ".modelroute/secrets/ai", secret+".env"))
	output, err := shell.Output()
	w.must(err)
	found := map[string]string{}
	for line := range strings.Lines(string(output)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		found[name] = value
	}
	return found
}

// ask sends a prompt with what the consumer's file says, and returns the answer.
func (w *world) ask(secret, prompt string, stream bool) *http.Response {
	w.t.Helper()
	environment := w.environment(secret)
	return w.post(environment["OPENAI_BASE_URL"]+"/chat/completions", environment["OPENAI_API_KEY"], environment["MODEL"], prompt, stream)
}

func (w *world) post(url, key, model, prompt string, stream bool) *http.Response {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": stream, "messages": []map[string]string{{"role": "user", "content": prompt}},
	})
	w.must(err)
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, bytes.NewReader(body))
	w.must(err)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	w.must(err)
	w.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// answered sends a prompt and expects a whole answer with the status.
func (w *world) answered(secret, prompt string, status int) string {
	w.t.Helper()
	answer := w.ask(secret, prompt, false)
	body := w.rest(answer)
	if answer.StatusCode != status {
		w.t.Errorf("%d %s, want %d", answer.StatusCode, body, status)
	}
	return body
}

// rest reads an answer to its end.
func (w *world) rest(answer *http.Response) string {
	w.t.Helper()
	body, err := io.ReadAll(answer.Body)
	w.must(err)
	return string(body)
}

// status is that of an answer to a GET.
func (w *world) status(url string) int {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, nil)
	w.must(err)
	answer, err := http.DefaultClient.Do(request)
	w.must(err)
	defer answer.Body.Close()
	return answer.StatusCode
}

// amounts reads what usage prints: amounts have no other reader.
type amounts struct {
	Routes []struct {
		Namespace, Name, Spent string
		Upstreams              []struct {
			Name    string
			Budgets []budgetAmounts
		}
		Consumers []struct {
			Name, Spent string
			Budgets     []budgetAmounts
		}
	}
}

type budgetAmounts struct{ Name, Limit, Spent, Uncertain, Held, Remaining, State string }

func (w *world) usage() amounts {
	w.t.Helper()
	status, output, diagnostics := w.call("usage", "-o", "json")
	if status != cli.ExitOK {
		w.t.Fatalf("usage: %d %s", status, diagnostics)
	}
	var found amounts
	w.must(json.Unmarshal([]byte(output), &found))
	return found
}

// spent is what all routes have spent, by usage.
func (w *world) spent() money.Amount {
	w.t.Helper()
	var sum money.Amount
	for _, route := range w.usage().Routes {
		amount, err := money.ParseUSD(route.Spent)
		w.must(err)
		sum = sum.Add(amount)
	}
	return sum
}

// billed is what the upstream's books say.
func (w *world) billed() money.Amount {
	return money.FromNano(w.upstream.Billed(upstream.Filter{}).TotalNanoUSD)
}

// wantBooksEqual expects usage to come to what the upstream billed, to the nano-dollar.
func (w *world) wantBooksEqual() {
	w.t.Helper()
	var shown money.Amount
	if !w.eventually(func() bool { shown = w.spent(); return shown == w.billed() }) {
		w.t.Errorf("usage shows %s, the upstream billed %s", shown, w.billed())
	}
}

// eventually waits for something to become true.
func (w *world) eventually(holds func() bool) bool {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in:\n%s", part, text)
		}
	}
}

func wantEqual[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
