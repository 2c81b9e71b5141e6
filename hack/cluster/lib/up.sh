# shellcheck shell=bash
# Brings the cluster up, or back up: every step makes only what is missing.

cluster_up() {
  local began="$SECONDS"
  check_egress
  mkdir -p "$LOGS" "$RUN" "$STATE/pv/ledger"
  chmod 700 "$RUN"
  install_packages
  build_binaries
  take_machine
  make_pki
  render_all
  save_sysctls
  mount_kubelet_root
  network_up
  start_components
  admin apply --server-side --force-conflicts --filename "$ETC/cluster.yaml" >/dev/null
  reopen_volumes
  admin wait --for=condition=Ready "node/$NODE" --timeout=120s >/dev/null || die "the node does not become ready; see $LOGS/kubelet.log"
  say "the cluster is up ($((SECONDS - began)) s); export KUBECONFIG=$ADMIN_KUBECONFIG"
}

# take_machine refuses to start beside another checkout's cluster, and clears away one that is dead.
take_machine() {
  local other=""
  [[ ! -f $OWNER ]] || other="$(<"$OWNER")"
  if [[ -n $other && $other != "$STATE" ]]; then
    [[ -z $(marked_processes "$other") ]] ||
      die "the cluster of $other is up, and one fits on a machine; \"hack/cluster/cluster down\" takes it down, from any checkout"
    say "clearing away what is left of the cluster of $other"
    local mine="$STATE"
    use_state "$other"
    clear_machine
    use_state "$mine"
    mkdir -p "$RUN"
    chmod 700 "$RUN"
  fi
  printf '%s\n' "$STATE" >"$OWNER"
}

render_all() {
  render containerd.toml "$ETC/containerd.toml"
  render modelroute.conflist "$ETC/cni/modelroute.conflist"
  render kubelet.yaml "$ETC/kubelet.yaml"
  render kube-proxy.yaml "$ETC/kube-proxy.yaml"
  render Corefile "$ETC/coredns.Corefile"
  render_egress
  render cluster.yaml "$ETC/cluster.yaml"
}

# Settings of the kernel that the kubelet changes for its own good; `down` puts them back.
SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

save_sysctls() {
  [[ -f $RUN/sysctls ]] || sysctl "${SYSCTLS[@]}" >"$RUN/sysctls"
}

# mount_kubelet_root gives the kubelet's directory a short name, because it makes sockets in there. It is a mount and not a
# symbolic link, because the kubelet compares its paths with those in the table of mounts, and it is on the disk and not in
# /run itself, so that an emptyDir is as durable and as slow as elsewhere.
mount_kubelet_root() {
  mkdir -p "$STATE/kubelet" "$RUN/kubelet"
  mountpoint --quiet "$RUN/kubelet" && return
  mount --bind "$STATE/kubelet" "$RUN/kubelet"
  # Its own peer group: what the kubelet mounts below it does not show up a second time in the checkout.
  mount --make-private "$RUN/kubelet"
  mount --make-shared "$RUN/kubelet"
}

start_components() {
  start containerd
  start etcd
  await containerd
  [[ -z $BRIDGE_IS_NEW ]] || kill_containers
  await etcd
  start kube-apiserver
  ensure_pause_image
  await kube-apiserver
  local name
  for name in "${COMPONENTS[@]:3}"; do
    if wanted "$name"; then
      start "$name"
    else
      stop "$name"
    fi
  done
  for name in "${COMPONENTS[@]:3}"; do
    ! wanted "$name" || await "$name"
  done
}

# reopen_volumes lets a volume whose claim is gone be claimed again, with the data that is in it.
reopen_volumes() {
  local volume
  for volume in $(admin get persistentvolumes --selector modelroute.dev/local-cluster \
    --output jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}'); do
    admin patch persistentvolume "$volume" --type merge --patch '{"spec": {"claimRef": null}}' >/dev/null
    say "volume $volume is open again, with its data"
  done
}
