package controllers

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/certs"
)

// private is what a Secret has that is none of the operator's business.
const private = "nobody's business"

// TestNobodyCanDoMoreThanTheyNeed is one story in one cluster, with all of config/default in force: a platform whose namespace has two
// routes, chat for itself and open for everybody, and a tenant with edit in a namespace of its own. What all of them did is in the audit
// log.
func TestNobodyCanDoMoreThanTheyNeed(t *testing.T) {
	w := install(t, "../config/default")
	w.everywhere = true
	tenant := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	w.create(tenant)
	for _, namespace := range []string{"default", "kube-system", systemNamespace, w.namespace, tenant.Name} {
		w.create(privateSecret(namespace))
	}
	w.startWithCertificates()
	p := w.serve(w.route())
	open := w.openRoute()
	open.Name = "open"
	w.serve(open)
	blocked := w.route() // whose consumer names a Secret that is somebody else's
	blocked.Name, blocked.Spec.Consumers[0].SecretName = "blocked", "private"
	w.create(blocked)
	w.until("blocked", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonChildNotOwned)
	w.create(&v1alpha1.TeamBudget{ObjectMeta: metav1.ObjectMeta{Name: "search"}, Spec: v1alpha1.TeamBudgetSpec{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
		Budgets:           []v1alpha1.Budget{daily("1.00")},
	}})
	w.untilTeam("search", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	mallory := w.person("mallory", "edit", tenant.Name)

	w.chapter("A proxy reads its own configuration and nothing else", w.proxiesReadTheirConfiguration)
	w.chapter("The ledger reviews tokens and does nothing else", w.ledgersReviewTokens)
	w.chapter("Who may read the ledger has tokens made of its reader and does nothing else", w.readersHaveTokensMade)
	w.chapter("A proxy draws on its own route alone", func(t *testing.T) { w.proxiesDrawOnTheirRoute(t, p) })
	w.chapter("A role of Kubernetes has what it says", func(t *testing.T) { w.rolesAreAsTheySay(t, tenant.Name) })
	w.chapter("A tenant reads nothing of the platform's", func(t *testing.T) { w.tenantsReadNothing(t, mallory, tenant.Name) })
	w.chapter("A tenant spends nobody else's money", func(t *testing.T) { w.tenantsSpendNothing(t, mallory, tenant.Name) })
	w.chapter("A forged Secret is no key", func(t *testing.T) { w.forgedSecretsAreNoKeys(t, mallory, tenant.Name) })
	w.chapter("A configuration that is edited is put back", func(t *testing.T) { w.editedConfigurationsArePutBack(t, mallory, tenant.Name) })

	w.stopManager()
	w.startWithCertificates() // reads all that it needs once more
	w.reconcile()
	w.untilKeyReady(tenant.Name)
	w.chapter("The manager reads only Secrets that are named to it or its own", func(t *testing.T) { w.managerReadsOnlyItsSecrets(t, tenant.Name) })
}

func privateSecret(namespace string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "private"}, Data: map[string][]byte{"secret": []byte(private)},
	}
}

func (w *installed) proxiesReadTheirConfiguration(t *testing.T) {
	bearer, err := token(t.Context(), w.client, w.namespace, "chat-proxy")
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(w.config)
	config.BearerToken = bearer
	proxy := w.clientOf(config)

	// What it may do beside what any ServiceAccount may is one rule.
	want := []authorizationv1.ResourceRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"chat.config"}, Verbs: []string{"get", "list", "watch"},
	}}
	if diff := cmp.Diff(want, w.rights(proxy, w.namespace)); diff != "" {
		t.Errorf("its rights (-want +got):\n%s", diff)
	}

	only := client.MatchingFields{"metadata.name": "chat.config"}
	watch, err := proxy.Watch(t.Context(), &corev1.SecretList{}, client.InNamespace(w.namespace), only)
	if err != nil {
		t.Fatalf("it cannot watch its configuration: %v", err)
	}
	watch.Stop()
	its := &corev1.Secret{}
	if err := proxy.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "chat.config"}, its); err != nil {
		t.Fatalf("it cannot read its configuration: %v", err)
	}
	for _, name := range []string{upstreamSecret, "chat-search", "open.config", "private"} {
		w.mustBeForbidden("reading "+name, proxy.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &corev1.Secret{}))
	}
	w.mustBeForbidden("listing Secrets", proxy.List(t.Context(), &corev1.SecretList{}, client.InNamespace(w.namespace)))
	w.mustBeForbidden("listing all Secrets", proxy.List(t.Context(), &corev1.SecretList{}, only))
	w.mustBeForbidden("writing its configuration", proxy.Update(t.Context(), its))
	w.mustBeForbidden("deleting its configuration", proxy.Delete(t.Context(), its))
	w.mustBeForbidden("reading routes", proxy.List(t.Context(), &v1alpha1.ModelRouteList{}, client.InNamespace(w.namespace)))
}

