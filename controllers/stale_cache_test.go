package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// behind is a client whose reads of Secrets are answered by stale, as a cache does that is behind.
func (w *world) behind(stale func(name string, secret *corev1.Secret) error) client.Client {
	return interceptor.NewClient(w.client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if secret, isSecret := object.(*corev1.Secret); isSecret {
				return stale(key.Name, secret)
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, areKeys := list.(*v1alpha1.ModelKeyList); areKeys {
				return nil // the API server has no index of ours, and there are none in these tests
			}
			return c.List(ctx, list, options...)
		},
	})
}

// newConsumerKey is the record of a key.
func newConsumerKey(secret string) consumerKey {
	hash := keys.Hash(secret)
	return consumerKey{Key: routeconfig.Key{ID: keys.ID(hash), SHA256: hash}, secret: secret}
}

func notFound(name string, _ *corev1.Secret) error {
	return apierrors.NewNotFound(corev1.Resource("secrets"), name)
}

func TestACacheThatIsBehindCostsNoConsumerItsKey(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	key, accepted := keyOf(w.consumerSecret("chat", "search")), w.acceptedHashes("chat", "search")
	w.stopManager()

	w.reconciler.Client = w.behind(notFound)
	w.reconcile()
	if got := w.acceptedHashes("chat", "search"); !slices.Equal(got, accepted) {
		t.Error("the consumer's key is no longer accepted")
	}
	if keyOf(w.consumerSecret("chat", "search")) != key {
		t.Error("the consumer has another key")
	}
}

func TestAKeyThatIsRevokedInMidPassStaysRevoked(t *testing.T) {
	cases := map[string]func(w *world, secret *corev1.Secret){
		"The Secret is deleted": func(w *world, secret *corev1.Secret) { w.delete(secret) },
		"The key is replaced": func(w *world, _ *corev1.Secret) {
			change(w, "chat-search", &corev1.Secret{}, func(s *corev1.Secret) { s.Data["OPENAI_API_KEY"] = []byte("mine") })
		},
	}
	for name, revoke := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(w.route())
			secret := w.consumerSecret("chat", "search")
			old := keyOf(secret)
			w.stopManager()

			// The pass reads the Secret, and then somebody revokes the key.
			reads := 0
			w.reconciler.Client = w.behind(func(name string, into *corev1.Secret) error {
				err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, into)
				if name == secret.Name {
					if reads++; reads == 1 {
						revoke(w, secret)
					}
				}
				return err
			})
			w.reconcile()
			after := &corev1.Secret{}
			err := w.client.Get(t.Context(), client.ObjectKeyFromObject(secret), after)
			if err == nil && keyOf(after) == old {
				t.Error("the Secret has the revoked key again")
			}
			w.reconcile()
			if slices.Contains(w.acceptedHashes("chat", "search"), keys.Hash(old)) {
				t.Error("the revoked key is still accepted")
			}
		})
	}
}

func TestAnObjectThatHasTakenTheNameSinceIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	w.stopManager()
	route, ours := &v1alpha1.ModelRoute{}, w.consumerSecret("chat", "search")
	w.get("chat", route)
	w.delete(ours)
	foreign := &corev1.Secret{Data: map[string][]byte{"a": []byte("b")}}
	foreign.Namespace, foreign.Name = w.namespace, ours.Name
	w.create(foreign)

	applier := &apply.Applier{Live: w.client, Client: w.behind(func(_ string, secret *corev1.Secret) error {
		ours.DeepCopyInto(secret)
		return nil
	})}
	wanted := []desired.Object{desired.ConsumerSecret(route, route.Spec.Consumers[0], desired.AccessOf(route), "a new key")}
	if _, refused := errors.AsType[*apply.WriteError](applier.Apply(t.Context(), route, wanted, nil)); !refused {
		t.Error("the API server does not refuse it")
	}
	after := &corev1.Secret{}
	w.get(foreign.Name, after)
	if diff := cmp.Diff(foreign.Data, after.Data); diff != "" || len(after.OwnerReferences) > 0 {
		t.Errorf("the foreign Secret was written to: %v, owners %v", diff, after.OwnerReferences)
	}
}

func TestAnObjectThatHasComeSinceIsNotMadeOurs(t *testing.T) {
	w := newWorld(t)
	w.create(w.route())
	w.stopManager()
	route := &v1alpha1.ModelRoute{}
	w.get("chat", route)
	foreign := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "chat-late"}}
	account := corev1ac.ServiceAccount(foreign.Name, w.namespace).WithLabels(map[string]string{"a": "b"})
	wanted := []desired.Object{{
		Kind: corev1.SchemeGroupVersion.WithKind("ServiceAccount"), Name: client.ObjectKeyFromObject(foreign), Config: account,
	}}
	applier := &apply.Applier{Client: w.client, Live: w.client}
	plan, err := applier.Plan(t.Context(), route, wanted, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.create(foreign) // It has no field that is wanted, so that nothing else is in conflict.
	notOwned, isNotOwned := errors.AsType[*apply.NotOwnedError](plan.Apply(t.Context()))
	if !isNotOwned || notOwned.Name != foreign.Name {
		t.Errorf("the error is %v", notOwned)
	}
	w.get(foreign.Name, foreign)
	if len(foreign.Labels) > 0 || len(foreign.ManagedFields) > 0 && foreign.ManagedFields[0].Manager == apply.FieldOwner {
		t.Errorf("it was written to: %v", foreign)
	}
}

// recorder notes which Secrets are read with their values.
type recorder struct {
	client.Reader
	mu   sync.Mutex
	read []string
}

func (r *recorder) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, isSecret := object.(*corev1.Secret); isSecret {
		r.mu.Lock()
		r.read = append(r.read, key.Name)
		r.mu.Unlock()
	}
	return r.Reader.Get(ctx, key, object, options...)
}

func TestAForeignSecretsValuesAreNeverRead(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"chat-search", "unrelated"} {
		w.create(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Data: map[string][]byte{"a": []byte("b")},
		})
	}
	w.create(w.route())
	w.until("chat", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChildNotOwned)
	w.stopManager()

	live := &recorder{Reader: w.reconciler.Live}
	w.reconciler.Live = live
	w.reconciler.keyring = keyring{} // as after a restart, when all keys are looked for
	w.reconciler.Client = w.behind(notFound)
	w.reconcile()
	if diff := cmp.Diff([]string{upstreamSecret}, live.read); diff != "" {
		t.Errorf("Secrets that were read with their values (-want +got):\n%s", diff)
	}
}

func TestAKeyIsNotDeliveredOnTheWordOfALedgerThatIsSilentSince(t *testing.T) {
	s := healthy()
	s.pending["search"] = newConsumerKey("a key")
	s.usage.fresh = false
	r := &ModelRouteReconciler{} // which has nothing to write with
	if err := r.deliverKeys(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if len(s.pending) != 1 {
		t.Error("the key is delivered")
	}
}
