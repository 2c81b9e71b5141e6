# shellcheck shell=bash
# Says how the cluster is.

# status_local prints each component and the node, and fails unless all are well.
status_local() {
  need_root
  local name state result=0
  for name in "${COMPONENTS[@]}"; do
    wanted "$name" || continue
    state=up
    if [[ -z $(pid_of "$name") ]]; then
      state=down
    elif ! probe_within "$name" 3; then
      state="does not answer"
    fi
    [[ $state == up ]] || result=1
    printf '%-24s %s\n' "$name" "$state"
  done
  if node_ready; then
    printf '%-24s %s\n' "node $NODE" ready
  else
    printf '%-24s %s\n' "node $NODE" "not ready"
    result=1
  fi
  return "$result"
}

node_ready() {
  [[ -x $BIN/kubectl && -f $ADMIN_KUBECONFIG ]] && probe_kube_apiserver &>/dev/null &&
    admin wait --for=condition=Ready "node/$NODE" --timeout=1s &>/dev/null
}

# status_other shows the nodes of the cluster that KUBECONFIG names, and fails unless all are ready.
status_other() {
  printf 'KUBECONFIG=%s (context %s)\n' "$KUBECONFIG" "$(other_kubectl config current-context)"
  other_kubectl get nodes --request-timeout=10s
  other_kubectl wait --for=condition=Ready nodes --all --timeout=5s >/dev/null
}
