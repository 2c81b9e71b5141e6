# shellcheck shell=bash
# Takes the cluster down and leaves nothing of it on the machine but the binaries.

cluster_down() {
  # One cluster fits on a machine, so the one that is on it is meant, whichever checkout it belongs to.
  if [[ -f $OWNER ]]; then
    use_state "$(<"$OWNER")"
  fi
  say "taking down the cluster of $STATE"
  clear_machine
  [[ ! -d $STATE ]] || find "$STATE" -mindepth 1 -maxdepth 1 ! -name bin ! -name lock -exec rm -rf --one-file-system -- {} +
}

# clear_machine ends every process and removes every trace outside of the state directory.
clear_machine() {
  local index
  # The other way round than they were started: first those that would bring containers back. containerd is last.
  for ((index = ${#COMPONENTS[@]} - 1; index > 0; index--)); do
    stop "${COMPONENTS[index]}"
  done
  kill_containers
  stop containerd
  kill_rest
  remove_shim_sockets
  unmount_all
  network_down
  restore_sysctls
  remove_cgroups
  remove_traces
  rm -rf --one-file-system -- "$RUN"
}

# kill_containers asks runc, which knows the containers also when containerd is dead.
kill_containers() {
  [[ -d $RUN/runc/k8s.io ]] || return 0
  local container
  for container in $(runc --root "$RUN/runc/k8s.io" list --quiet); do
    runc --root "$RUN/runc/k8s.io" delete --force "$container" || true
  done
}

# kill_rest ends what is left of our processes, such as the containers' shims, which do not listen to a polite request.
kill_rest() {
  local rest
  mapfile -t rest < <(marked_processes "$STATE")
  ((${#rest[@]})) || return 0
  kill -KILL "${rest[@]}" 2>/dev/null || true
  gone_within 10 "${rest[@]}" || die "these processes cannot be killed: ${rest[*]}"
}

# remove_shim_sockets removes the sockets of killed shims from the directory that all containerds of a machine share: those to
# which nobody listens.
remove_shim_sockets() {
  local socket
  for socket in /run/containerd/s/*; do
    grep -qF " $socket" /proc/net/unix || rm -f -- "$socket"
  done
  rmdir /run/containerd/s /run/containerd 2>/dev/null || true
}

# unmount_all takes away the mounts of containerd, its shims and the kubelet, the newest first. Deleting state below a mount
# would delete what is mounted, so a mount that stays ends the command.
unmount_all() {
  local target
  while read -r target; do
    umount -- "$target" 2>/dev/null || umount --lazy -- "$target" || die "$target cannot be unmounted"
  done < <(our_mounts | tac)
  [[ -z $(our_mounts) ]] || die "still mounted: $(our_mounts)"
}

our_mounts() {
  local target
  while read -r _ target _; do
    target="$(printf '%b' "${target//\\/\\0}")"
    if [[ $target == "$STATE"/* || $target == "$RUN"/* ]]; then
      printf '%s\n' "$target"
    fi
  done </proc/self/mounts
}

restore_sysctls() {
  [[ ! -f $RUN/sysctls ]] || sysctl --quiet --load "$RUN/sysctls"
}

# remove_cgroups removes the kubelet's tree of cgroups; rmdir spares any that somebody still uses.
remove_cgroups() {
  local tree
  for tree in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
    [[ ! -d $tree ]] || find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

# remove_traces removes what the kubelet and the CNI library write to places that cannot be chosen.
remove_traces() {
  local log result sandbox
  for log in /var/log/containers/*.log; do
    [[ $(readlink -- "$log") != "$LOGS"/* ]] || rm -f -- "$log"
  done
  for result in /var/lib/cni/results/modelroute-*-eth0; do
    sandbox="${result#*/modelroute-}"
    rm -f -- "$result" "/var/lib/cni/results/cni-loopback-${sandbox%-eth0}-lo"
  done
  rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,kubelet_internal_checkpoint,DEPRECATION}
  rmdir /var/log/containers /var/lib/cni/results /var/lib/cni /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
}
