package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/adminsocket"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

const proxyID = "00112233445566778899aabbccddeeff"

var noon = time.Date(2026, time.November, 17, 12, 0, 0, 0, time.UTC)

// seed makes the books of a stopped ledger: alice spent 0.25 USD of the 0.75 USD that a proxy drew for her, under two budgets.
func seed(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	books, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	chat := store.RouteKey{Namespace: "ai", Name: "chat"}
	limit := money.FromNano(money.NanoPerUSD)
	try(t, books.PutRoute(t.Context(), store.Route{
		Namespace: "ai", Name: "chat", Server: "server", Consumers: []string{"alice"},
		Budgets: []store.Budget{
			{Name: "monthly", Limit: limit, Period: budget.Month, Enforcement: budget.Deny},
			{Name: "own", Consumer: "alice", Limit: limit, Period: budget.Total, Enforcement: budget.Deny},
		},
	}))
	token := sha256.Sum256([]byte("token"))
	_, err = books.OpenSession(t.Context(), noon, store.NewSession{
		ProxyID: proxyID, Instance: "chat-1", Routes: []store.RouteKey{chat}, Identity: "server", Token: token,
	})
	try(t, err)
	session := store.Credential{ProxyID: proxyID, Epoch: 1, Token: token}
	answers, err := books.Draw(t.Context(), noon, session, store.Draw{
		Sequence: 1, Identity: "server", Demands: []store.Demand{{Route: chat, Consumer: "alice", Amount: usd(t, "0.75")}},
	})
	try(t, err)
	var charges []store.Charge
	for _, lease := range answers[0].Leases {
		charges = append(charges, store.Charge{Lease: lease.ID, Amount: usd(t, "0.25")})
	}
	_, err = books.Append(t.Context(), noon, session, 1, []store.Record{{Settlement: &store.Settlement{
		Route: chat, Consumer: "alice", OpenedAt: noon, Amount: usd(t, "0.25"), Charges: charges,
		Requests: 1, Model: "mixtral", Upstream: "openrouter", Team: "research",
		Used: store.Tokens{Prompt: 100, Cached: 60, CacheWrite: 30, Completion: 50},
	}}})
	try(t, err)
	try(t, books.Close())
	return dir
}

func usd(t *testing.T, text string) money.Amount {
	t.Helper()
	amount, err := money.ParseUSD(text)
	try(t, err)
	return amount
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// running is a ledger that serves its operators; it has no certificate.
type running struct {
	t       *testing.T
	options Options
	nano    atomic.Int64
	log     *syncbuffer.Buffer
	stop    func()
}

func startLedger(t *testing.T, dir string) *running {
	t.Helper()
	l := &running{t: t, log: &syncbuffer.Buffer{}}
	l.nano.Store(noon.UnixNano())
	l.options = Options{
		Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: dir, TLSDir: t.TempDir(),
		Authenticator: auth.NewStatic("", ""), Now: func() time.Time { return time.Unix(0, l.nano.Load()).UTC() },
		Logger: slog.New(slog.NewJSONHandler(l.log, nil)),
	}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, l.options) }()
	stopped := false
	l.stop = func() {
		if stopped {
			return
		}
		stopped = true
		end()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(l.stop)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		connection, err := adminsocket.Dial(t.Context(), dir)
		if err == nil {
			connection.Close()
			return l
		}
		if time.Now().After(deadline) {
			t.Fatalf("the ledger is not there: %v", err)
		}
	}
}

// outcome is what became of a command.
type outcome struct {
	status           int
	out, diagnostics string
}

func runWords(ctx context.Context, words ...string) outcome {
	var out, diagnostics bytes.Buffer
	status := execute(ctx, words, command{out: &out, diagnostics: &diagnostics, now: func() time.Time { return noon }})
	return outcome{status: status, out: out.String(), diagnostics: diagnostics.String()}
}

