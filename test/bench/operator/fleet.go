package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/timestamppb"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// identityOf is how the ledger knows the proxies of a route.
func identityOf(route types.NamespacedName) auth.Identity {
	owner := &v1alpha1.ModelRoute{ObjectMeta: metav1.ObjectMeta{Namespace: route.Namespace, Name: route.Name}}
	return auth.Identity(desired.OwnerOf(owner).Identity())
}

func podOf(route types.NamespacedName) string { return route.Name + "-pod" }

// runPod is what the Deployment's controller and the kubelet do, which an API server by itself lacks: a pod that is ready.
func (w *world) runPod(ctx context.Context, route types.NamespacedName) error {
	deployment := &appsv1.Deployment{}
	if err := w.kube.Get(ctx, types.NamespacedName{Namespace: route.Namespace, Name: route.Name + "-proxy"}, deployment); err != nil {
		return fmt.Errorf("reading a Deployment: %w", err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: route.Namespace, Name: podOf(route), Labels: deployment.Spec.Template.Labels},
		Spec:       deployment.Spec.Template.Spec,
	}
	if err := w.kube.Create(ctx, pod); err != nil {
		return fmt.Errorf("making a pod: %w", err)
	}
	asMade := pod.DeepCopy()
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := w.kube.Status().Patch(ctx, pod, client.MergeFrom(asMade)); err != nil {
		return fmt.Errorf("making a pod ready: %w", err)
	}
	replicas, asWritten := *deployment.Spec.Replicas, deployment.DeepCopy()
	deployment.Status = appsv1.DeploymentStatus{
		ObservedGeneration: deployment.Generation,
		Replicas:           replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
	}
	if err := w.kube.Status().Patch(ctx, deployment, client.MergeFrom(asWritten)); err != nil {
		return fmt.Errorf("saying that a Deployment is rolled out: %w", err)
	}
	return nil
}

// session is what a proxy is to the ledger, without the proxy: it says which configuration it serves, and spends.
type session struct {
	route   types.NamespacedName
	ledger  ledgerpbconnect.ProxyServiceClient
	session *ledgerpb.Session
	leases  []*ledgerpb.Lease
	logged  int64
}

// as makes the context of a call by a route's proxy.
func (w *world) as(ctx context.Context, route types.NamespacedName) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+tokenOf(w.ledgerKey, identityOf(route)))
	return ctx
}

// openSession opens a session that serves what the route's config Secret has.
func (w *world) openSession(ctx context.Context, httpClient *http.Client, route types.NamespacedName) (*session, error) {
	secret := &corev1.Secret{}
	if err := w.kube.Get(ctx, types.NamespacedName{Namespace: route.Namespace, Name: route.Name + ".config"}, secret); err != nil {
		return nil, fmt.Errorf("reading a configuration: %w", err)
	}
	s := &session{route: route, ledger: ledgerpbconnect.NewProxyServiceClient(
		connect.NewClient(connecthttp.NewTransport(httpClient, w.ledgerURL())))}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // It never fails.
	opened, err := s.ledger.OpenSession(w.as(ctx, route), &ledgerpb.OpenSessionRequest{
		ProxyId: hex.EncodeToString(id), Instance: podOf(route),
		Routes: []*ledgerpb.RouteRef{{Namespace: route.Namespace, Name: route.Name}},
	})
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	s.session = opened.GetSession()
	return s, s.serve(ctx, w, routeconfig.Hash(secret.Data[desired.ConfigKey]))
}

// serve says which configuration is served.
func (s *session) serve(ctx context.Context, w *world, hash string) error {
	_, err := s.ledger.Heartbeat(w.as(ctx, s.route), &ledgerpb.HeartbeatRequest{Session: s.session, ConfigHash: hash})
	if err != nil {
		return fmt.Errorf("saying which configuration is served: %w", err)
	}
	return nil
}

// spend draws once, and reports one more request that was paid.
func (s *session) spend(ctx context.Context, w *world) error {
	ref := &ledgerpb.RouteRef{Namespace: s.route.Namespace, Name: s.route.Name}
	if s.leases == nil {
		drawn, err := s.ledger.Draw(w.as(ctx, s.route), &ledgerpb.DrawRequest{Session: s.session, Sequence: 1, Demands: []*ledgerpb.Demand{
			{Route: ref, Consumer: consumers[0], AmountNanoUsd: money.NanoPerUSD},
		}})
		if err != nil {
			return fmt.Errorf("drawing: %w", err)
		}
		for _, answer := range drawn.GetAnswers() {
			s.leases = append(s.leases, answer.GetLeases()...)
		}
	}
	const cost = 1000
	settlement := &ledgerpb.Settlement{
		Route: ref, Consumer: consumers[0], OpenedAt: timestamppb.Now(), AmountNanoUsd: cost,
		Certainty: ledgerpb.Settlement_CERTAINTY_EXACT,
	}
	for _, lease := range s.leases {
		settlement.Charges = append(settlement.Charges, &ledgerpb.Charge{Lease: lease.GetId(), Amount: cost})
	}
	_, err := s.ledger.Append(w.as(ctx, s.route), &ledgerpb.AppendRequest{
		Session: s.session, First: s.logged + 1, Records: []*ledgerpb.Record{{Kind: &ledgerpb.Record_Settlement{Settlement: settlement}}},
	})
	if err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	s.logged++
	return nil
}

// realProxy is a proxy as cmd/proxy runs it, in this process.
type realProxy struct {
	route types.NamespacedName
	url   string
	key   string
	ended chan error
}

// runProxy runs a proxy of a route until ctx ends.
func (w *world) runProxy(ctx context.Context, route types.NamespacedName) (*realProxy, error) {
	secret, err := configsource.NewSecret(w.config, route.Namespace+"/"+route.Name+".config")
	if err != nil {
		return nil, err
	}
	journal, err := os.MkdirTemp(w.dir, "journal")
	if err != nil {
		return nil, fmt.Errorf("making a journal's directory: %w", err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = rig.Listen(ctx); err != nil {
			return nil, err
		}
	}
	p := &realProxy{route: route, url: "http://" + listeners[0].Addr().String(), ended: make(chan error, 1)}
	go func() {
		p.ended <- proxy.Run(ctx, proxy.Options{
			Listener: listeners[0], AdminListener: listeners[1], Secret: secret, JournalDir: filepath.Clean(journal),
			LedgerToken: func(context.Context) (string, error) { return tokenOf(w.ledgerKey, identityOf(route)), nil },
			Instance:    podOf(route), CorrectAfter: -1, DrainTimeout: time.Second,
			Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{},
		})
	}()
	return p, nil
}

// takeKey waits for the key of the first consumer.
func (p *realProxy) takeKey(ctx context.Context, w *world) error {
	name := types.NamespacedName{Namespace: p.route.Namespace, Name: p.route.Name + "-" + consumers[0]}
	return rig.Await(ctx, "a key is delivered", time.Minute, func() bool {
		secret := &corev1.Secret{}
		if err := w.kube.Get(ctx, name, secret); client.IgnoreNotFound(err) != nil || err != nil {
			return false
		}
		p.key = string(secret.Data["OPENAI_API_KEY"])
		return p.key != ""
	})
}

// says reports whether the proxy serves a configuration that has the text in it.
func (p *realProxy) says(ctx context.Context, text string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/v1/models", http.NoBody)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+p.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return err == nil && strings.Contains(string(content), text)
}
