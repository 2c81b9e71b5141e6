package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/auth/tokenreview"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// either knows the test by its key, and everybody else by a token that the API server reviews.
type either struct{ test, others auth.Authenticator }

func (e either) Authenticate(ctx context.Context, bearer string) (auth.Identity, error) {
	if identity, err := e.test.Authenticate(ctx, bearer); err == nil {
		return identity, nil
	}
	return e.others.Authenticate(ctx, bearer)
}

// installLedger makes the namespace that of the operator as well: a ledger serves in a pod there, with everything that the manifests have
// for those who read it. Nobody has the Role yet.
func (w *caller) installLedger() *ledgertest.Ledger {
	w.t.Helper()
	reviewer, err := tokenreview.NewReviewer(server.Config)
	w.must(err)
	ledger := ledgertest.StartWith(w.t, ledgertest.Options{
		TLS: true, Names: certs.DNSNames(w.namespace),
		Authenticator: either{
			test:   auth.NewStatic(ledgertest.Key, ledgertest.Identity),
			others: tokenreview.New(reviewer, "modelroute-ledger", clock.RealClock{}.Now),
		},
		Readers: []auth.Identity{auth.Identity("system:serviceaccount:" + w.namespace + ":modelroute-reader")},
	})
	w.publish(ledger.Authority())
	w.make(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "modelroute-reader"}})
	address, err := url.Parse(ledger.URL)
	w.must(err)
	w.podWith("modelroute-ledger-0", map[string]string{"app.kubernetes.io/name": "modelroute-ledger"}, w.node("8443", address.Host),
		corev1.ContainerPort{Name: "https", ContainerPort: 8443})
	manifest, err := os.ReadFile("../../config/rbac/reader_role.yaml")
	w.must(err)
	role := &rbacv1.Role{}
	w.must(yaml.UnmarshalStrict(manifest, role))
	role.Namespace = w.namespace
	w.make(role)
	return ledger
}

// publish publishes by what the ledger is known, as the manager does.
func (w *caller) publish(authority []byte) {
	w.t.Helper()
	publisher := &certs.Publisher{
		Client: w.Client, Live: w.Client, Namespace: w.namespace, Clock: clock.RealClock{},
		Authority: func(context.Context) ([]byte, error) { return authority, nil },
	}
	w.must(publisher.Ensure(w.t.Context()))
}

// becomeReader has somebody call the program who has the Role and no other right.
func (w *caller) becomeReader() {
	w.t.Helper()
	name := "finance-" + w.namespace
	w.make(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "finance"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "modelroute-reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})
	w.become(name)
}

// spent is what a consumer spent at noon, so many days ago.
type spent struct {
	route, consumer, team string
	daysAgo               int
	nano                  int64
	certainty             ledgerpb.Settlement_Certainty
}

// spend books what was spent.
func (w *caller) spend(ledger *ledgertest.Ledger, what ...spent) {
	w.t.Helper()
	routes := map[string]*ledgerpb.RouteRef{}
	opening := &ledgerpb.OpenSessionRequest{ProxyId: "00112233445566778899aabbccddeeff"}
	for _, one := range what {
		if routes[one.route] != nil {
			continue
		}
		namespace, name, _ := strings.Cut(one.route, "/")
		routes[one.route] = &ledgerpb.RouteRef{Namespace: namespace, Name: name}
		opening.Routes = append(opening.Routes, routes[one.route])
		ledger.PutRoute(&ledgerpb.PutRouteRequest{Route: routes[one.route], Consumers: []string{"search", "trial"}})
	}
	booked := &ledgerpb.AppendRequest{Session: ledger.OpenSession(opening).GetSession(), First: 1}
	for _, one := range what {
		booked.Records = append(booked.Records, &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: &ledgerpb.Settlement{
			Route: routes[one.route], Consumer: one.consumer, Team: one.team, OpenedAt: timestamppb.New(noon(one.daysAgo)),
			AmountNanoUsd: one.nano, Requests: 1, Model: "mixtral", Upstream: "openrouter",
			Certainty: one.certainty, Source: ledgerpb.Settlement_SOURCE_PRICED,
			Used: &ledgerpb.TokenUsage{Prompt: 100, Completion: 50},
		}}})
	}
	proxies := ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(ledger.HTTPClient(), ledger.URL)))
	_, err := proxies.Append(w.t.Context(), booked)
	w.must(err)
}

// noon is noon in UTC, so many days ago.
func noon(daysAgo int) time.Time {
	return clock.RealClock{}.Now().UTC().Truncate(24*time.Hour).Add(12*time.Hour).AddDate(0, 0, -daysAgo)
}

func dateOf(daysAgo int) string { return noon(daysAgo).Format(time.DateOnly) }

const (
	exact     = ledgerpb.Settlement_CERTAINTY_EXACT
	uncertain = ledgerpb.Settlement_CERTAINTY_UNCERTAIN
)

