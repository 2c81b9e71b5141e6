package controllers

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/keys"
)

// shiftedClock is the machine's clock, put forward.
type shiftedClock struct {
	clock.RealClock
	by atomic.Int64
}

func (c *shiftedClock) Now() time.Time { return c.RealClock.Now().Add(time.Duration(c.by.Load())) }

func (c *shiftedClock) forward(by time.Duration) { c.by.Add(int64(by)) }

// annotate gives an object an annotation.
func annotate(name, value string) func(client.Object) {
	return func(object client.Object) {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[name] = value
		object.SetAnnotations(annotations)
	}
}

// touch has an object looked at, as happens by itself once its time has come; the queue of a controller does not go by a test's clock.
func touch(w *world, namespace, name string, object client.Object) {
	changeIn(w, namespace, name, object, annotate("touched", w.clock.Now().String()))
}

// holder is a consumer or a ModelKey, whose keys go through the same life.
type holder struct {
	w *world
	// consumer is the name in configurations; secret reads the key that the Secret has.
	consumer string
	secret   func() string
	shown    func() (keyID string, previous *v1alpha1.PreviousKey)
	object   func() client.Object
}

func (h holder) rotate(value string) {
	object := h.object()
	changeIn(h.w, object.GetNamespace(), object.GetName(), object, annotate(v1alpha1.AnnotationRotate, value))
}

func (h holder) touch() {
	object := h.object()
	touch(h.w, object.GetNamespace(), object.GetName(), object)
}

// untilRotated waits until the Secret has another key, the status shows it and the old one, and the proxies accept both.
func (h holder) untilRotated(old string) string {
	h.w.t.Helper()
	var now string
	h.w.eventually("there is a new key and the old one goes on", func() error {
		now = h.secret()
		accepted := h.w.acceptedHashes("chat", h.consumer)
		id, previous := h.shown()
		switch {
		case now == old || len(accepted) != 2:
			return fmt.Errorf("%d keys are accepted", len(accepted))
		case !slices.Contains(accepted, keys.Hash(old)) || !slices.Contains(accepted, keys.Hash(now)):
			return errors.New("other keys are accepted")
		case id != keys.ID(keys.Hash(now)) || previous == nil || previous.KeyID != keys.ID(keys.Hash(old)):
			return fmt.Errorf("the status shows %s and %v", id, previous)
		case !h.isEndOfRecord(old):
			return errors.New("the end of the old key is not of record yet")
		}
		return nil
	})
	return now
}

// isEndOfRecord reports whether the configuration says when a key ends. The status does so a moment earlier.
func (h holder) isEndOfRecord(secret string) bool {
	for _, consumer := range h.w.proxyConfig("chat").Routes[0].Consumers {
		for _, key := range consumer.Keys {
			if key.SHA256 == keys.Hash(secret) && key.Expires != 0 {
				return true
			}
		}
	}
	return false
}

// untilOnly waits until one key alone is accepted, and the status shows no other.
func (h holder) untilOnly(key string) {
	h.w.t.Helper()
	h.w.eventually("only that key is accepted", func() error {
		_, previous := h.shown()
		if accepted := h.w.acceptedHashes("chat", h.consumer); !slices.Equal(accepted, []string{keys.Hash(key)}) || previous != nil {
			return fmt.Errorf("%d keys are accepted, the status shows %v", len(accepted), previous)
		}
		return nil
	})
}

// holders make a world with each kind of holder in it, which is ready.
var holders = map[string]func(w *world, tenant string, rotation v1alpha1.Rotation) holder{
	"a consumer": func(w *world, _ string, rotation v1alpha1.Rotation) holder {
		route := w.openRoute()
		route.Spec.Consumers[0].Rotation = rotation
		w.serve(route)
		return holder{
			w: w, consumer: "search",
			secret: func() string { return keyOf(w.consumerSecret("chat", "search")) },
			object: func() client.Object {
				route := &v1alpha1.ModelRoute{}
				w.get("chat", route)
				return route
			},
			shown: func() (string, *v1alpha1.PreviousKey) {
				route := &v1alpha1.ModelRoute{}
				w.get("chat", route)
				return route.Status.Consumers[0].KeyID, route.Status.Consumers[0].PreviousKey
			},
		}
	},
	"a ModelKey": func(w *world, tenant string, rotation v1alpha1.Rotation) holder {
		w.serve(w.openRoute())
		key := w.modelKey(tenant, "chat")
		key.Spec.Rotation = rotation
		w.create(key)
		w.untilKeyReady(tenant)
		object := func() *v1alpha1.ModelKey {
			key := &v1alpha1.ModelKey{}
			w.getIn(tenant, "crawler", key)
			return key
		}
		return holder{
			w: w, consumer: tenant + "/crawler",
			secret: func() string { return keyOf(w.keySecret(tenant)) },
			object: func() client.Object { return object() },
			shown: func() (string, *v1alpha1.PreviousKey) {
				status := object().Status
				return status.KeyID, status.PreviousKey
			},
		}
	},
}

