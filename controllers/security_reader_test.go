package controllers

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/certs"
)

// readersHaveTokensMade binds the Role for it to somebody.
func (w *installed) readersHaveTokensMade(t *testing.T) {
	manager := w.as(serviceAccount(systemNamespace, "modelroute-manager"))
	published := &certs.Publisher{
		Client: manager, Live: manager, Namespace: systemNamespace, Clock: testRealClock,
		Authority: func(ctx context.Context) ([]byte, error) { return certs.Authority(ctx, w.client, systemNamespace) },
	}
	w.eventually("the manager publishes by what the ledger is known", func() error { return published.Ensure(t.Context()) })

	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "finance"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "modelroute-reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "finance"}},
	})
	finance := w.as(rest.ImpersonationConfig{UserName: "finance"})
	want := []authorizationv1.ResourceRule{
		{Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"modelroute-reader"}, Verbs: []string{"create"}},
		{Resources: []string{"configmaps"}, ResourceNames: []string{certs.AuthorityConfigMap}, Verbs: []string{"get"}},
		{Resources: []string{"pods"}, Verbs: []string{"list"}},
		{Resources: []string{"pods/portforward"}, Verbs: []string{"get", "create"}},
	}
	for i := range want {
		want[i].APIGroups = []string{""}
	}
	if diff := cmp.Diff(want, w.rights(finance, systemNamespace)); diff != "" {
		t.Errorf("the rights of a reader (-want +got):\n%s", diff)
	}
	if _, err := token(t.Context(), finance, systemNamespace, "modelroute-reader", ledgerAudience); err != nil {
		t.Errorf("a token of the reader: %v", err)
	}
	if _, err := certs.PublishedAuthority(t.Context(), finance, systemNamespace); err != nil {
		t.Errorf("by what the ledger is known: %v", err)
	}
	if err := finance.List(t.Context(), &corev1.PodList{}, client.InNamespace(systemNamespace)); err != nil {
		t.Errorf("the ledger's pods: %v", err)
	}
	for _, account := range []string{"modelroute-manager", "modelroute-ledger"} {
		_, err := token(t.Context(), finance, systemNamespace, account, ledgerAudience)
		w.mustBeForbidden("a token of "+account, err)
	}
	for _, name := range []string{certs.LedgerSecret, certs.AuthoritySecret, "private"} {
		w.mustBeForbidden("reading "+name, finance.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: name}, &corev1.Secret{}))
	}
	// The reader itself has no right in the cluster.
	if rights := w.rights(w.as(serviceAccount(systemNamespace, "modelroute-reader")), systemNamespace); len(rights) > 0 {
		t.Errorf("the reader may %v", rights)
	}
}
