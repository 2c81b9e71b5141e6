package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
	dataplane "github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// account makes a ServiceAccount.
func (w *world) account(namespace, name string) *corev1.ServiceAccount {
	w.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	w.create(account)
	return account
}

// tokenOf asks the API server for a token of a ServiceAccount for audiences, as the kubelet does for a projected volume.
func (w *world) tokenOf(account *corev1.ServiceAccount, audiences ...string) string {
	w.t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if err := w.client.SubResource("token").Create(w.t.Context(), account, request); err != nil {
		w.t.Fatalf("asking for a token: %v", err)
	}
	return request.Status.Token
}

// identified is the route chat, whose consumer search is the pods of a ServiceAccount.
func (w *world) identified(account *corev1.ServiceAccount) *v1alpha1.ModelRoute {
	route := w.openRoute()
	route.Spec.Consumers[0].ServiceAccounts = []v1alpha1.ServiceAccountReference{{Namespace: account.Namespace, Name: account.Name}}
	return route
}

// podProxy is a proxy as it runs in a pod: it watches its configuration at the API server.
type podProxy struct {
	w   *world
	url string
}

// serveForReal makes the route and its pod, and runs a real proxy in it.
func (w *world) serveForReal(route *v1alpha1.ModelRoute) *podProxy {
	w.t.Helper()
	w.create(route)
	w.runPod(route.Name, "real")
	secret, err := configsource.NewSecret(w.config, w.namespace+"/"+desired.ConfigSecretName(route))
	if err != nil {
		w.t.Fatal(err)
	}
	clients, admin := w.listen(), w.listen()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended, journalDir := make(chan error, 1), w.t.TempDir()
	go func() {
		ended <- dataplane.Run(ctx, dataplane.Options{
			Listener: clients, AdminListener: admin, Secret: secret, JournalDir: journalDir,
			LedgerToken: (&proxy{w: w, route: route.Name}).token, Instance: "real", CorrectAfter: -1, DrainTimeout: time.Second,
			Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{},
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the proxy ended with: %v", err)
		}
	})
	return &podProxy{w: w, url: "http://" + clients.Addr().String()}
}

func (w *world) listen() net.Listener {
	w.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	return listener
}

// models asks which models a bearer reaches. It returns the status and, if it is no 200, the message.
func (p *podProxy) models(bearer string) (status int, message string) {
	p.w.t.Helper()
	request, err := http.NewRequestWithContext(p.w.t.Context(), http.MethodGet, p.url+"/v1/models", nil)
	if err != nil {
		p.w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		p.w.t.Fatal(err)
	}
	return response.StatusCode, answer.Error.Message
}

// until waits until a bearer is answered with a status.
func (p *podProxy) until(want int, bearer string) {
	p.w.t.Helper()
	p.w.eventually(fmt.Sprintf("the bearer is answered with %d", want), func() error {
		if status, message := p.models(bearer); status != want {
			return fmt.Errorf("%d: %s", status, message)
		}
		return nil
	})
}

// untilServed waits until the configuration accepts so many ServiceAccounts of a consumer, and returns them.
func (w *world) untilServed(route, consumer string, count int) []routeconfig.ServiceAccount {
	w.t.Helper()
	var served []routeconfig.ServiceAccount
	w.eventually(fmt.Sprintf("%d ServiceAccounts of %s are accepted", count, consumer), func() error {
		secret := &corev1.Secret{}
		if err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: route + ".config"}, secret); err != nil {
			return err
		}
		config, err := routeconfig.Decode(secret.Data[desired.ConfigKey])
		if err != nil {
			return err
		}
		served = nil
		for _, one := range config.Routes[0].Consumers {
			if one.Name == consumer {
				served = one.ServiceAccounts
			}
		}
		if len(served) != count {
			return errors.New(fmt.Sprint(served))
		}
		return nil
	})
	return served
}
