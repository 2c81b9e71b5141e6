# shellcheck shell=bash disable=SC2034 # The other files use these variables.
# Paths, addresses and the small things that every other file uses.

SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
STATE="$(cd "$SOURCE/../.." && pwd -P)/.cluster"
BIN="$STATE/bin"

# Unix sockets may have at most 108 bytes in their path and a checkout can be deep, so what has sockets lives here.
RUN=/run/modelroute
# One cluster fits on a machine: names the state directory of the one whose traces are on it.
OWNER="$RUN/owner"

NODE=modelroute
BRIDGE=modelroute0
NODE_IP=10.244.0.1
POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
PAUSE_IMAGE=localhost/modelroute-pause:v1
# The one host outside of the machine that pods may reach, if any.
EGRESS_HOST="${CLUSTER_EGRESS:-}"

# The order in which the components depend on each other; egress is the only one that is not always wanted.
COMPONENTS=(containerd etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns egress)

# What is on this machine is never behind a proxy.
export NO_PROXY="${NO_PROXY:+$NO_PROXY,}$NODE_IP,127.0.0.1" no_proxy="${no_proxy:+$no_proxy,}$NODE_IP,127.0.0.1"

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

# use_state DIR points every path at one checkout's state.
use_state() {
  STATE="$1"
  BIN="$STATE/bin"
  ETC="$STATE/etc"
  PKI="$STATE/pki"
  LOGS="$STATE/logs"
  ADMIN_KUBECONFIG="$STATE/kubeconfig"
}
use_state "$STATE"

need_root() {
  ((EUID == 0)) || die "this needs root: sudo env \"PATH=\$PATH\" hack/cluster/cluster ..."
}

# hand_over gives files to the person behind sudo, who is to build without it and to read the kubeconfig.
hand_over() { [[ -z ${SUDO_UID:-} ]] || chown --no-dereference "$SUDO_UID:${SUDO_GID:?}" "$@"; }

# lock makes two commands on the same checkout wait for each other; the lock ends with this process.
lock() {
  mkdir -p "$STATE"
  exec {LOCK_FD}>"$STATE/lock"
  hand_over "$STATE" "$STATE/lock"
  flock --timeout 1800 "$LOCK_FD" || die "another command has held $STATE/lock for half an hour"
}

# admin runs kubectl as the administrator of the local cluster.
admin() { "$BIN/kubectl" --kubeconfig "$ADMIN_KUBECONFIG" "$@"; }

# render TEMPLATE TARGET fills in the @NAMES@ of a template; a target that is already right keeps its time.
render() {
  local text name script=()
  for name in STATE RUN ETC PKI NODE NODE_IP BRIDGE POD_CIDR SERVICE_CIDR PAUSE_IMAGE EGRESS_HOST; do
    script+=(-e "s|@$name@|${!name}|g")
  done
  text="$(sed "${script[@]}" "$SOURCE/config/$1")"
  if [[ ! -f $2 || "$(<"$2")" != "$text" ]]; then
    mkdir -p "$(dirname "$2")"
    printf '%s\n' "$text" >"$2"
  fi
}

# uses_other_cluster tells whether the caller has chosen a cluster of their own.
uses_other_cluster() {
  [[ -n ${KUBECONFIG:-} && $(realpath -m -- "$KUBECONFIG") != $(realpath -m -- "$ADMIN_KUBECONFIG") ]]
}