// command runs a command on the ledger's data directory.
func (l *running) command(words ...string) outcome { return l.commandIn(l.t.Context(), words...) }

func (l *running) commandIn(ctx context.Context, words ...string) outcome {
	return runWords(ctx, append(words, "--data-dir", l.options.DataDir)...)
}

// wantCommand compares the status, and expects parts of what was printed.
func wantCommand(t *testing.T, status int, got outcome, parts ...string) {
	t.Helper()
	if got.status != status {
		t.Fatalf("status %d, want %d:\n%s%s", got.status, status, got.out, got.diagnostics)
	}
	for _, part := range parts {
		if !strings.Contains(got.out+got.diagnostics, part) {
			t.Errorf("it printed\n%s%s\nand not %q", got.out, got.diagnostics, part)
		}
	}
}

func TestProxiesAreListedForPeopleAndPrograms(t *testing.T) {
	l := startLedger(t, seed(t))
	listed := l.command("proxies")
	wantCommand(t, exitOK, listed)
	line := regexp.MustCompile(proxyID + `\s+chat-1\s+-\s+no\s+no\s+1.00\s+1\n`)
	if !strings.HasPrefix(listed.out, "PROXY ") || !line.MatchString(listed.out) {
		t.Errorf("listed\n%s", listed.out)
	}
	asJSON := l.command("proxies", "-o", "json")
	wantCommand(t, exitOK, asJSON)
	var got, want any
	try(t, json.Unmarshal([]byte(asJSON.out), &got))
	try(t, json.Unmarshal([]byte(`{"proxies": [{"proxyID": "`+proxyID+`", "instance": "chat-1", "lastHeard": null, "silent": false,
		"released": false, "out": "1.00", "applied": 1, "budgets": [
			{"namespace": "ai", "route": "chat", "budget": "monthly", "out": "0.50"},
			{"namespace": "ai", "route": "chat", "consumer": "alice", "budget": "own", "out": "0.50"}]}]}`), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestALedgerWithoutProxiesListsNone(t *testing.T) {
	l := startLedger(t, t.TempDir())
	wantCommand(t, exitOK, l.command("proxies"), "No proxy has anything")
	wantCommand(t, exitOK, l.command("proxies", "-o", "json"), `"proxies": []`)
}

func TestAReleaseFreesAndIsKept(t *testing.T) {
	l := startLedger(t, seed(t))
	wantCommand(t, exitFailed, l.command("release", proxyID, "--reason", "node-7 burnt"), "is alive", "`ledger proxies`")
	l.nano.Add(int64(time.Minute))
	wantCommand(t, exitOK, l.command("release", proxyID, "--reason", "node-7 burnt", "--by", "alice"),
		"Released proxy "+proxyID+": 1.00 USD are free again, over all budgets.")
	listed := l.command("proxies", "-o", "json")
	wantCommand(t, exitOK, listed, `"released": true`, `"out": "0.00"`)
	var got struct {
		Proxies []struct {
			Release releaseShown
		}
	}
	decoder := json.NewDecoder(strings.NewReader(strings.ReplaceAll(listed.out, `"freed": "1.00"`, `"freed": {}`)))
	try(t, decoder.Decode(&got))
	want := releaseShown{By: "local:alice", Reason: "node-7 burnt", At: noon.Add(time.Minute)}
	if diff := cmp.Diff(want, got.Proxies[0].Release); diff != "" {
		t.Errorf("the release (-want +got):\n%s", diff)
	}
	if log := l.log.String(); !strings.Contains(log, `"by":"local:alice"`) {
		t.Errorf("the log does not say who did it:\n%s", log)
	}
	wantCommand(t, exitOK, l.command("release", "--reason", "again", proxyID), "Nothing was out with it.")
	wantCommand(t, exitFailed, l.command("release", "chat-1", "--reason", "gone"), "no proxy has the id chat-1", "`ledger proxies`")
	wantCommand(t, exitFailed, l.command("release", proxyID, "--reason", strings.Repeat("x", 1001)), "reason: is longer than 1000 bytes")
	wantCommand(t, exitOK, l.command("verify"), "The books agree with themselves.")
}

func TestABackupIsMadeRestoredAndVerified(t *testing.T) {
	for state, start := range map[string]func(t *testing.T, dir string) *running{
		"beside a ledger that runs": startLedger,
		"of a ledger that does not": func(t *testing.T, dir string) *running { return &running{t: t, options: Options{DataDir: dir}} },
	} {
		t.Run(state, func(t *testing.T) {
			l := start(t, seed(t))
			path := filepath.Join(t.TempDir(), "backup.db")
			wantCommand(t, exitOK, l.command("backup", path), "Backed the books up into "+path)
			wantCommand(t, exitFailed, l.command("backup", path), "exists already", "choose another name")
			wantCommand(t, exitOK, runWords(t.Context(), "verify", path),
				"Note: these books are the backup of 2026-11-17T12:00:00Z.", "The books agree with themselves.")

			dir := t.TempDir()
			content, err := os.ReadFile(path)
			try(t, err)
			try(t, os.WriteFile(filepath.Join(dir, "ledger.db"), content, 0o600))
			restored := startLedger(t, dir)
			wantCommand(t, exitOK, restored.command("verify"), "Looked at 2 routes and consumers, 2 windows, 2 leases and 1 proxies.",
				"restored at 2026-11-17T12:00:00Z from the backup of 2026-11-17T12:00:00Z", "The books agree with themselves.")
			wantCommand(t, exitOK, restored.command("proxies"), proxyID)
			if log := restored.log.String(); !strings.Contains(log, "these books are a backup") {
				t.Errorf("the log does not say that they are a backup:\n%s", log)
			}
		})
	}
}

func TestABackupGoesToStandardOutput(t *testing.T) {
	l := startLedger(t, seed(t))
	before, err := os.ReadDir(l.options.DataDir)
	try(t, err)
	got := l.command("backup", "-")
	wantCommand(t, exitOK, got, "They are checked")
	path := filepath.Join(t.TempDir(), "backup.db")
	try(t, os.WriteFile(path, []byte(got.out), 0o600))
	wantCommand(t, exitOK, runWords(t.Context(), "verify", path), "The books agree with themselves.")
	if after, err := os.ReadDir(l.options.DataDir); err != nil || len(after) != len(before) {
		t.Errorf("the data directory has %v, error %v, want %v", after, err, before)
	}
}

func TestARelativePathMeansTheCallersOwn(t *testing.T) {
	l := startLedger(t, seed(t))
	t.Chdir(t.TempDir())
	wantCommand(t, exitOK, l.command("backup", "backup.db"))
	if _, err := os.Stat("backup.db"); err != nil {
		t.Errorf("the backup: %v", err)
	}
}

func TestDiscrepanciesArePrintedWithNamesAndAmounts(t *testing.T) {
	plant := func(t *testing.T, dir string) {
		books, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "ledger.db"))
		try(t, err)
		_, err = books.ExecContext(t.Context(), `UPDATE windows SET settled = settled + 1`)
		try(t, errors.Join(err, books.Close()))
	}
	const want = "WRONG: budget own of consumer alice of route ai/chat in the window from 1970-01-01T00:00:00Z: " +
		"settled is 0.250000001 USD, the sum of the history 0.25 USD."
	t.Run("beside a ledger that runs", func(t *testing.T) {
		l := startLedger(t, seed(t))
		plant(t, l.options.DataDir)
		wantCommand(t, exitFailed, l.command("verify"), want, "in 2 places", "docs/ledger.md")
		if log := l.log.String(); !strings.Contains(log, "the books do not agree with themselves") {
			t.Errorf("the log does not say it:\n%s", log)
		}
	})
	t.Run("on a ledger that is stopped", func(t *testing.T) {
		dir := seed(t)
		plant(t, dir)
		wantCommand(t, exitFailed, runWords(t.Context(), "verify", "--data-dir", dir), want, "in 2 places")
	})
}

func TestADebtIsNoDiscrepancy(t *testing.T) {
	dir := seed(t)
	books, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "ledger.db"))
	try(t, err)
	_, err = books.ExecContext(t.Context(), `UPDATE accounts SET ceiling = 5 WHERE name = 'monthly'`)
	try(t, errors.Join(err, books.Close()))
	wantCommand(t, exitOK, runWords(t.Context(), "verify", "--data-dir", dir),
		"Debt: budget monthly of route ai/chat in the window from 2026-11-01T00:00:00Z: 0.749999995 USD over the limit of 0.000000005 USD",
		"The books agree with themselves.")
}

