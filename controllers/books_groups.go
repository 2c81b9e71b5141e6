package controllers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// secretPause is between two Secrets that are read for this: what reconciling asks of the API server comes first.
const secretPause = 50 * time.Millisecond

// billedKey is one API key of one upstream: the account that is compared. The key is known by its hash alone.
type billedKey struct {
	baseURL string
	keyHash [sha256.Size]byte
}

// routeUpstream names an upstream of a route.
type routeUpstream struct {
	route    types.NamespacedName
	upstream string
}

// user is an upstream of a route that uses an account. Several of one route may use the same.
type user struct {
	routeUpstream

	of *v1alpha1.ModelRoute
}

// group is an account and its users, sorted by their names.
type group struct {
	billedKey

	key   string
	users []user
}

// groups finds the upstreams that tell what they billed, by account, and returns all routes beside them.
func (b *Books) groups(ctx context.Context) (byID map[string]*group, routes []*v1alpha1.ModelRoute, err error) {
	var list v1alpha1.ModelRouteList
	if err := b.Routes.List(ctx, &list); err != nil {
		return nil, nil, fmt.Errorf("listing routes: %w", err)
	}
	byAccount := map[billedKey]*group{}
	known := map[routeUpstream]billedKey{}
	for i := range list.Items {
		route := &list.Items[i]
		routes = append(routes, route)
		for j := range route.Spec.Upstreams {
			upstream := &route.Spec.Upstreams[j]
			its := routeUpstream{route: client.ObjectKeyFromObject(route), upstream: upstream.Name}
			account, key, err := b.accountOf(ctx, its, route, upstream)
			if err != nil {
				return nil, nil, err
			}
			if account == nil {
				continue
			}
			one := byAccount[*account]
			if one == nil {
				one = &group{billedKey: *account}
				byAccount[*account] = one
			}
			one.key = cmp.Or(key, one.key)
			one.users = append(one.users, user{routeUpstream: its, of: route})
			known[its] = *account
		}
	}
	b.last = known
	byID = make(map[string]*group, len(byAccount))
	for _, one := range byAccount {
		slices.SortFunc(one.users, func(a, b user) int {
			return cmp.Or(cmp.Compare(a.route.Namespace, b.route.Namespace), cmp.Compare(a.route.Name, b.route.Name),
				cmp.Compare(a.upstream, b.upstream))
		})
		byID[one.id()] = one
	}
	return byID, routes, nil
}

// accountOf returns the account that an upstream uses, and its key; nil if it has none whose books can be compared. Where the Secret cannot
// be read, it is the one of the last look, without the key: a route that comes and goes would have the comparison begin anew each time.
func (b *Books) accountOf(
	ctx context.Context, its routeUpstream, of *v1alpha1.ModelRoute, upstream *v1alpha1.Upstream,
) (*billedKey, string, error) {
	if upstream.Provider != v1alpha1.ProviderOpenRouter {
		return nil, "", nil
	}
	secret, ref := &corev1.Secret{}, compile.UpstreamKeySecret(of, *upstream)
	err := b.Secrets.Get(ctx, types.NamespacedName{Namespace: of.Namespace, Name: ref.Name}, secret)
	pause(ctx, secretPause)
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil && !apierrors.IsNotFound(err) {
		if last, isKnown := b.last[its]; isKnown {
			return &last, "", nil
		}
		return nil, "", nil
	}
	key := bytes.TrimSpace(secret.Data[ref.Key])
	if len(key) == 0 {
		return nil, "", nil
	}
	return &billedKey{baseURL: strings.TrimRight(upstream.BaseURL, "/"), keyHash: sha256.Sum256(key)}, string(key), nil
}

// id stands for the key and its users, so that the comparison begins anew when either is another. It tells nothing of the key. Of a route
// with one upstream all that was ever spent counts, and it goes by its own name alone.
func (g *group) id() string {
	sum := sha256.New()
	write := func(format string, arguments ...any) {
		_, _ = fmt.Fprintf(sum, format, arguments...) // A hash takes all that is written to it.
	}
	write("%s\n%x\n", g.baseURL, g.keyHash)
	for _, user := range g.users {
		write("%s/%s", user.route.Namespace, user.route.Name)
		if len(user.of.Spec.Upstreams) > 1 {
			write("/%s", user.upstream)
		}
		write("\n")
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
