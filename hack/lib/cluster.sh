# shellcheck shell=bash
# What the scripts that work on the cluster share. Sourced, from anywhere.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
cd "$ROOT" || exit
# The cluster to work on: the local one, unless the caller names one.
export KUBECONFIG="${KUBECONFIG:-$ROOT/.cluster/kubeconfig}"
# kubectl is the one that was built for the local cluster; where that was never built, the caller's own.
PATH="$ROOT/.cluster/bin:$PATH"

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# is_local_cluster tells whether the cluster is the one that hack/cluster makes.
is_local_cluster() { [[ $(realpath -m -- "$KUBECONFIG") == "$ROOT/.cluster/kubeconfig" ]]; }