// rights are what somebody may do in a namespace beside what any ServiceAccount may.
func (w *installed) rights(somebody client.Client, namespace string) []authorizationv1.ResourceRule {
	w.t.Helper()
	others := w.rules(w.as(serviceAccount(w.namespace, "another")), namespace)
	return slices.DeleteFunc(w.rules(somebody, namespace), func(rule authorizationv1.ResourceRule) bool {
		return slices.ContainsFunc(others, func(other authorizationv1.ResourceRule) bool { return cmp.Equal(rule, other) })
	})
}

func (w *installed) rules(as client.Client, namespace string) []authorizationv1.ResourceRule {
	w.t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	if err := as.Create(w.t.Context(), review); err != nil || review.Status.Incomplete {
		w.t.Fatalf("asking for rights: %v (%s)", err, review.Status.EvaluationError)
	}
	return review.Status.ResourceRules
}

func (w *installed) ledgersReviewTokens(t *testing.T) {
	want := []authorizationv1.ResourceRule{{
		APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"},
	}}
	if diff := cmp.Diff(want, w.rights(w.as(serviceAccount(systemNamespace, "modelroute-ledger")), w.namespace)); diff != "" {
		t.Errorf("its rights (-want +got):\n%s", diff)
	}
}

func (w *installed) proxiesDrawOnTheirRoute(t *testing.T, p *proxy) {
	p.spend(1)
	its, err := p.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.openSession(its, "open"); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("the proxy of chat at route open: %v", err)
	}
	forAPIServer, err := token(t.Context(), w.client, w.namespace, "chat-proxy")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.openSession(forAPIServer, "chat"); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("a token that is not for the ledger: %v", err)
	}
}

func (w *installed) rolesAreAsTheySay(t *testing.T, tenant string) {
	writes := []string{"create", "update", "patch", "delete"}
	people := map[string]client.WithWatch{}
	for _, role := range []string{"view", "edit", "admin"} {
		people[role] = w.person(role+"er", role, tenant)
	}
	for role, person := range people {
		if role == "view" && w.may(person, "get", "", "secrets", tenant) {
			t.Error("view may read Secrets")
		}
		if may := w.may(person, "patch", "modelroute.dev", "modelroutes/scale", tenant); may != (role != "view") {
			t.Errorf("that %s may scale routes is %t", role, may)
		}
		for _, kind := range namespacedKinds(t) {
			if !w.may(person, "list", "modelroute.dev", kind, tenant) || w.may(person, "list", "modelroute.dev", kind, w.namespace) {
				t.Errorf("%s does not read %s in its own namespace alone", role, kind)
			}
			for _, verb := range writes {
				if may := w.may(person, verb, "modelroute.dev", kind, tenant); may != (role != "view") {
					t.Errorf("that %s may %s %s is %t", role, verb, kind, may)
				}
				if w.may(person, verb, "modelroute.dev", kind+"/status", tenant) {
					t.Errorf("%s may %s the status of %s", role, verb, kind)
				}
			}
		}
		for _, verb := range append(writes, "get") {
			if w.may(person, verb, "modelroute.dev", "teambudgets", "") {
				t.Errorf("%s of a namespace may %s TeamBudgets", role, verb)
			}
		}
	}
}

