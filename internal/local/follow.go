package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/local/manifest"
)

// followInterval is how often the files are read. Reading a few kilobytes once a second is simpler than watching folders, in which editors
// replace files, and cannot miss anything.
const followInterval = time.Second

var errLedgerEnded = errors.New("the ledger ended; its log says why")

// follow delivers the first keys, and then keeps everything as the files say until ctx ends. What it cannot do it tries again.
func (r *run) follow(ctx context.Context, admin net.Addr) error {
	if err := r.applier.deliver(ctx, r.now); err != nil {
		if ctx.Err() != nil {
			return nil // It was told to end before it served.
		}
		return err
	}
	r.pages.show(r.now)
	r.announce(admin)
	ticker := r.options.Clock.NewTicker(followInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.books.failed:
			return errLedgerEnded
		case <-ticker.C():
			r.look(ctx)
		}
	}
}

// look finds out what has changed since the last time, and does what follows from it.
func (r *run) look(ctx context.Context) {
	routes, why := r.now.routes, r.due()
	switch changed, err := r.readChanged(ctx); {
	case err != nil:
		if r.isNews(err) {
			r.options.Logger.LogAttrs(ctx, slog.LevelError, "The changed files are refused; keeping what was served", oneLine(err))
		}
	case changed != nil:
		routes, why = changed, "the files have changed"
	}
	if why == "" {
		return
	}
	made, err := r.applier.prepare(ctx, routes)
	if err == nil {
		// What comes next is compared with this, also where the proxy is slow to take it up.
		made.delivered = r.now.delivered
		err = r.applier.deliver(ctx, made)
	}
	if err != nil {
		r.files = nil // They are looked at again.
		if ctx.Err() == nil && r.isNews(err) {
			r.options.Logger.LogAttrs(ctx, slog.LevelError, "The change could not be made; trying again", oneLine(err))
		}
		return
	}
	r.now, r.problem = made, ""
	r.pages.show(made)
	r.options.Logger.LogAttrs(ctx, slog.LevelInfo, "Serving what has changed", slog.String("why", why), slog.Int("routes", len(routes)))
}

// due says why the same routes have to be looked at again; empty if they have not.
func (r *run) due() string {
	switch {
	case !r.now.expires.IsZero() && !r.options.Clock.Now().Before(r.now.expires):
		return "a credit or a ModelKey has expired"
	case touched(r.now.delivered):
		return "a consumer's Secret was changed or deleted"
	}
	return ""
}

// readChanged returns the routes if the files have changed, and nil if they have not. The error says what is wrong with a change.
func (r *run) readChanged(ctx context.Context) ([]manifest.Route, error) {
	files, err := manifest.ReadFiles(r.options.Files)
	if err != nil {
		r.files = nil // Once they can be read, they have changed.
		return nil, err
	}
	if slices.EqualFunc(files, r.files, func(a, b manifest.File) bool { return bytes.Equal(a.Content, b.Content) }) {
		return nil, nil
	}
	r.files = files
	return r.reader.Routes(ctx, files)
}

// isNews reports whether that was not said last already: once a second would bury everything else.
func (r *run) isNews(err error) bool {
	news := r.problem != err.Error()
	r.problem = err.Error()
	return news
}

func oneLine(err error) slog.Attr {
	return slog.String("error", strings.ReplaceAll(err.Error(), "\n", "; "))
}

// announce tells where everything is.
func (r *run) announce(admin net.Addr) {
	out := r.options.Announce
	fmt.Fprintf(out, "Serving %s\nPages for people: %s\nHealth and metrics: http://%s\n\n",
		r.applier.baseURL, strings.TrimSuffix(r.applier.baseURL, apiPath)+"/", reachable(admin))
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "ROUTE\tMODEL\tCONSUMER\tKEY")
	for _, route := range r.now.routes {
		if len(route.Spec.Consumers)+len(route.ModelKeys) == 0 {
			fmt.Fprintf(table, "%s/%s\t%s\t-\tnobody can use it: add spec.consumers or a ModelKey\n",
				route.Namespace, route.Name, compile.ModelName(route.ModelRoute))
		}
	}
	for _, secret := range r.now.secrets {
		for _, route := range secret.routes {
			fmt.Fprintf(table, "%s/%s\t%s\t%s\t%s.env\n", route.Namespace, route.Name, compile.ModelName(route), secret.name,
				shortest(secret.path))
		}
	}
	_ = table.Flush() // Where nobody listens there is nobody to tell.
	if r.namesAccounts() {
		fmt.Fprintln(out, "\nWhoever has serviceAccounts in a cluster has a key here.")
	}
	fmt.Fprintf(out, "\nFor a shell: set -a; . FILE; set +a\n")
}

// namesAccounts reports whether anybody is to present tokens of ServiceAccounts, of which there are none outside a cluster.
func (r *run) namesAccounts() bool {
	for _, route := range r.now.routes {
		for _, consumer := range compile.Consumers(route.ModelRoute, route.ModelKeys) {
			if len(consumer.ServiceAccounts) > 0 {
				return true
			}
		}
	}
	return false
}

// shortest is the path from here, if that is shorter.
func shortest(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if relative, err := filepath.Rel(here, path); err == nil && len(relative) < len(path) {
		return relative
	}
	return path
}