func TestSpendByDayIsToldByTheLedgerToWhoHasTheRole(t *testing.T) {
	w := newCaller(t)
	ledger := w.installLedger()
	chat := w.namespace + "/chat"
	w.spend(ledger,
		spent{chat, "search", "research", 3, 250_000_001, exact}, spent{chat, "search", "research", 3, 250_000_000, uncertain},
		spent{chat, "trial", "", 3, 10_000_000, exact}, spent{chat, "trial", "", 2, 1, exact},
		spent{chat, "search", "research", 40, 99, exact}, spent{"other/chat", "search", "", 2, 7, exact},
	)
	w.becomeReader()
	table := w.call("usage", "--by", "day", "--system-namespace", w.namespace).wants(t, 0)
	day := strings.NewReplacer(dateOf(3), "3-days-ago", dateOf(2), "2-days-ago")
	wantEqual(t, `
DAY          ROUTE            CONSUMER   TEAM       MODEL     UPSTREAM     REQUESTS   PROMPT   COMPLETION         SPENT   UNCERTAIN
3-days-ago   cli-12345/chat   search     research   mixtral   openrouter          2      200          100   0.500000001    0.250000
             cli-12345/chat   trial      -          mixtral   openrouter          1      100           50      0.010000    0.000000
2-days-ago   cli-12345/chat   trial      -          mixtral   openrouter          1      100           50   0.000000001    0.000000
`, "\n"+day.Replace(w.masked(table.out)))

	all := w.callAnywhere("usage", "--by", "day", "--system-namespace", w.namespace, "-A", "--since", dateOf(45), "-o", "json")
	var found struct {
		Entries []struct{ Namespace, Consumer, Team, Spent string }
	}
	w.must(json.Unmarshal([]byte(all.wants(t, 0).out), &found))
	if len(found.Entries) != 5 {
		t.Errorf("of all there is %+v", found.Entries)
	}
	w.call("usage", "--by", "day", "--system-namespace", w.namespace, "--since", "1").
		wants(t, 0, "There are no ModelRoutes that spent anything then")
}

func TestFOCUSComesToWhatTheLedgerHasAsSpent(t *testing.T) {
	w := newCaller(t)
	ledger := w.installLedger()
	chat := w.namespace + "/chat"
	w.spend(ledger,
		spent{chat, "search", "research", 5, 1_234_567_891, exact}, spent{chat, "trial", "", 5, 2, exact},
		spent{chat, "trial", "", 1, 999_999_999, uncertain}, spent{w.namespace + "/code", "search", "", 0, 3, exact},
	)
	w.becomeReader()
	file := w.call("usage", "--by", "day", "--system-namespace", w.namespace, "--time-zone", "Asia/Tokyo", "-o", "focus").wants(t, 0)
	records, err := csv.NewReader(strings.NewReader(file.out)).ReadAll()
	w.must(err)
	var billed money.Amount
	for _, record := range records[1:] {
		amount, err := money.ParseUSD(record[0])
		w.must(err)
		billed = billed.Add(amount)
	}
	var has int64
	for _, route := range []string{"chat", "code"} {
		spend := ledger.Usage(w.namespace, route).GetSpend()
		has += spend.GetSettledNanoUsd() + spend.GetUncertainNanoUsd()
	}
	if records[0][0] != "BilledCost" || len(records) != 5 || billed.Nano() != has || has == 0 {
		t.Errorf("%s comes to %s in %d rows, and the ledger has %d nano-USD", records[0][0], billed, len(records)-1, has)
	}
}

func TestWhoMayReadTheLedgerIsForTheClusterToSay(t *testing.T) {
	w := newCaller(t)
	w.call("usage", "--by", "day", "--system-namespace", w.namespace).wants(t, 1, "modelroute-reader", "not found", "--system-namespace")
	ledger := w.installLedger()
	administrator := w.kubeconfig
	w.become("nobody-" + w.namespace)
	w.call("usage", "--by", "day", "--system-namespace", w.namespace).wants(t, 1, "forbidden",
		"kubectl -n "+w.namespace+" create rolebinding NAME --role=modelroute-reader")

	// A ledger that cannot prove that it is the one is not asked.
	w.kubeconfig = administrator
	ledger.Rotate()
	w.publish(ledger.Authority())
	w.call("usage", "--by", "day", "--system-namespace", w.namespace).wants(t, 1, "certificate")
}

func TestQuestionsAboutDaysThatMakeNoSenseAreRefused(t *testing.T) {
	w := newCaller(t)
	for want, words := range map[string][]string{
		"--since is of --by day":                         {"--since", "7"},
		"--time-zone is of --by day":                     {"--by", "team", "--time-zone", "Europe/Berlin"},
		`--since is "yesterday", must be a date`:         {"--by", "day", "--since", "yesterday"},
		`--time-zone is "Europe/Gotham"`:                 {"--by", "day", "--time-zone", "Europe/Gotham"},
		`-o is "xml", must be table, json, csv or focus`: {"--by", "day", "-o", "xml"},
		`-o is "focus", must be table, json or csv`:      {"-o", "focus"},
		"leave out one or the other":                     {"--by", "day", "--data-dir", t.TempDir()},
	} {
		w.call(append([]string{"usage"}, words...)...).wants(t, 2, want)
	}
}
