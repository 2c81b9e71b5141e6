#!/usr/bin/env bash
# Puts the tree of an earlier commit into bin/previous and its image into the cluster, for the test that upgrades from there: hack/previous.sh COMMIT
# Set by the Makefile: VERSION, KUBECONFIG.
set -euo pipefail

# shellcheck source=hack/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

TREE=bin/previous

# take COMMIT fills the folder with the commit's files, and sets VERSION to what its programs are to report.
take() {
  VERSION="$(git describe --tags --always "$1")" || return
  git archive "$1" | tar --extract --directory "$TREE"
  say "the upgrade begins at $VERSION: $(git log -1 --format=%s "$1")"
}

# take_this_tree is for where there is no earlier commit: what is tested then is that another image of the same programs is rolled out.
take_this_tree() {
  VERSION="${VERSION:-unknown}-before"
  tar --create --exclude=./.git --exclude=./bin --exclude=./dist --exclude=./.cluster --exclude=node_modules . | tar --extract --directory "$TREE"
  cat >&2 <<TEXT

!!! There is no commit $1 here, as in a shallow clone. The upgrade that is tested is from this tree to this tree: it does not show
!!! whether an older install can be upgraded. To have that tested: git fetch --deepen=1

TEXT
}

main() {
  [[ $# == 1 ]] || die "usage: hack/previous.sh COMMIT"
  rm -rf "$TREE"
  mkdir -p "$TREE"
  take "$1" || take_this_tree "$1"
  export VERSION
  hack/image.sh build previous
  hack/image.sh load previous
}

main "$@"