// namespacedKinds are all of ours that are in a namespace, so that none that is added is forgotten in the roles.
func namespacedKinds(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../config/crd/bases/modelroute.dev_*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("the CRDs are %v (%v)", files, err)
	}
	var kinds []string
	for _, file := range files {
		kind := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "modelroute.dev_"), ".yaml")
		if kind != "teambudgets" {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (w *installed) managerReadsOnlyItsSecrets(t *testing.T, tenant string) {
	known := map[string]bool{ // those that it makes, and those that a route or a ModelKey names
		systemNamespace + "/" + certs.AuthoritySecret: true, systemNamespace + "/" + certs.LedgerSecret: true,
		w.namespace + "/" + upstreamSecret: true, tenant + "/" + upstreamSecret: true,
		tenant + "/crawler": true,
	}
	for _, name := range []string{"chat.config", "chat-search", "open.config", "open-search", "blocked.config", "private"} {
		known[w.namespace+"/"+name] = true
	}
	for _, name := range []string{"mine.config", "mine-search", "stolen.config", "stolen-search"} {
		known[tenant+"/"+name] = true
	}
	ours := v1alpha1.LabelManagedBy + "=" + v1alpha1.ManagedBy
	secretValue := base64.StdEncoding.EncodeToString([]byte(private))
	verbs := map[string]int{}
	for _, request := range w.secretRequestsOfTheManager() {
		verbs[request.Verb]++
		name := request.ObjectRef.Namespace + "/" + request.ObjectRef.Name
		switch request.Verb {
		case "list", "watch":
			if request.labelSelector() != ours {
				t.Errorf("it asked for %s", request.RequestURI)
			}
		case "get":
			if !known[name] {
				t.Errorf("it read Secret %s", name)
			}
		default:
			if !known[name] || strings.HasSuffix(name, "/"+upstreamSecret) || strings.HasSuffix(name, "/private") {
				t.Errorf("it asked to %s Secret %s", request.Verb, name)
			}
		}
		if strings.Contains(string(request.ResponseObject), secretValue) {
			t.Errorf("%s %s told it what is nobody's business", request.Verb, request.RequestURI)
		}
	}
	// The log is of this manager, and of all that it did: it watched, looked up by name, and wrote.
	for _, verb := range []string{"watch", "get", "patch"} {
		if verbs[verb] == 0 {
			t.Errorf("no %s is in the audit log", verb)
		}
	}
}

func TestAManagerThatIsBoundToNamespacesServesTheseAndReadsNoOther(t *testing.T) {
	w := install(t, "../config/namespaced")
	binding, err := os.ReadFile("../config/namespaced/rights/manager_binding.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tenant := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	w.create(tenant)
	w.apply(w.namespace, binding)
	w.apply(tenant.Name, binding)
	w.tenants = []string{tenant.Name, systemNamespace}
	w.startWithCertificates()
	w.serve(w.openRoute())
	w.create(w.modelKey(tenant.Name, "chat"))
	w.untilKeyReady(tenant.Name)
	team := w.team("1.00")
	w.create(team)
	w.untilTeam(team.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)

	manager := w.as(w.manager)
	if !w.may(manager, "create", "events.k8s.io", "events", metav1.NamespaceDefault) {
		t.Error("it cannot say in events what happens to a TeamBudget")
	}
	for _, kind := range []string{"secrets", "configmaps", "serviceaccounts", "pods"} {
		for _, namespace := range []string{"", metav1.NamespaceDefault, metav1.NamespaceSystem} {
			for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
				if w.may(manager, verb, "", kind, namespace) {
					t.Errorf("it may %s %s in namespace %q", verb, kind, namespace)
				}
			}
		}
	}
	w.create(privateSecret(metav1.NamespaceDefault))
	foreign := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "private"}
	w.mustBeForbidden("reading a Secret elsewhere", manager.Get(t.Context(), foreign, &corev1.Secret{}))
}
