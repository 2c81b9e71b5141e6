package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// childConfig, childJournal and childCorrectAfter tell this program to be a proxy when a test starts it again.
const (
	childConfig       = "PROXY_TEST_CONFIG"
	childJournal      = "PROXY_TEST_JOURNAL"
	childCorrectAfter = "PROXY_TEST_CORRECT_AFTER"
)

func TestMain(m *testing.M) {
	if os.Getenv(childConfig) == "" {
		os.Exit(m.Run())
	}
	if err := asProxy(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// asProxy runs a proxy that tells where it listens, until it is killed.
func asProxy() error {
	ctx := context.Background() //nolint:forbidigo // A process of its own has no caller.
	var listen net.ListenConfig
	public, publicErr := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	admin, adminErr := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	after, afterErr := time.ParseDuration(os.Getenv(childCorrectAfter))
	if err := errors.Join(publicErr, adminErr, afterErr); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, public.Addr(), admin.Addr()); err != nil {
		return err
	}
	return proxy.Run(ctx, proxy.Options{
		Listener: public, AdminListener: admin, ConfigDir: os.Getenv(childConfig), JournalDir: os.Getenv(childJournal),
		LedgerToken: func(context.Context) (string, error) { return ledgertest.Key, nil }, Instance: "child",
		CorrectAfter: after, DrainTimeout: patience, Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)), Clock: clock.RealClock{},
	})
}

// startChild runs the world's proxy as a process of its own, which is ready when it returns. What it returns kills it.
func (w *world) startChild(correctAfter time.Duration) (kill func()) {
	w.t.Helper()
	program, err := os.Executable()
	w.must(err)
	command := exec.CommandContext(w.t.Context(), program)
	command.Env = append(os.Environ(),
		childConfig+"="+w.dir, childJournal+"="+w.journalDir, childCorrectAfter+"="+correctAfter.String())
	command.Stderr = w.logs
	stdout, err := command.StdoutPipe()
	w.must(err)
	w.must(command.Start())
	var public, admin string
	if _, err := fmt.Fscan(bufio.NewReader(stdout), &public, &admin); err != nil {
		w.t.Fatalf("the proxy does not say where it listens: %v\n%s", err, w.logs)
	}
	w.url, w.adminURL = "http://"+public, "http://"+admin
	transport := &http.Transport{}
	w.client = &http.Client{Transport: transport}
	w.eventually("the proxy is ready", func() bool { return w.status(w.adminURL+"/readyz") == http.StatusOK })
	return func() {
		w.must(command.Process.Kill())
		if err := command.Wait(); err == nil || command.ProcessState.Exited() {
			w.t.Errorf("the proxy was not killed: %v", err)
		}
		transport.CloseIdleConnections()
		w.checkLog()
	}
}

// never is longer than any test.
const never = time.Hour

// isUncertain waits until the ledger has so many nano-USD that are uncertain at least, and nothing that is held.
func (w *world) isUncertain(nano int64) {
	w.t.Helper()
	w.eventually("what the dead proxy held is uncertain", func() bool {
		found := w.ledger.spends(w.t)["route"]
		return found.Uncertain >= nano && found.Held == 0
	})
}

func TestWhatAKilledProxyLeftUncertainIsCorrectedByTheNextOnce(t *testing.T) {
	w := prepare(t, setup{
		upstream: upstream.Options{GenerationDelay: -1},
		budgets:  []*ledgerpb.Budget{monthly("", 100_000_000_000), monthly(consumerName, 100_000_000_000)},
	})
	kill := w.startChild(never)
	w.ask(asking("missing-usage", short)).expectOK(t)
	stream := w.pauseStream()
	kill()
	close(stream.resume)
	_ = stream.response.Body.Close()
	w.eventually("the upstream has billed both", func() bool { return w.upstream.Billed(upstream.Filter{}).Count == 2 })

	// One settles what was held, and is killed before it has asked.
	kill = w.startChild(never)
	w.isUncertain(2 * leastHold)
	kill()

	// The next asks with the key of now.
	kill = w.startChild(time.Millisecond)
	w.untilCorrected("2")
	w.booksAgree()
	kill()

	// The last finds nothing to ask: what it corrects is its own.
	asked := len(w.generationsAsked())
	kill = w.startChild(time.Millisecond)
	w.ask(asking("missing-usage", short)).expectOK(t)
	w.untilCorrected("1")
	w.booksAgree()
	kill()
	if now := w.generationsAsked(); len(now) != asked+1 || now[asked] == now[0] || now[asked] == now[1] {
		t.Errorf("the upstream was asked for %v", now)
	}
}

// generationsAsked are those that the upstream was asked for the cost of.
func (w *world) generationsAsked() []string {
	var asked []string
	for _, one := range w.received.all() {
		if strings.HasSuffix(one.path, "/generation") {
			asked = append(asked, one.query)
		}
	}
	return asked
}

func TestWhatAKilledProxyLeftOnARouteThatIsGoneStaysUncertain(t *testing.T) {
	w := prepare(t, setup{upstream: upstream.Options{GenerationDelay: -1}, edit: func(config *routeconfig.Config) {
		other := config.Routes[0]
		other.Name, other.Model.Name, other.Model.Aliases = "other", "other", nil
		config.Routes = append(config.Routes, other)
	}})
	kill := w.startChild(never)
	w.ask(asking("missing-usage", short)).expectOK(t)
	w.isUncertain(leastHold)
	kill()
	w.config.Routes = w.config.Routes[1:]
	w.deliver(w.config)
	kill = w.startChild(time.Millisecond)
	w.eventually("it says that the route is gone", func() bool { return strings.Contains(w.logs.String(), "its route or upstream is gone") })
	kill()
	if asked := w.generationsAsked(); len(asked) > 0 {
		t.Errorf("the upstream was asked for %v", asked)
	}
	w.isUncertain(leastHold)
}
