#!/usr/bin/env bash
# Writes what installs a release into dist/: install.yaml, install-postgresql.yaml and the chart. The same tree gives the same bytes.
# Set by the Makefile or whoever calls: DIST (another folder), RELEASE (a version such as v1.2.3; default the one that config/default installs), RELEASE_REPOSITORY (of the image), BIN.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DIST="${DIST:-dist}"
REPOSITORY=ghcr.io/modelroute/modelroute
BIN="${BIN:-bin}"
default="$(sed -n 's/^ *newTag: //p' config/default/kustomization.yaml)"
release="${RELEASE:-$default}"
repository="${RELEASE_REPOSITORY:-$REPOSITORY}"

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Helm wants a semantic version, and the image and the chart have the same one.
[[ $release =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "RELEASE is \"$release\": a version such as v1.2.3 or v1.2.3-rc.1"
[[ $repository =~ ^[a-z0-9][a-zA-Z0-9./:_-]*$ ]] || die "RELEASE_REPOSITORY is \"$repository\": a name such as registry.example/modelroute"

# manifests FOLDER prints what kustomize makes of the folder, with the release's image.
manifests() {
  local built
  built="$("$BIN/kustomize" build "$1")"
  grep --quiet --fixed-strings "image: $REPOSITORY:$default" <<<"$built" || die "$1 has no image $REPOSITORY:$default"
  printf '%s\n' "${built//"image: $REPOSITORY:$default"/"image: $repository:$release"}"
}

# chart packs the chart as `helm package` does, but with no time of packing in it, and in the order of names.
chart() {
  local copy
  copy="$(mktemp -d)"
  cp -R charts/modelroute "$copy"
  sed -i "s#^version: .*#version: ${release#v}#; s#^appVersion: .*#appVersion: $release#" "$copy/modelroute/Chart.yaml"
  sed -i "s#^  repository: .*#  repository: $repository#" "$copy/modelroute/values.yaml"
  tar --create --directory "$copy" --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --format=ustar modelroute | gzip --no-name --best >"$DIST/modelroute-${release#v}.tgz"
  rm -rf "$copy"
}

mkdir -p "$DIST"
rm -f "$DIST"/install*.yaml "$DIST"/modelroute-*.tgz
manifests config/default >"$DIST/install.yaml"
manifests config/postgresql >"$DIST/install-postgresql.yaml"
chart
printf '==> %s: install.yaml, install-postgresql.yaml, modelroute-%s.tgz with the image %s:%s\n' "$DIST" "${release#v}" "$repository" "$release" >&2
