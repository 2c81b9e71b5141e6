package sdk

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/workload/workloadtest"
	"github.com/modelroute/modelroute/test/world"
)

// As docs/workload-identity.md has it.
func TestGoReadsThePodsTokenAnewForEachRequest(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	account := routeconfig.ServiceAccount{Namespace: "search", Name: "crawler", UID: "7d4c0b4e"}
	w := world.Begin(t, world.Setup{Edit: func(config *routeconfig.Config) {
		config.Issuer = issuer.Config()
		config.Routes[0].Consumers = []routeconfig.Consumer{{Name: "pods", ServiceAccounts: []routeconfig.ServiceAccount{account}}}
	}})
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client := openai.NewClient(option.WithBaseURL(w.URL+"/v1"), option.WithMiddleware(
		func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			token, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
			return next(r)
		}))

	write(issuer.Token(account, time.Now().Add(-time.Minute)))
	_, err := client.Chat.Completions.New(t.Context(), asking(question))
	refused, isRefusal := errors.AsType[*openai.Error](err)
	if !isRefusal || !strings.HasPrefix(refused.Message, "The token has expired: read it from its file for every request") {
		t.Errorf("a token that has expired is answered with %v", err)
	}
	write(issuer.Token(account, time.Now().Add(time.Hour)))
	if _, err := client.Chat.Completions.New(t.Context(), asking(question)); err != nil {
		t.Errorf("the one that the kubelet wrote then is answered with %v", err)
	}
	if booked := w.Settled(); booked["consumer pods"].Settled == 0 {
		t.Errorf("booked is %v", booked)
	}
	w.BooksAgree()
}
