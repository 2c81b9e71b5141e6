package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/openrouter"
)

const (
	managementSecret = "management"
	testManagement   = "sk-or-management-key"
)

// aheadClock is the machine's clock and so much ahead.
type aheadClock struct {
	clock.RealClock
	ahead atomic.Int64
}

func (a *aheadClock) Now() time.Time { return a.RealClock.Now().Add(time.Duration(a.ahead.Load())) }

func (a *aheadClock) Since(at time.Time) time.Duration { return a.Now().Sub(at) }

// provisioning is a world with an upstream that makes keys, and a manager that has it do so.
type provisioning struct {
	*world
	clock *aheadClock
	url   string
	// patches are how often the ledger had been told budgets when a key was changed.
	patches chan int64
	// isDown has the upstream refuse to manage keys; losesAnswers has it make keys and never say so.
	isDown, losesAnswers atomic.Bool
	// holds, where it is set, is until when the upstream does not answer that a key is changed.
	holds atomic.Pointer[chan struct{}]
}

func newProvisioning(t *testing.T) *provisioning {
	t.Helper()
	ahead := &aheadClock{}
	p := &provisioning{clock: ahead, patches: make(chan int64, 100)}
	p.world = newWorldAt(t, ahead)
	p.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: managementSecret},
		Data:       map[string][]byte{"key": []byte(testManagement + "\n")},
	})
	inner := upstream.New(upstream.Options{
		Keys: []upstream.Key{{Label: "management", Secret: testManagement, LimitNano: upstream.NoLimit, Management: true}}, Now: ahead.Now,
	})
	server := httptest.NewServer(p.unreliable(inner))
	t.Cleanup(server.Close)
	p.url = server.URL + "/api/v1"
	p.manage()
	return p
}

// unreliable is an upstream that has its faults; the test itself gets around them.
func (p *provisioning) unreliable(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isOurs := r.Header.Get("User-Agent") == "modelroute-manager"
		switch {
		case isOurs && p.isDown.Load():
			http.Error(w, testManagement, http.StatusServiceUnavailable)
			return
		case isOurs && r.Method == http.MethodPost && p.losesAnswers.Load():
			inner.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case isOurs && r.Method == http.MethodPatch:
			p.patches <- p.puts.Load()
			if holds := p.holds.Load(); holds != nil {
				<-*holds
			}
		}
		inner.ServeHTTP(w, r)
	})
}

// manage starts a manager.
func (p *provisioning) manage() {
	p.t.Helper()
	p.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		r.UpstreamKeys = &UpstreamKeyReports{}
		keys := &UpstreamKeyReconciler{
			Client: r.Client, Live: r.Live, Keys: openrouter.NewKeys(), Reports: r.UpstreamKeys, Events: r.Events, Clock: r.Clock,
			RetryInterval: 50 * time.Millisecond,
		}
		return keys.SetupWithManager(manager)
	})
}

// fenced is the route chat, whose upstream has its key made.
func (p *provisioning) fenced() *v1alpha1.ModelRoute {
	route := p.route()
	upstream := &route.Spec.Upstreams[0]
	upstream.BaseURL, upstream.APIKeySecretRef = p.url, v1alpha1.SecretKeyReference{}
	upstream.ProvisionedKey = v1alpha1.ProvisionedKey{
		ManagementKeySecretRef: v1alpha1.SecretKeyReference{Name: managementSecret, Key: "key"},
	}
	return route
}

// wireKey is what the upstream tells of a key.
type wireKey struct {
	Hash       string       `json:"hash"`
	Name       string       `json:"name"`
	Limit      *json.Number `json:"limit"`
	LimitReset *string      `json:"limit_reset"`
}

// limit is that of the key for people.
func (k wireKey) limit() string {
	if k.Limit == nil {
		return "none"
	}
	reset := "in all"
	if k.LimitReset != nil {
		reset = *k.LimitReset
	}
	return string(*k.Limit) + " " + reset
}

