package portal

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
	"github.com/modelroute/modelroute/internal/portal/cluster"
)

// serveRelay serves the pages of the routes of the API server, of which that of namespace a is served by the local run, and returns where.
// Here is no DNS of a cluster, so that it runs in this process: whatever the name of a route, it is the run's.
func (w *world) serveRelay(t *testing.T, l *local) string {
	t.Helper()
	route := &v1alpha1.ModelRoute{}
	w.must(w.client.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: "mixtral-8x22b-instruct"}, route))
	route.Status.Endpoint = "http://mixtral-8x22b-instruct.a.svc/v1"
	w.must(w.client.Status().Update(t.Context(), route))
	transport := portal.NewTransport()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(l.url, "http://"))
	}
	source := cluster.New(w.config)
	server := httptest.NewServer(portal.New(portal.Options{
		Source: source, WhoIs: source.WhoIs, Relay: transport, Now: time.Now, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}))
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
		if strings.Contains(w.log.String(), l.key()) {
			t.Error("the key is in the log")
		}
	})
	return server.URL
}
