package main

import (
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

func TestFlagsHaveDefaultsThatFitTheNamespace(t *testing.T) {
	got, err := parse([]string{"--namespace=models", "--proxy-image=localhost/modelroute:dev"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := flags{
		namespace:     "models",
		proxyImage:    "localhost/modelroute:dev",
		ledgerURL:     "https://modelroute-ledger.models.svc:8443",
		ledgerToken:   "/var/run/secrets/modelroute/token",
		metricsAddr:   ":8080",
		healthAddr:    ":8081",
		booksInterval: 5 * time.Minute,
		listsInterval: time.Hour,
		logLevel:      slog.LevelInfo,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(flags{})); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestFlagsAreRefusedWhen(t *testing.T) {
	cases := map[string]struct {
		arguments []string
		want      string
	}{
		"TheImageIsMissing":        {[]string{"--namespace=models"}, "--proxy-image or --pod must be set"},
		"ThePullPolicyIsNone":      {[]string{"--namespace=models", "--proxy-image=x", "--proxy-image-pull-policy=Sometimes"}, "Sometimes"},
		"SomethingElseIsSaid":      {[]string{"--namespace=models", "--proxy-image=x", "now"}, `unexpected argument "now"`},
		"ANamespaceIsNone":         {[]string{"--namespaces=a,", "--proxy-image=x"}, `"" is no namespace`},
		"TheLevelIsNone":           {[]string{"--log-level=loud"}, "log-level"},
		"UpstreamsWouldBeFlooded":  {[]string{"--namespace=models", "--proxy-image=x", "--books-interval=1s"}, "--books-interval is 1s"},
		"TheNamespaceIsNotTold":    {[]string{"--proxy-image=x"}, "--namespace is not set"},
		"AFlagDoesNotExistAnyMore": {[]string{"--verbose"}, "verbose"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parse(test.arguments, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestAManagerOfSomeNamespacesSeesTheseAndItsOwn(t *testing.T) {
	f, err := parse([]string{"--namespace=models", "--namespaces=ai-platform,search", "--proxy-image=x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	seen := cacheOptions(f.options(slog.New(slog.DiscardHandler))).DefaultNamespaces
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"ai-platform", "models", "search"}) {
		t.Errorf("it sees %v", got)
	}
}

func TestAManagerSeesAllNamespacesUnlessItIsToldWhich(t *testing.T) {
	if seen := cacheOptions(Options{Namespace: "models"}).DefaultNamespaces; seen != nil {
		t.Errorf("it sees only %v", seen)
	}
}

func TestTheLedgerIsKnownByTheFileOfWhoeverIssuesItsCertificate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.crt")
	authority, err := addAuthority(nil, Options{LedgerCAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("without the file: %v", err)
	}
	first, _ := ledgertest.NewCertificate(t)
	second, _ := ledgertest.NewCertificate(t)
	for _, bundle := range []string{string(first), string(first) + string(second), string(second)} {
		if err := os.WriteFile(file, []byte(bundle), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := authority(t.Context()); err != nil || string(got) != bundle {
			t.Errorf("it is known by %s (%v)", got, err)
		}
	}
	if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := authority(t.Context()); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("with a file that has none: %v", err)
	}
}

func TestProxiesReachTheLedgerAndTheAPIServerWithoutTheEgressProxy(t *testing.T) {
	got := proxyEnv(t.Context(), []string{"KUBERNETES_SERVICE_HOST=10.96.0.1", "HTTPS_PROXY=http://egress:3128"},
		"https://modelroute-ledger.models.svc:8443", slog.New(slog.DiscardHandler))
	want := []desired.EnvVar{
		{Name: "HTTPS_PROXY", Value: "http://egress:3128"},
		{Name: "NO_PROXY", Value: "kubernetes.default.svc,10.96.0.1,modelroute-ledger.models.svc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the environment (-want +got):\n%s", diff)
	}
}

func TestAVariableWithASecretIsNamedAndNotShown(t *testing.T) {
	var log strings.Builder
	proxyEnv(t.Context(), []string{"OTEL_EXPORTER_OTLP_HEADERS=authorization=secret"}, "", slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "OTEL_EXPORTER_OTLP_HEADERS") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log is %s", log.String())
	}
}
