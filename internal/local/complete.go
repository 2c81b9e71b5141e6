package local

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/catalog"
	"github.com/modelroute/modelroute/internal/catalog/listing"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/local/manifest"
)

// listLife is how long an upstream's list of models is used: the routes of one reading of the files share it.
const listLife = time.Minute

// completer adds to routes what they leave out: what their upstreams list, if they can be reached, what was adopted by an earlier run, and
// what is built in.
type completer struct {
	dir    directory
	reader *listing.Reader
	clock  clock.PassiveClock
	logger *slog.Logger
	lists  map[place]readList
}

// place is where a list is read, and by which way.
type place struct {
	baseURL string
	way     compile.Way
}

// readList is what an upstream said.
type readList struct {
	at     time.Time
	state  compile.ListState
	models map[string]catalog.Facts
}

func newCompleter(dir directory, options Options) *completer {
	return &completer{
		dir: dir, reader: listing.NewReader("kubectl-modelroute"), clock: options.Clock, logger: options.Logger,
		lists: map[place]readList{},
	}
}

// complete asks upstreams only if the route leaves out what they may list.
func (c *completer) complete(
	ctx context.Context, route *v1alpha1.ModelRoute, authorities manifest.Authorities,
) compile.Completed {
	route = route.DeepCopy()
	for _, remembered := range readRemembered(c.dir).Routes {
		if remembered.Namespace == route.Namespace && remembered.Name == route.Name {
			route.Status = remembered.Status
		}
	}
	wanted := map[compile.UpstreamModel]bool{}
	for _, upstream := range route.Spec.Upstreams {
		at := compile.UpstreamModelOf(route, upstream)
		wanted[at] = wanted[at] || at.HasList() && compile.LeavesOut(route, upstream)
	}
	completed := compile.Complete(route, func(at compile.UpstreamModel) compile.Listed {
		if !wanted[at] {
			return compile.Listed{}
		}
		return c.listed(ctx, at, authorities)
	})
	for _, one := range completed.Upstreams {
		if listed, isOther := one.ListedOtherwise(); isOther {
			c.logger.LogAttrs(ctx, slog.LevelWarn, "An upstream lists another price than the one in force; "+
				"write what is right in spec.upstreams[].pricing, or set spec.catalog.priceChanges to Adopt",
				slog.String("route", route.Namespace+"/"+route.Name), slog.String("upstream", one.Name),
				slog.Any("inForce", one.Pricing), slog.Any("listed", listed))
		}
	}
	return completed
}

func (c *completer) listed(ctx context.Context, at compile.UpstreamModel, authorities manifest.Authorities) compile.Listed {
	where := place{baseURL: at.BaseURL, way: at.Way}
	list, isKnown := c.lists[where]
	if !isKnown || c.clock.Since(list.at) > listLife {
		models, err := c.reader.Models(ctx, listing.Upstream{
			BaseURL: at.BaseURL, IsOpenRouter: at.Provider == v1alpha1.ProviderOpenRouter,
			ProxyURL: at.ProxyURL, Authorities: []byte(authorities(at.Way)),
		})
		list = readList{at: c.clock.Now(), state: compile.ListRead, models: models}
		if err != nil {
			list.state = compile.ListUnavailable
			c.logger.LogAttrs(ctx, slog.LevelWarn,
				"An upstream's list of models cannot be read; what is known otherwise is in force", oneLine(err))
		}
		c.lists[where] = list
	}
	listed := compile.Listed{State: list.state}
	if facts, isThere := list.models[at.ID]; isThere {
		listed.Facts = &facts
	}
	return listed
}
