package controllers

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/keys"
)

// private is what a Secret has that is none of the operator's business.
const private = "nobody's business"

// TestNobodyCanDoMoreThanTheyNeed is one story in one cluster, with all of config/default in force: a platform whose namespace has two
// routes, chat for itself and open for everybody, and a tenant with edit in a namespace of its own. What all of them did is in the audit log.
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
	account := "system:serviceaccount:" + w.namespace + ":"
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + w.namespace, "system:authenticated"}
	others := w.rights(w.as(rest.ImpersonationConfig{UserName: account + "another", Groups: groups}))
	var own []authorizationv1.ResourceRule
	for _, rule := range w.rights(proxy) {
		if !slices.ContainsFunc(others, func(other authorizationv1.ResourceRule) bool { return cmp.Equal(rule, other) }) {
			own = append(own, rule)
		}
	}
	want := []authorizationv1.ResourceRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"chat.config"}, Verbs: []string{"get", "list", "watch"},
	}}
	if diff := cmp.Diff(want, own); diff != "" {
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

// rights are what somebody may do in the world's namespace.
func (w *installed) rights(as client.Client) []authorizationv1.ResourceRule {
	w.t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: w.namespace}}
	if err := as.Create(w.t.Context(), review); err != nil || review.Status.Incomplete {
		w.t.Fatalf("asking for rights: %v (%s)", err, review.Status.EvaluationError)
	}
	return review.Status.ResourceRules
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
		for _, kind := range []string{"modelroutes", "modelkeys"} {
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

func (w *installed) tenantsReadNothing(t *testing.T, mallory client.WithWatch, tenant string) {
	for _, name := range []string{upstreamSecret, "chat.config", "chat-search"} {
		err := mallory.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &corev1.Secret{})
		w.mustBeForbidden("reading "+name, err)
	}
	for _, name := range []string{certs.AuthoritySecret, certs.LedgerSecret} {
		err := mallory.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: name}, &corev1.Secret{})
		w.mustBeForbidden("reading "+name, err)
	}
	_, err := token(t.Context(), mallory, w.namespace, "chat-proxy", ledgerAudience)
	w.mustBeForbidden("a token of a proxy", err)
	route := w.route()
	w.mustBeForbidden("a route that sends the upstream's key elsewhere", mallory.Create(t.Context(), route))

	// A route of its own finds the platform's key under no name.
	route.Namespace, route.Name = tenant, "stolen"
	if err := mallory.Create(t.Context(), route); err != nil {
		t.Fatal(err)
	}
	w.eventually("the route waits for a Secret of its own namespace", func() error {
		w.getIn(tenant, "stolen", route)
		if condition := conditionOf(route, v1alpha1.ConditionResolvedRefs); condition.Reason != v1alpha1.ReasonSecretNotFound {
			return fmt.Errorf("the condition is %v", condition)
		}
		return nil
	})
	if err := mallory.Delete(t.Context(), route); err != nil {
		t.Fatal(err)
	}
}

