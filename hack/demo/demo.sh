#!/usr/bin/env bash
# The main job on a real cluster, from a bare machine, step by step. With OPENROUTER_API_KEY set the requests go to the real OpenRouter and cost at
# most about two cents; without it they go to hack/upstream, which speaks the same API.
set -euo pipefail

# shellcheck source=hack/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/cluster.sh"

NAMESPACE=ai-platform
ROUTE=mixtral-8x22b-instruct
PORT=${DEMO_PORT:-18080}
UPSTREAM_PORT=${DEMO_UPSTREAM_PORT:-18081}
WORK=$(mktemp -d)
FORWARDS=()

cleanup() {
  ((${#FORWARDS[@]} == 0)) || kill "${FORWARDS[@]}" 2>/dev/null || true
  rm -rf "$WORK"
}
trap cleanup EXIT

# step TITLE COMMAND... runs a step under its title and says how long it took.
step() {
  local title=$1 began=$EPOCHREALTIME
  shift
  printf '\n=== %s\n' "$title"
  "$@"
  awk -v began="$began" -v ended="$EPOCHREALTIME" 'BEGIN { printf "--- %.1f s\n", ended - began }'
}

# forward NAMESPACE SERVICE PORT makes a Service reachable on 127.0.0.1:PORT, as `kubectl port-forward` would for a person.
forward() {
  kubectl -n "$1" port-forward "service/$2" "$3:80" >"$WORK/forward-$2.log" 2>&1 &
  FORWARDS+=($!)
  for _ in $(seq 100); do
    grep -q "Forwarding from" "$WORK/forward-$2.log" && return
    sleep 0.1
  done
  die "cannot reach service $2: $(cat "$WORK/forward-$2.log")"
}

build_and_load_images() {
  hack/image.sh build modelroute upstream
  hack/image.sh load modelroute upstream
}

apply_route() {
  if [[ -n ${OPENROUTER_API_KEY:-} ]]; then
    kubectl apply --server-side -k config/samples
  else
    kubectl kustomize hack/demo | hack/image.sh pin upstream | kubectl apply --server-side -f -
  fi
  # The key goes in by standard input: arguments can be seen by every process.
  printf %s "${OPENROUTER_API_KEY:-sk-or-demo}" |
    kubectl -n "$NAMESPACE" create secret generic openrouter --from-file=apiKey=/dev/stdin --dry-run=client -o yaml |
    kubectl apply --server-side -f -
  [[ -n ${OPENROUTER_API_KEY:-} ]] || kubectl -n demo-upstream rollout status deployment/openrouter --timeout=120s
  kubectl -n "$NAMESPACE" wait modelroute/"$ROUTE" --for=condition=Ready --timeout=180s
  local consumer
  for consumer in search trial; do
    kubectl -n "$NAMESPACE" wait secret/"$ROUTE-$consumer" --for=create --timeout=60s
  done
}

# key_of CONSUMER prints the API key that the operator made for a consumer.
key_of() {
  kubectl -n "$NAMESPACE" get secret "$ROUTE-$1" -o jsonpath='{.data.OPENAI_API_KEY}' | base64 -d
}

# The model page's own curl; only host and key are changed.
ask_plain() {
  curl -sS --fail-with-body "http://127.0.0.1:$PORT/api/v1/chat/completions" \
    -H "Authorization: Bearer $OPENAI_API_KEY" \
    -H "Content-Type: application/json" \
    -d '{
    "model": "mixtral-8x22b-instruct",
    "messages": [
      { "role": "user", "content": "Explain quantum entanglement in one sentence." }
    ]
  }'
  echo
}

ask_streamed() {
  curl -sSN --fail-with-body "http://127.0.0.1:$PORT/api/v1/chat/completions" \
    -H "Authorization: Bearer $OPENAI_API_KEY" \
    -H "Content-Type: application/json" \
    -d '{
    "model": "mixtral-8x22b-instruct",
    "stream": true,
    "messages": [
      { "role": "user", "content": "Explain quantum entanglement in one sentence." }
    ]
  }' >"$WORK/stream"
  grep '^data: ' "$WORK/stream" >"$WORK/events"
  head -n 2 "$WORK/events"
  echo "... $(($(wc -l <"$WORK/events") - 4)) more events ..."
  tail -n 2 "$WORK/events"
  [[ $(tail -n 1 "$WORK/events") == "data: [DONE]" ]] || die "the stream did not end with [DONE]"
}

# spend_until_denied asks as the consumer `trial`, whose budget is one cent, until it is refused.
spend_until_denied() {
  local asked status
  for asked in $(seq 200); do
    status=$(curl -sS -o "$WORK/answer" -D "$WORK/headers" -w '%{http_code}' "http://127.0.0.1:$PORT/v1/chat/completions" \
      -H "Authorization: Bearer $1" -H "Content-Type: application/json" \
      -d '{"model": "mixtral-8x22b-instruct", "max_completion_tokens": 256,
           "messages": [{"role": "user", "content": "Tell me at length about the history of mathematics."}]}')
    case "$status" in
      200) ;;
      402)
        echo "After $((asked - 1)) answers, request $asked is refused with HTTP 402:"
        grep -i '^x-should-retry' "$WORK/headers"
        cat "$WORK/answer"
        echo
        kubectl -n "$NAMESPACE" wait modelroute/"$ROUTE" --for=condition=WithinBudget=False --timeout=30s
        return
        ;;
      *) die "request $asked got HTTP $status: $(cat "$WORK/answer")" ;;
    esac
  done
  die "200 requests, and the budget of one cent still is not spent"
}

