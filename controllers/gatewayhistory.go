package controllers

import "k8s.io/apimachinery/pkg/types"

// maxVersions is how many versions of a gateway's configuration are remembered: as many as there are between two heartbeats of a proxy that
// is well, many times over.
const maxVersions = 256

// gatewayHistory knows which routes the latest versions of a gateway's configuration had, and how: a proxy says only which version it
// serves.
type gatewayHistory struct {
	// sequence counts the versions, and versions has the number of each by its hash; the oldest are forgotten.
	sequence int64
	versions map[string]int64
	latest   string
	// routes are those of the latest version.
	routes map[types.NamespacedName]routeSince
}

// routeSince is how a route is in all versions since one.
type routeSince struct {
	hash  string
	since int64
}

// note adds a version, with the hashes of its routes.
func (h *gatewayHistory) note(version string, routes map[types.NamespacedName]string) {
	if h.versions == nil {
		h.versions = map[string]int64{}
	}
	if h.latest != version {
		h.sequence++
		h.latest, h.versions[version] = version, h.sequence
	}
	now := make(map[types.NamespacedName]routeSince, len(routes))
	for route, hash := range routes {
		before := h.routes[route]
		if before.hash != hash {
			before = routeSince{hash: hash, since: h.sequence}
		}
		now[route] = before
	}
	h.routes = now
	for old, sequence := range h.versions {
		if sequence <= h.sequence-maxVersions {
			delete(h.versions, old)
		}
	}
}

// serves reports whether a version has a route as the latest one has it.
func (h *gatewayHistory) serves(version string, route types.NamespacedName) bool {
	its, is := h.routes[route]
	sequence, known := h.versions[version]
	return is && known && sequence >= its.since
}