// ask asks the upstream something, and returns the status.
func (p *provisioning) ask(method, path, key, body string, answer any) int {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer != nil && response.StatusCode < 300 {
		if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
			p.t.Fatal(err)
		}
	}
	return response.StatusCode
}

// keysAtUpstream are all keys that were made there, the newest first.
func (p *provisioning) keysAtUpstream() []wireKey {
	p.t.Helper()
	var list struct{ Data []wireKey }
	if status := p.ask(http.MethodGet, "/keys?include_disabled=true", testManagement, "", &list); status != http.StatusOK {
		p.t.Fatalf("listing the keys: %d", status)
	}
	return list.Data
}

// changeAtUpstream does what an administrator does at the upstream.
func (p *provisioning) changeAtUpstream(method, hash, body string) {
	p.t.Helper()
	if status := p.ask(method, "/keys/"+hash, testManagement, body, nil); status != http.StatusOK {
		p.t.Fatalf("%s of a key: %d", method, status)
	}
}

// untilKeys waits until the upstream has so many keys, and returns them.
func (p *provisioning) untilKeys(count int) []wireKey {
	p.t.Helper()
	var keys []wireKey
	p.eventually(fmt.Sprintf("the upstream has %d keys", count), func() error {
		if keys = p.keysAtUpstream(); len(keys) != count {
			return fmt.Errorf("it has %v", keys)
		}
		return nil
	})
	return keys
}

// untilProvisioned waits until UpstreamKeysProvisioned has a status and a reason.
func (p *provisioning) untilProvisioned(status metav1.ConditionStatus, reason string) *v1alpha1.ModelRoute {
	p.t.Helper()
	return p.until("chat", v1alpha1.ConditionUpstreamKeysProvisioned, status, reason)
}

func (p *provisioning) untilWell() *v1alpha1.ModelRoute {
	p.t.Helper()
	return p.untilProvisioned(metav1.ConditionTrue, v1alpha1.ReasonUpstreamKeysProvisioned)
}

// keyInSecret is the key that proxies would have; empty if there is none.
func (p *provisioning) keyInSecret() string {
	p.t.Helper()
	secret := &corev1.Secret{}
	if !p.exists("chat.upstream.openrouter", secret) {
		return ""
	}
	return string(secret.Data[compile.UpstreamKeyFile])
}

// works reports whether a key is accepted at the upstream.
func (p *provisioning) works(key string) bool {
	p.t.Helper()
	return p.ask(http.MethodGet, "/key", key, "", nil) == http.StatusOK
}

// untilWorks waits until the Secret has a key that works and is not the given one.
func (p *provisioning) untilWorks(other string) string {
	p.t.Helper()
	key := ""
	p.eventually("there is a key that works", func() error {
		if key = p.keyInSecret(); key == "" || key == other || !p.works(key) {
			return errors.New("there is none")
		}
		return nil
	})
	return key
}

// look has the manager look at the keys again.
func (p *provisioning) look() {
	p.t.Helper()
	change(p.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		if route.Annotations == nil {
			route.Annotations = map[string]string{}
		}
		route.Annotations["example.com/touched"] = strconv.FormatInt(time.Now().UnixNano(), 10)
	})
}

// later lets time go by and has the manager look.
func (p *provisioning) later(by time.Duration) {
	p.t.Helper()
	p.clock.ahead.Add(int64(by))
	p.look()
}

// eventsOf are the events of a reason that were recorded.
func (p *provisioning) eventsOf(reason string) []string {
	var found []string
	for {
		select {
		case event := <-p.events:
			if strings.Contains(event, testManagement) || strings.Contains(event, "sk-or-v1-") {
				p.t.Errorf("an event tells a key: %s", event)
			}
			if strings.Contains(event, reason) {
				found = append(found, event)
			}
		default:
			return found
		}
	}
}

func (p *provisioning) untilGone() {
	p.t.Helper()
	p.eventually("the route is gone", func() error {
		if p.exists("chat", &v1alpha1.ModelRoute{}) {
			return errors.New("it is there")
		}
		return nil
	})
}
