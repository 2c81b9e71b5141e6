// Package crd has the CRDs as they are generated, for programs that check manifests where there is no API server.
package crd

import "embed"

// Bases are the manifests of the CRDs, in bases.
//
//go:embed bases/*.yaml
var Bases embed.FS