// forEachHolder starts a world with each kind of holder for a test.
func forEachHolder(t *testing.T, rotation v1alpha1.Rotation, test func(h holder, forward func(time.Duration))) {
	for name, hold := range holders {
		t.Run(name, func(t *testing.T) {
			fake := &shiftedClock{}
			w, tenant := newWorldWithTenantAt(t, fake, nil)
			w.startManager()
			h := hold(w, tenant, rotation)
			test(h, func(by time.Duration) {
				fake.forward(by)
				h.touch()
			})
		})
	}
}

func TestAKeyIsReplacedOnceForEachRequestAndTheOldOneGoesOnForADay(t *testing.T) {
	forEachHolder(t, v1alpha1.Rotation{}, func(h holder, forward func(time.Duration)) {
		first := h.secret()
		h.rotate("2026-11-26")
		second := h.untilRotated(first)
		_, previous := h.shown()
		if left := previous.EndTime.Sub(h.w.clock.Now()); left > 24*time.Hour || left < 23*time.Hour {
			t.Errorf("the old key is accepted for another %s", left)
		}

		// The next manager knows what this one did.
		h.w.stopManager()
		h.w.startManager()
		h.touch()
		h.w.quiet("chat")
		if again := h.untilRotated(first); again != second {
			t.Error("the key was replaced twice for one request")
		}
		forward(25 * time.Hour)
		h.untilOnly(second)
		h.rotate("2026-11-27")
		h.untilRotated(second)
	})
}

func TestAKeyIsReplacedWhenItsTimeIsOver(t *testing.T) {
	rotation := v1alpha1.Rotation{IntervalDays: 30, OverlapHours: ptr.To[int32](48)}
	forEachHolder(t, rotation, func(h holder, forward func(time.Duration)) {
		first := h.secret()
		forward(29 * 24 * time.Hour)
		h.w.quiet("chat")
		if h.secret() != first {
			t.Fatal("the key was replaced too early")
		}
		forward(25 * time.Hour)
		second := h.untilRotated(first)
		forward(49 * time.Hour)
		h.untilOnly(second)
	})
}

func TestASecretDeletedInTheOverlapRevokesBothKeys(t *testing.T) {
	forEachHolder(t, v1alpha1.Rotation{}, func(h holder, _ func(time.Duration)) {
		first := h.secret()
		h.rotate("again")
		second := h.untilRotated(first)
		secret := h.w.secretWith(second)
		h.w.delete(secret)
		h.w.eventually("a third key alone is accepted", func() error {
			accepted := h.w.acceptedHashes("chat", h.consumer)
			if len(accepted) != 1 || slices.Contains([]string{keys.Hash(first), keys.Hash(second)}, accepted[0]) {
				return fmt.Errorf("%d keys are accepted", len(accepted))
			}
			return nil
		})
	})
}

func TestWhatWasSpentStaysWhenAKeyIsReplaced(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.route())
	p.spend(250_000_000)
	old := keyOf(w.consumerSecret("chat", "search"))
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { annotate(v1alpha1.AnnotationRotate, "now")(r) })
	w.eventually("the key is replaced", func() error {
		if keyOf(w.consumerSecret("chat", "search")) == old {
			return errors.New("it is not")
		}
		return nil
	})
	p.spend(250_000_000)
	w.eventually("both sums are shown", func() error {
		route := w.until("chat", v1alpha1.ConditionWithinBudget, metav1.ConditionTrue, v1alpha1.ReasonWithinBudget)
		if shown := route.Status.Consumers[0].Budgets; len(shown) != 1 || shown[0].Spent != "0.50" {
			return fmt.Errorf("it is %v", shown)
		}
		return nil
	})
}
