package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/bench/rig"
)

const (
	routeNamespace = "bench"
	routeName      = "mixtral"
	upstreamModel  = "mistralai/mixtral-8x22b-instruct"
	budgetName     = "all"
	// replicas is how many proxies there are.
	replicas = 3

	upstreamKeyFile = "upstream.key"
	databaseFile    = "database"
	booksDir        = "books"
)

// consumers are who has a key; the keys are theirs for one world.
var consumers = []string{"c0", "c1", "c2", "c3", "c4", "c5"}

// world is everything that one scenario has: an upstream, ledgers, proxies, the network between them, and their files.
type world struct {
	ctx      context.Context //nolint:containedctx // The processes live as long as the world does.
	dir      string
	database *database
	silence  time.Duration
	keys     map[string]string
	upstream *rig.Child
	truth    *truth
	roots    *x509.CertPool
	manager  *http.Client
	slots    [replicas]*slot

	mu sync.Mutex
	// ledgers has nil for one that is down; turn counts connections to them.
	ledgers []*rig.Child
	turn    int
	started int
	// lost are the ids of the proxies that were lost.
	lost    []string
	problem error
}

// slot is the place of one proxy. Its network stays when the proxy is replaced.
type slot struct {
	relay  *relay
	config string

	mu      sync.Mutex
	current *replica
}

// replica is one proxy, or was.
type replica struct {
	*rig.Child
	instance, journal string
}

// pacing is how fast the upstream is.
type pacing struct{ firstToken, token time.Duration }

// newWorld starts everything, with these limits of the route (under an empty name) and of consumers.
func newWorld(ctx context.Context, on *database, silence time.Duration, pace pacing, limits map[string]money.Amount) (*world, error) {
	dir, err := os.MkdirTemp("", "bench-money")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	w := &world{ctx: ctx, dir: dir, database: on, silence: silence, keys: map[string]string{}}
	steps := []func() error{
		w.writeSecrets,
		func() error { return on.prepare(ctx, dir) },
		func() error { return w.startUpstream(pace) },
		w.startLedgers,
		func() error { return w.putRoute(limits) },
		w.startProxies,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			w.close()
			return w, err
		}
	}
	return w, nil
}

// writeSecrets makes the keys and the certificate.
func (w *world) writeSecrets() error {
	if err := rig.WriteSecrets(w.dir); err != nil {
		return err
	}
	certificate, err := os.ReadFile(filepath.Join(w.dir, rig.CertificateFile))
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(certificate)
	w.manager = client.NewHTTPClient(func() (*x509.CertPool, error) { return w.roots, nil })
	for _, name := range consumers {
		w.keys[name] = "mr-" + rand.Text()
	}
	if err := os.WriteFile(filepath.Join(w.dir, upstreamKeyFile), []byte("sk-or-v1-"+rand.Text()), 0o600); err != nil {
		return fmt.Errorf("writing the upstream's key: %w", err)
	}
	return nil
}

func (w *world) startUpstream(pace pacing) error {
	var err error
	w.upstream, err = rig.Spawn(w.ctx, w.log(roleUpstream), roleUpstream, "-dir", w.dir,
		"-first-token", pace.firstToken.String(), "-token", pace.token.String())
	if err != nil {
		return err
	}
	w.truth = newTruth("http://" + w.upstream.At.Address)
	return nil
}

func (w *world) log(name string) string { return filepath.Join(w.dir, name+".log") }

func (w *world) startLedgers() error {
	w.ledgers = make([]*rig.Child, w.database.kind.ledgers())
	for i := range w.ledgers {
		if err := w.startLedger(i); err != nil {
			return err
		}
	}
	return nil
}

// startLedger starts one replica of the ledger. While its database is away that takes several attempts.
func (w *world) startLedger(number int) error {
	var started *rig.Child
	var err error
	waited := rig.Await(w.ctx, "a ledger starts", rig.StartTime, func() bool {
		started, err = rig.Spawn(w.ctx, w.log(fmt.Sprintf("%s-%d", roleLedger, number)), roleLedger,
			"-dir", w.dir, "-store", string(w.database.kind), "-silence", w.silence.String())
		return err == nil
	})
	if waited != nil {
		return errors.Join(waited, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledgers[number] = started
	return nil
}

// killLedger kills one replica of the ledger and starts it again after a while.
func (w *world) killLedger(number int, away time.Duration) {
	w.mu.Lock()
	killed := w.ledgers[number]
	w.ledgers[number] = nil
	w.mu.Unlock()
	killed.Kill()
	rig.Pause(w.ctx, away)
	w.note(w.startLedger(number))
}

// ledgerAddress is where a ledger listens; empty if none does.
func (w *world) ledgerAddress() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range w.ledgers {
		w.turn++
		if one := w.ledgers[w.turn%len(w.ledgers)]; one != nil {
			return one.At.Address
		}
	}
	return ""
}

// note keeps the first thing that went wrong with the benchmark itself.
func (w *world) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problem == nil && w.ctx.Err() == nil {
		w.problem = err
	}
}