func TestWhatCommandsNeed(t *testing.T) {
	empty := t.TempDir()
	cases := map[string]struct {
		words  []string
		status int
		want   string
	}{
		"a ledger, to list proxies": {[]string{"proxies", "--data-dir", empty}, exitFailed, "no ledger is running on " + empty},
		"a ledger, to release":      {[]string{"release", "x", "--reason", "y", "--data-dir", empty}, exitFailed, "--data-dir, or start it"},
		"books, to back up":         {[]string{"backup", filepath.Join(empty, "b"), "--data-dir", empty}, exitFailed, "looking for the ledger's books"},
		"books, to verify":          {[]string{"verify", "--data-dir", empty}, exitUnknown, "looking for the ledger's books"},
		"a file, to verify one":     {[]string{"verify", filepath.Join(empty, "none")}, exitUnknown, "no such file"},
		"a proxy":                   {[]string{"release", "--reason", "y"}, exitUsage, "the id of a proxy is missing"},
		"one proxy":                 {[]string{"release", "x", "y", "--reason", "z"}, exitUsage, `unexpected argument "y"`},
		"a reason":                  {[]string{"release", "x"}, exitUsage, "--reason is missing"},
		"a file":                    {[]string{"backup"}, exitUsage, "the name of a new file, or -, is missing"},
		"no folder":                 {[]string{"backup", empty}, exitUsage, "is a folder"},
		"a known format":            {[]string{"proxies", "-o", "yaml"}, exitUsage, "must be table or json"},
		"known flags":               {[]string{"verify", "--fix"}, exitUsage, "ledger verify --help"},
		"words behind two dashes":   {[]string{"release", "--reason", "y", "--", "--x", "z"}, exitUsage, `unexpected argument "z"`},
		"a known command":           {[]string{"help", "me"}, exitUsage, `no command "me"`},
	}
	for need, test := range cases {
		t.Run(need, func(t *testing.T) { wantCommand(t, test.status, runWords(t.Context(), test.words...), test.want) })
	}
}

func TestEveryCommandHasAManual(t *testing.T) {
	flags := map[string][]string{
		"proxies": {"--data-dir", "-o"}, "release": {"--reason", "--by", "--data-dir"}, "backup": {"--data-dir"}, "verify": {"--data-dir"},
	}
	program := runWords(t.Context(), "help")
	for name, flags := range flags {
		asked, helped := runWords(t.Context(), name, "--help"), runWords(t.Context(), "help", name)
		wantCommand(t, exitOK, asked, append(flags, "NAME\n  ledger "+name, "SYNOPSIS", "EXIT STATUS")...)
		if asked != helped {
			t.Errorf("%s --help and help %s say different things", name, name)
		}
		wantCommand(t, exitOK, program, "\n  "+name+" ")
	}
	var output bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &output, slog.New(slog.DiscardHandler)); err == nil || output.String() != program.out {
		t.Errorf("--help says %q, error %v, want the same as help", output.String(), err)
	}
	wantCommand(t, exitOK, program, "--data-dir", "--listen", "--metrics-listen", "--tls-dir", "--manager-identity", "--reader-identity",
		"--audience")
}
