package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/bench/rig"
)

const (
	routeNamespace = "bench"
	routeName      = "mixtral-8x22b-instruct"
	upstreamModel  = "mistralai/mixtral-8x22b-instruct"
	consumerName   = "search"

	upstreamKeyFile = "upstream.key"
	configDir       = "config"
	booksDir        = "books"
)

// opponentName names one way to the upstream.
type opponentName string

const (
	direct opponentName = "direct"
	nginx  opponentName = "nginx"
	empty  opponentName = "empty Go proxy"
	ours   opponentName = "ModelRoute"
)

// opponent is one way to the upstream that is measured.
type opponent struct {
	name    opponentName
	address string
	key     string
	// process is what serves it; nil for the way without anything in between.
	process *rig.Child
}

// world has all the processes.
type world struct {
	ctx       context.Context //nolint:containedctx // The processes live as long as the world does.
	dir       string
	key       string
	upstream  *rig.Child
	ledger    *rig.Child
	opponents []*opponent
}

// newWorld starts everything. The caller closes the world also after an error.
func newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "bench-proxy")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	w := &world{ctx: ctx, dir: dir, key: "mr-" + rand.Text()}
	for _, step := range []func() error{w.startUpstream, w.startNginx, w.startEmpty, w.startLedger, w.startProxy} {
		if err := step(); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) log(name string) string { return filepath.Join(w.dir, name+".log") }

func (w *world) startUpstream() error {
	var err error
	if w.upstream, err = rig.Spawn(w.ctx, w.log(roleUpstream), roleUpstream); err != nil {
		return err
	}
	w.opponents = append(w.opponents, &opponent{name: direct, address: w.upstream.At.Address})
	return nil
}

// nginxProgram is where Debian's package has it.
const nginxProgram = "/usr/sbin/nginx"

func (w *world) startNginx() error {
	if _, err := os.Stat(nginxProgram); err != nil {
		return fmt.Errorf("finding nginx, which make nginx installs: %w", err)
	}
	address, err := rig.FreeAddress(w.ctx)
	if err != nil {
		return err
	}
	config := filepath.Join(w.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, w.dir, address, w.upstream.At.Address), 0o600); err != nil {
		return fmt.Errorf("configuring nginx: %w", err)
	}
	process, err := rig.Start(w.ctx, w.log("nginx"), rig.Addresses{Address: address},
		nginxProgram, "-p", w.dir, "-c", config, "-e", w.log("nginx"))
	if err != nil {
		return err
	}
	w.opponents = append(w.opponents, &opponent{name: nginx, address: address, process: process})
	return w.awaitAnswer(address)
}

func (w *world) startEmpty() error {
	process, err := rig.Spawn(w.ctx, w.log(roleEmpty), roleEmpty, w.upstream.At.Address)
	if err != nil {
		return err
	}
	w.opponents = append(w.opponents, &opponent{name: empty, address: process.At.Address, process: process})
	return nil
}

// startLedger starts a ledger with a route that has all that can be limited, with limits that nothing reaches.
func (w *world) startLedger() error {
	if err := rig.WriteSecrets(w.dir); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(w.dir, booksDir), 0o700); err != nil {
		return fmt.Errorf("making the directory of the books: %w", err)
	}
	var err error
	if w.ledger, err = rig.Spawn(w.ctx, w.log(roleLedger), roleLedger, w.dir); err != nil {
		return err
	}
	authority, err := os.ReadFile(filepath.Join(w.dir, rig.CertificateFile))
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	httpClient := client.NewHTTPClient(func() (*x509.CertPool, error) { return roots, nil })
	defer httpClient.CloseIdleConnections()
	manager, ctx, err := rig.ManagerService(w.ctx, httpClient, w.dir, w.ledger.At.Address)
	if err != nil {
		return err
	}
	if _, err := manager.PutRoute(ctx, limits()); err != nil {
		return fmt.Errorf("putting the route: %w", err)
	}
	return nil
}

// limits are a budget of the route and one of the consumer, and a rate limit of the route in requests and in tokens.
func limits() *ledgerpb.PutRouteRequest {
	limit := func(consumer, name string, unit ledgerpb.Unit, amount int64, period ledgerpb.Period, seconds int64) *ledgerpb.Budget {
		return &ledgerpb.Budget{
			Ref:   &ledgerpb.BudgetRef{Consumer: consumer, Name: name, Unit: unit},
			Limit: amount, Period: period, PeriodSeconds: seconds, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
		}
	}
	const month, seconds, plenty = ledgerpb.Period_PERIOD_MONTH, ledgerpb.Period_PERIOD_SECONDS, 1_000_000_000_000
	return &ledgerpb.PutRouteRequest{
		Route:  &ledgerpb.RouteRef{Namespace: routeNamespace, Name: routeName},
		Server: string(rig.Identity), Consumers: []string{consumerName},
		Budgets: []*ledgerpb.Budget{
			limit("", "monthly", ledgerpb.Unit_UNIT_UNSPECIFIED, 1_000_000*money.NanoPerUSD, month, 0),
			limit(consumerName, "monthly", ledgerpb.Unit_UNIT_UNSPECIFIED, 1_000_000*money.NanoPerUSD, month, 0),
			limit("", "per-minute", ledgerpb.Unit_UNIT_REQUESTS, plenty, seconds, 60),
			limit("", "per-minute", ledgerpb.Unit_UNIT_TOKENS, plenty, seconds, 60),
		},
	}
}