func (w *installed) tenantsSpendNothing(t *testing.T, mallory client.WithWatch, tenant string) {
	create := func(key *v1alpha1.ModelKey) {
		t.Helper()
		if err := mallory.Create(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(key *v1alpha1.ModelKey) {
		t.Helper()
		if w.hasKeySecret(tenant) {
			t.Error("there is a key")
		}
		if err := mallory.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	// At a route that does not allow it; nor can it put on the label that a route asks for.
	create(w.modelKey(tenant, "chat"))
	gone(w.untilKey(tenant, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNotAllowed))
	w.untilAccepted("chat", tenant+"/crawler", 0)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata": {"labels": {"team": "search"}}}`))
	w.mustBeForbidden("labelling its namespace", mallory.Patch(t.Context(), namespace, label))

	// In the name of a team that does not select it; nor can it change that.
	ofTeam := w.modelKey(tenant, "open")
	ofTeam.Spec.Team = "search"
	create(ofTeam)
	gone(w.untilKey(tenant, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonTeamNotAllowed))
	w.untilAccepted("open", tenant+"/crawler", 0)
	budget := &v1alpha1.TeamBudget{ObjectMeta: metav1.ObjectMeta{Name: "search"}}
	everybody := client.RawPatch("application/merge-patch+json", []byte(`{"spec": {"namespaceSelector": {"matchLabels": null}}}`))
	w.mustBeForbidden("opening a TeamBudget", mallory.Patch(t.Context(), budget, everybody))
	if spent := w.ledger.Shared("team/search").GetSpend().GetSettledNanoUsd(); spent != 0 {
		t.Errorf("the team has spent %d", spent)
	}

	// At the ledger, with the token of a ServiceAccount of its own that is called like a proxy's.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "chat-proxy"}}
	if err := mallory.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	its, err := token(t.Context(), mallory, tenant, "chat-proxy", ledgerAudience)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.openSession(its, "chat"); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("a session for the platform's route: %v", err)
	}
}

func (w *installed) forgedSecretsAreNoKeys(t *testing.T, mallory client.WithWatch, tenant string) {
	// One that looks like a configuration of the route's, and one that looks like the key of a ModelKey, beforehand.
	forged := "mrk_" + strings.Repeat("A", 49)
	for name, label := range map[string]string{"chat.config": v1alpha1.LabelRoute, "forged": v1alpha1.LabelModelKey} {
		of := map[string]string{v1alpha1.LabelRoute: "chat", v1alpha1.LabelModelKey: "crawler"}[label]
		err := mallory.Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: name, Labels: map[string]string{
				v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, label: of,
			}},
			Data: map[string][]byte{"OPENAI_API_KEY": []byte(forged), "config.json": []byte(forged)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := mallory.Create(t.Context(), w.modelKey(tenant, "open")); err != nil {
		t.Fatal(err)
	}
	key := w.untilKeyReady(tenant)

	// And one that the ModelKey owns, in the place of its own.
	issued := w.keySecret(tenant)
	if err := mallory.Delete(t.Context(), issued); err != nil {
		t.Fatal(err)
	}
	err := mallory.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: tenant, Name: "crawler", Labels: issued.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(key, v1alpha1.GroupVersion.WithKind("ModelKey"))},
		},
		Data: map[string][]byte{"OPENAI_API_KEY": []byte(forged)},
	})
	if err != nil && !apierrors.IsAlreadyExists(err) { // the manager was faster
		t.Fatal(err)
	}
	w.eventually("the Secret has a key that was issued, which alone is accepted", func() error {
		if !w.hasKeySecret(tenant) {
			return errors.New("there is no Secret")
		}
		has := keyOf(w.keySecret(tenant))
		if has == forged || has == keyOf(issued) || !slices.Equal(w.acceptedHashes("open", tenant+"/crawler"), []string{keys.Hash(has)}) {
			return errors.New("it has another")
		}
		return nil
	})
	w.untilKeyReady(tenant)
	if slices.Contains(w.acceptedHashes("chat", "search"), keys.Hash(forged)) {
		t.Error("the forged key is accepted")
	}
}

// editedConfigurationsArePutBack is about a route in the tenant's own namespace. Whoever may write its Secrets has the upstream's key, and
// needs no proxy to spend with it: what holds is that the ledger's limits do not come from there, and that the edit does not last.
func (w *installed) editedConfigurationsArePutBack(t *testing.T, mallory client.WithWatch, tenant string) {
	key := w.upstreamSecret("the tenant's own")
	mine := w.route()
	key.Namespace, mine.Namespace, mine.Name = tenant, tenant, "mine"
	for _, object := range []client.Object{key, mine} {
		if err := mallory.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	before := &corev1.Secret{}
	w.eventually("the route has a configuration", func() error {
		return w.client.Get(t.Context(), client.ObjectKey{Namespace: tenant, Name: "mine.config"}, before)
	})
	edited := before.DeepCopy()
	text := strings.ReplaceAll(string(before.Data["config.json"]), `"search"`, `"sesame"`)
	edited.Data["config.json"] = []byte(text)
	if err := mallory.Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	w.eventually("the configuration is the manager's again", func() error {
		after := &corev1.Secret{}
		w.getIn(tenant, "mine.config", after)
		if after.ResourceVersion == edited.ResourceVersion || !strings.Contains(string(after.Data["config.json"]), `"search"`) {
			return errors.New("it is not")
		}
		return nil
	})
	budgets := w.ledger.Usage(tenant, "mine").GetBudgets()
	if len(budgets) == 0 || budgets[0].GetBudget().GetLimit() != 100*usd {
		t.Errorf("the ledger's budgets are %v", budgets)
	}
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
	binding, err := os.ReadFile("../config/namespaced/manager_binding.yaml")
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
