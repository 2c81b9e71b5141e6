package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/keys"
)

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
