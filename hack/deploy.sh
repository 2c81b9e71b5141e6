#!/usr/bin/env bash
# Installs ModelRoute into the cluster (hack/deploy.sh up [FOLDER [IMAGE]], of config/default and with the image modelroute of hack/image.sh if no others are
# named) or removes it (hack/deploy.sh down).
# Set by the Makefile: IMG, KUBECONFIG.
set -euo pipefail

# shellcheck source=hack/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

NAMESPACE=modelroute-system
# Long enough for a node that has to pull the image.
TIMEOUT=180s

up() {
  local folder="${1:-config/default}" image="${2:-modelroute}" manifests workload
  # The local cluster's volume keeps what was spent, also when its claim is deleted and made again.
  hack/cluster/cluster volumes
  manifests="$(kubectl kustomize "$folder" | hack/image.sh pin "$image")"
  kubectl apply --server-side --force-conflicts --field-manager=modelroute-deploy --filename - <<<"$manifests" >/dev/null
  kubectl wait --for=condition=Established --timeout="$TIMEOUT" --filename "$folder/../crd/bases" >/dev/null
  for workload in $(kubectl --namespace "$NAMESPACE" get deployments,statefulsets --output name); do
    kubectl --namespace "$NAMESPACE" rollout status "$workload" --timeout="$TIMEOUT" || {
      explain "$workload"
      exit 1
    }
  done
  say "ModelRoute runs in $NAMESPACE from $(hack/image.sh ref "$image")"
}

# explain WORKLOAD prints what helps to find out why a rollout does not end.
explain() {
  {
    kubectl --namespace "$NAMESPACE" get pods --output wide
    kubectl --namespace "$NAMESPACE" get events --sort-by=.lastTimestamp | tail -n 20
    kubectl --namespace "$NAMESPACE" logs "$1" --tail=50 --all-containers
  } >&2 || true
}

down() {
  kubectl kustomize config/uninstall | kubectl delete --ignore-not-found --wait --filename -
  # What config/postgresql has instead of the ledger with a volume.
  kubectl --namespace "$NAMESPACE" delete deployments,poddisruptionbudgets --ignore-not-found --selector app.kubernetes.io/name=modelroute-ledger
}

case "${1:-}" in
  up) up "${@:2}" ;;
  down) down ;;
  *) die "usage: hack/deploy.sh up [FOLDER [IMAGE]] | down" ;;
esac