# nano turns USD with up to nine decimals into nano-USD.
nano() {
  local whole=${1%%.*} fraction=000000000
  [[ $1 != *.* ]] || fraction=$(printf '%-9s' "${1#*.}" | tr ' ' 0)
  echo $((10#$whole * 1000000000 + 10#$fraction))
}

spent() {
  local total
  total=$(kubectl -n "$NAMESPACE" get modelroute "$ROUTE" -o jsonpath='{.status.spend.total}')
  nano "${total:-0}"
}

billed() {
  curl -sS "http://127.0.0.1:$UPSTREAM_PORT/billed" | sed -E 's/.*"total_nano_usd": *([0-9]+).*/\1/'
}

# compare_with_upstream waits until the status shows all that was spent, since it is at most 30 seconds old, and puts it beside the upstream's books. Both are
# counted from the beginning of the demo, since a demo may follow another one.
compare_with_upstream() {
  local ours theirs
  theirs=$(($(billed) - BILLED_BEFORE))
  for _ in $(seq 45); do
    ours=$(($(spent) - SPENT_BEFORE))
    ((ours == theirs)) && break
    sleep 1
  done
  printf 'The upstream says that it billed  %d.%09d USD\n' $((theirs / 1000000000)) $((theirs % 1000000000))
  printf 'The status says that we spent     %d.%09d USD\n' $((ours / 1000000000)) $((ours % 1000000000))
  ((ours == theirs)) || die "these two must be equal"
  echo "Equal, to the nano-dollar."
}

go_on() {
  cat <<TEXT

The cluster stays up. To go on by hand:

  export KUBECONFIG=$KUBECONFIG PATH=$ROOT/.cluster/bin:\$PATH
  kubectl get modelroutes -A
  kubectl -n $NAMESPACE port-forward service/$ROUTE $PORT:80 &
  OPENAI_API_KEY=\$(kubectl -n $NAMESPACE get secret $ROUTE-search -o jsonpath='{.data.OPENAI_API_KEY}' | base64 -d)
  curl http://127.0.0.1:$PORT/v1/models -H "Authorization: Bearer \$OPENAI_API_KEY"

  make undeploy       takes ModelRoute out of the cluster and keeps what was spent
  make cluster-down   takes the cluster down
TEXT
}

main() {
  local began=$SECONDS
  hack/ensure.sh curl:curl
  # Pods of the local cluster have no way out of the machine; the real OpenRouter is the one host that they are let through to.
  step "A cluster: a real one-node Kubernetes, unless KUBECONFIG names yours" \
    env CLUSTER_EGRESS="${OPENROUTER_API_KEY:+openrouter.ai}" hack/cluster/cluster up
  step "The images" build_and_load_images
  step "Install ModelRoute" hack/deploy.sh up
  step "Apply the sample route and its upstream's key, wait until it is Ready" apply_route
  forward "$NAMESPACE" "$ROUTE" "$PORT"
  if [[ -z ${OPENROUTER_API_KEY:-} ]]; then
    forward demo-upstream openrouter "$UPSTREAM_PORT"
    BILLED_BEFORE=$(billed)
    SPENT_BEFORE=$(spent)
  fi
  OPENAI_API_KEY=$(key_of search)
  step "The model page's own curl, plain" ask_plain
  step "The same, streamed" ask_streamed
  step "A consumer with a budget of one cent asks until it is denied" spend_until_denied "$(key_of trial)"
  if [[ -z ${OPENROUTER_API_KEY:-} ]]; then
    step "What the upstream billed and what the status shows" compare_with_upstream
  fi
  step "kubectl get modelroutes" kubectl get modelroutes -A
  step "kubectl describe" kubectl -n "$NAMESPACE" describe modelroute "$ROUTE"
  printf '\nDone in %d s.\n' "$((SECONDS - began))"
  go_on
}

main "$@"
