#!/usr/bin/env bash
# Builds the images and brings them into the cluster. An image is `modelroute` (the programs of the product), `upstream`, or `previous`: the programs of
# the tree that hack/previous.sh puts into bin/previous.
#
#   hack/image.sh build IMAGE...   build what has changed
#   hack/image.sh load IMAGE...    load what the cluster does not have
#   hack/image.sh ref IMAGE        print the full name of what was built
#   hack/image.sh pin IMAGE        copy manifests from input to output, with the full name in place of the one that they come with
#
# An image under localhost/ gets the hash of its content into its tag, so that a changed program is rolled out and an unchanged one is not.
# Set by the Makefile: IMG, UPSTREAM_IMG, VERSION, KUBECONFIG. BASE chooses the base image: scratch for the local cluster, else distroless.
set -euo pipefail

# shellcheck source=hack/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

OUT=bin/image
IMG="${IMG:-localhost/modelroute:dev}"
UPSTREAM_IMG="${UPSTREAM_IMG:-localhost/modelroute-upstream:dev}"
VERSION="${VERSION:-unknown}"

# settings IMAGE sets name, source, packages and manifested, which is what the manifests in the repository call it.
settings() {
  source=.
  case "$1" in
    modelroute | previous)
      name="$IMG"
      [[ $1 == modelroute ]] || name=localhost/modelroute-previous:dev source=bin/previous
      packages=(./cmd/manager ./cmd/ledger ./cmd/proxy)
      [[ ! -d $source/cmd/portal ]] || packages+=(./cmd/portal) # An earlier commit may not have it.
      manifested='ghcr\.io/modelroute/modelroute:[A-Za-z0-9._-]+'
      ;;
    upstream)
      name="$UPSTREAM_IMG"
      packages=(./hack/upstream)
      manifested='localhost/modelroute-upstream:dev'
      ;;
    *) die "there is no image \"$1\"" ;;
  esac
}

# Docker where it runs and the cluster is your own; buildah, which needs no daemon, everywhere else.
use_docker() {
  ! is_local_cluster && command -v docker >/dev/null && docker info &>/dev/null
}

buildah_vfs() { buildah --storage-driver vfs "$@"; }

has_image() {
  if use_docker; then docker image inspect "$1" &>/dev/null; else buildah_vfs inspect --type image "$1" &>/dev/null; fi
}

remove_image() {
  if use_docker; then docker image rm "$1" &>/dev/null; else buildah_vfs rmi "$1" &>/dev/null; fi || true
}

# make_image NAME BASE PROGRAMS
make_image() {
  local args=(--build-arg BASE="$2" --build-arg PROGRAMS="$3" --tag "$1" --file Dockerfile .)
  if use_docker; then
    docker build --quiet "${args[@]}" >/dev/null
  else
    hack/ensure.sh buildah:buildah
    buildah_vfs bud --quiet --isolation chroot "${args[@]}" >/dev/null
  fi || die "building $1 on $2 failed; with BASE=scratch nothing has to be pulled"
}

# reference NAME BASE PROGRAMS prints the full name: with the hash of the content where the name is under localhost/.
reference() {
  local hash=""
  [[ $1 != localhost/* ]] || hash="-$({ printf '%s\n' "$2" && cat Dockerfile "$3"/*; } | sha256sum | head -c 12)"
  printf '%s%s\n' "$1" "$hash"
}

build() {
  local base=gcr.io/distroless/static:nonroot name source packages manifested programs want have
  ! is_local_cluster || base=scratch
  base="${BASE:-$base}"
  settings "$1"
  programs="$OUT/$1/programs"
  mkdir -p "$programs"
  CGO_ENABLED=0 GOOS=linux go -C "$source" build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o "$ROOT/$programs/" "${packages[@]}"
  want="$(reference "$name" "$base" "$programs")"
  have="$(cat "$OUT/$1/ref" 2>/dev/null || true)"
  if [[ $want == localhost/* && $want == "$have" ]] && has_image "$want"; then
    say "$want is up to date"
    return
  fi
  make_image "$want" "$base" "$programs"
  printf '%s\n' "$want" >"$OUT/$1/ref"
  [[ -z $have || $have == "$want" || $have != localhost/* ]] || remove_image "$have"
  say "built $want"
}

ref() {
  cat "$OUT/$1/ref" 2>/dev/null || die "the image $1 is not built yet: make image"
}

pin() {
  local image manifests name source packages manifested
  image="$(ref "$1")"
  settings "$1"
  manifests="$(cat)"
  grep --quiet --extended-regexp "$manifested" <<<"$manifests" || die "no manifest names the image $1, as $manifested"
  sed --regexp-extended "s#$manifested#$image#g" <<<"$manifests"
}

# on_all_nodes NAME tells whether every node reports the image. A node reports at most its fifty largest, so "no" costs a load and nothing else.
on_all_nodes() {
  local nodes
  nodes="$(kubectl get nodes --output jsonpath='{range .items[*]}{.status.images[*].names}{"\n"}{end}')"
  [[ -n $nodes ]] && ! grep --quiet --invert-match --fixed-strings "\"$1\"" <<<"$nodes"
}

load() {
  local image
  image="$(ref "$1")"
  if [[ $image != localhost/* ]]; then
    say "$image is for the cluster to pull: push it first"
  elif on_all_nodes "$image"; then
    say "the cluster has $image"
  elif use_docker; then
    docker save --output "$OUT/$1/image.tar" "$image"
    hack/cluster/cluster load "$OUT/$1/image.tar"
    rm -f "$OUT/$1/image.tar"
  else
    hack/cluster/cluster load "$image"
  fi
}

main() {
  local command="${1:-}"
  [[ $command =~ ^(build|load|ref|pin)$ && $# -ge 2 ]] || die "usage: hack/image.sh build|load|ref|pin IMAGE..."
  shift
  # Two runs at once would take each other's images away.
  mkdir -p "$OUT"
  exec {lock}>"$OUT/lock"
  [[ $command != build ]] || flock "$lock"
  local image
  for image in "$@"; do
    "$command" "$image"
  done
}

main "$@"
