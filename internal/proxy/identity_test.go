package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/workload"
	"github.com/modelroute/modelroute/internal/workload/workloadtest"
)

// crawler is a ServiceAccount that stands for the consumer.
var crawler = routeconfig.ServiceAccount{Namespace: "search", Name: "crawler", UID: "uid-1"}

// identify has the consumer present tokens of an account in the place of its key.
func identify(config *routeconfig.Config, issuer *workloadtest.Issuer, account routeconfig.ServiceAccount) {
	config.Issuer = issuer.Config()
	config.Routes[0].Consumers[0] = routeconfig.Consumer{Name: consumerName, ServiceAccounts: []routeconfig.ServiceAccount{account}}
}

// chatWith is a request of the page's with another bearer.
func (w *world) chatWith(header, bearer string) reply {
	w.t.Helper()
	request := w.chat(w.t.Context(), pageRequest)
	request.Header.Del("Authorization")
	request.Header.Set(header, bearer)
	return w.do(request)
}

func TestARequestWithATokenIsBookedToTheConsumerThatTheServiceAccountStandsFor(t *testing.T) {
	issuer := workloadtest.New(t)
	w := begin(t, setup{edit: func(config *routeconfig.Config) { identify(config, issuer, crawler) }})
	token := issuer.Token(crawler, time.Now().Add(time.Hour))
	w.chatWith("Authorization", "Bearer "+token).expectOK(t)
	w.chatWith("X-Api-Key", token).expectOK(t)
	w.booksAgree()
	if billed := w.upstream.Billed(upstream.Filter{}); billed.Count != 2 {
		t.Errorf("the upstream has billed %d requests", billed.Count)
	}
	logs := w.logs.String()
	if !strings.Contains(logs, `"consumer":"search"`) || !strings.Contains(logs, `"key":"sa:search/crawler"`) || strings.Contains(logs, token) {
		t.Errorf("the log names nobody, or has the token:\n%s", logs)
	}
	w.eventually("the metrics have the consumer", func() bool { return strings.Contains(w.metrics(), `consumer="search"`) })
	if got := w.chatWith("Authorization", "Bearer "+consumerKey); got.status != http.StatusUnauthorized {
		t.Errorf("the key that it had before is answered with %d", got.status)
	}
}

func TestATokenIsRefusedAsSoonAsANewConfigurationDoesNotNameItsAccount(t *testing.T) {
	issuer := workloadtest.New(t)
	w := begin(t, setup{edit: func(config *routeconfig.Config) { identify(config, issuer, crawler) }})
	token := issuer.Token(crawler, time.Now().Add(time.Hour))
	w.chatWith("Authorization", "Bearer "+token).expectOK(t)

	anew := crawler
	anew.UID = "uid-2"
	identify(&w.config, issuer, anew)
	w.serves(w.deliver(w.config))
	got := w.chatWith("Authorization", "Bearer "+token)
	if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "ServiceAccount search/crawler may use no model here") {
		t.Errorf("it is answered with %d %s", got.status, got.body)
	}
	w.chatWith("Authorization", "Bearer "+issuer.Token(anew, time.Now().Add(time.Hour))).expectOK(t)

	identify(&w.config, workloadtest.New(t), anew)
	w.serves(w.deliver(w.config))
	if got := w.chatWith("Authorization", "Bearer "+issuer.Token(anew, time.Now().Add(time.Hour))); got.status != http.StatusUnauthorized {
		t.Errorf("a token by a key that was taken back is answered with %d", got.status)
	}
}

func TestATokenThatWasAcceptedIsRefusedOnceItHasExpired(t *testing.T) {
	issuer := workloadtest.New(t)
	w := begin(t, setup{edit: func(config *routeconfig.Config) { identify(config, issuer, crawler) }})
	token := issuer.Token(crawler, time.Now().Add(2*time.Second-workload.Leeway))
	w.chatWith("Authorization", "Bearer "+token).expectOK(t)
	w.eventually("it is refused", func() bool {
		got := w.chatWith("Authorization", "Bearer "+token)
		return got.status == http.StatusUnauthorized && strings.Contains(got.body, "has expired")
	})
}

func TestAServiceAccountIsRefusedOnceTheTimeOfItsConsumerIsOver(t *testing.T) {
	issuer := workloadtest.New(t)
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		identify(config, issuer, crawler)
		config.Routes[0].Consumers[0].Expires = time.Now().Add(3 * time.Second).Unix()
	}})
	token := issuer.Token(crawler, time.Now().Add(time.Hour))
	w.chatWith("Authorization", "Bearer "+token).expectOK(t)
	w.eventually("it is refused", func() bool { return w.chatWith("Authorization", "Bearer "+token).status == http.StatusUnauthorized })
}

func TestAConfigurationWithoutAnIssuerTakesATokenForAKeyThatNobodyHas(t *testing.T) {
	w := begin(t, setup{})
	token := workloadtest.New(t).Token(crawler, time.Now().Add(time.Hour))
	if got := w.chatWith("Authorization", "Bearer "+token); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "API key") {
		t.Errorf("it is answered with %d %s", got.status, got.body)
	}
}