// managerService returns a client of the ManagerService and the context to call it with.
func (w *world) managerService(ctx context.Context) (ledgerpbconnect.ManagerServiceClient, context.Context, error) {
	address := w.ledgerAddress()
	if address == "" {
		return nil, nil, errors.New("no ledger runs")
	}
	return rig.ManagerService(ctx, w.manager, w.dir, address)
}

// putRoute sets the limits.
func (w *world) putRoute(limits map[string]money.Amount) error {
	ctx, cancel := context.WithTimeout(w.ctx, rig.StartTime)
	defer cancel()
	manager, ctx, err := w.managerService(ctx)
	if err != nil {
		return err
	}
	request := &ledgerpb.PutRouteRequest{
		Route: &ledgerpb.RouteRef{Namespace: routeNamespace, Name: routeName}, Server: string(rig.Identity), Consumers: consumers,
	}
	for consumer, limit := range limits {
		request.Budgets = append(request.Budgets, &ledgerpb.Budget{
			Ref: &ledgerpb.BudgetRef{Consumer: consumer, Name: budgetName}, Limit: limit.Nano(),
			Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
		})
	}
	if _, err := manager.PutRoute(ctx, request); err != nil {
		return fmt.Errorf("putting the route: %w", err)
	}
	return nil
}

func (w *world) startProxies() error {
	for i := range w.slots {
		network, err := newRelay(w.ctx, w.ledgerAddress)
		if err != nil {
			return err
		}
		w.slots[i] = &slot{relay: network, config: filepath.Join(w.dir, fmt.Sprintf("config-%d", i))}
		if err := w.deliver(w.slots[i]); err != nil {
			return err
		}
	}
	failures := make(chan error, replicas)
	for i := range w.slots {
		go func() { failures <- w.renew(i) }()
	}
	var err error
	for range w.slots {
		err = errors.Join(err, <-failures)
	}
	return err
}

// deliver writes the configuration of a slot's proxies.
func (w *world) deliver(s *slot) error {
	authority, err := os.ReadFile(filepath.Join(w.dir, rig.CertificateFile))
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	config := routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  routeconfig.Ledger{URL: "https://" + s.relay.listener.Addr().String(), CA: string(authority)},
		Routes: []routeconfig.Route{{
			Namespace: routeNamespace, Name: routeName, Denies: true,
			Model: routeconfig.Model{Name: routeName, ContextLength: 65536, MaxCompletionTokens: 512, Created: 1713312000},
			Upstreams: []routeconfig.Upstream{{
				Name: "openrouter", Provider: routeconfig.OpenRouter, BaseURL: "http://" + w.upstream.At.Address + "/api/v1",
				Model: upstreamModel, APIKeyFile: filepath.Join(w.dir, upstreamKeyFile), TimeoutSeconds: 60,
				Pricing: routeconfig.Pricing{PromptPicoUSD: 2_000_000, CompletionPicoUSD: 6_000_000},
			}},
		}},
	}
	for _, name := range consumers {
		sum := sha256.Sum256([]byte(w.keys[name]))
		config.Routes[0].Consumers = append(config.Routes[0].Consumers, routeconfig.Consumer{
			Name: name, Denies: true, Keys: []routeconfig.Key{{ID: "k_" + name, SHA256: hex.EncodeToString(sum[:])}},
		})
	}
	encoded, err := routeconfig.Encode(config)
	if err != nil {
		return fmt.Errorf("encoding a configuration: %w", err)
	}
	if err := os.MkdirAll(s.config, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	return os.WriteFile(filepath.Join(s.config, configsource.Key), encoded, 0o600)
}

// close ends every process. The files stay.
func (w *world) close() {
	for _, s := range w.slots {
		if s == nil {
			continue
		}
		if s.current != nil {
			s.current.Kill()
		}
		s.relay.close()
	}
	for _, one := range w.ledgers {
		if one != nil {
			one.Kill()
		}
	}
	if w.upstream != nil {
		w.upstream.Kill()
	}
	if w.manager != nil {
		w.manager.CloseIdleConnections()
	}
}

// remove deletes the files.
func (w *world) remove() { _ = os.RemoveAll(w.dir) }