const proxyPackage = "github.com/modelroute/modelroute/cmd/proxy"

// startProxy builds cmd/proxy and starts it, with everything on.
func (w *world) startProxy() error {
	program := filepath.Join(w.dir, "proxy")
	build := exec.CommandContext(w.ctx, "go", "build", "-trimpath", "-o", program, proxyPackage) //nolint:gosec // It is ours.
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the proxy: %w: %s", err, said)
	}
	if err := w.configure(); err != nil {
		return err
	}
	at := rig.Addresses{}
	for _, address := range []*string{&at.Address, &at.Admin} {
		var err error
		if *address, err = rig.FreeAddress(w.ctx); err != nil {
			return err
		}
	}
	process, err := rig.Start(w.ctx, w.log("proxy"), at, program, "--listen", at.Address, "--admin-listen", at.Admin,
		"--config-dir", filepath.Join(w.dir, configDir), "--journal-dir", filepath.Join(w.dir, "journal"),
		"--ledger-token-file", filepath.Join(w.dir, rig.LedgerKeyFile), "--drain-delay", "0s", "--drain-timeout", "5s")
	if err != nil {
		return err
	}
	w.opponents = append(w.opponents, &opponent{name: ours, address: at.Address, key: w.key, process: process})
	return w.awaitAnswer(at.Admin)
}

// configure writes what the manager would tell the proxy.
func (w *world) configure() error {
	authority, err := os.ReadFile(filepath.Join(w.dir, rig.CertificateFile))
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	sum := sha256.Sum256([]byte(w.key))
	config := routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  routeconfig.Ledger{URL: "https://" + w.ledger.At.Address, CA: string(authority)},
		Routes: []routeconfig.Route{{
			Namespace: routeNamespace, Name: routeName, Denies: true, MaxCompletionTokens: 4096, Unsupported: routeconfig.RejectUnsupported,
			Model: routeconfig.Model{
				Name: routeName, Aliases: []string{upstreamModel}, ContextLength: 65536, MaxCompletionTokens: 16384, Created: 1713312000,
				SupportedParameters: []string{"max_completion_tokens", "max_tokens", "seed", "stop", "temperature", "tools", "top_p"},
			},
			Defaults: []routeconfig.Parameter{{Name: "seed", Value: json.RawMessage("7")}},
			Upstreams: []routeconfig.Upstream{{
				Name: "openrouter", Provider: routeconfig.OpenRouter, BaseURL: "http://" + w.upstream.At.Address + "/v1",
				Model: upstreamModel, APIKeyFile: filepath.Join(w.dir, upstreamKeyFile),
				TimeoutSeconds: 600, FirstByteTimeoutSeconds: 60, IdleTimeoutSeconds: 60,
				Pricing: routeconfig.Pricing{PromptPicoUSD: 2_000_000, CompletionPicoUSD: 6_000_000},
			}},
			Consumers: []routeconfig.Consumer{{
				Name: consumerName, Denies: true, Keys: []routeconfig.Key{{ID: "k_bench", SHA256: hex.EncodeToString(sum[:])}},
			}},
		}},
	}
	encoded, err := routeconfig.Encode(config)
	if err != nil {
		return fmt.Errorf("encoding the configuration: %w", err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, configDir), 0o700); err != nil {
		return fmt.Errorf("making the directory of the configuration: %w", err)
	}
	for name, content := range map[string][]byte{
		upstreamKeyFile: []byte("sk-or-v1-" + rand.Text()), filepath.Join(configDir, configsource.Key): encoded,
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// awaitAnswer waits until /readyz at an address is answered well; for nginx the upstream answers it.
func (w *world) awaitAnswer(address string) error {
	return rig.Await(w.ctx, address+" is ready", rig.StartTime, func() bool {
		ctx, cancel := context.WithTimeout(w.ctx, time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
		if err != nil {
			return false
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// close ends every process, and deletes the files unless they are to be kept.
func (w *world) close(keep bool) {
	for _, one := range w.opponents {
		if one.process != nil {
			_ = one.process.Terminate() // nginx ends its workers, and nothing else minds.
		}
	}
	for _, one := range []*rig.Child{w.ledger, w.upstream} {
		if one != nil {
			one.Kill()
		}
	}
	if !keep {
		_ = os.RemoveAll(w.dir)
	}
}
