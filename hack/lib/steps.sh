# shellcheck shell=bash
# For the scripts that people watch: steps with the time that each took. Sourced, from the root of the repository.

if [[ -z ${KUBECONFIG:-} ]]; then
  export KUBECONFIG=$PWD/.cluster/kubeconfig
  export PATH=$PWD/.cluster/bin:$PATH
fi

die() {
  echo "error: $*" >&2
  exit 1
}

# step TITLE COMMAND… runs the command under its title and says how long it took.
step() {
  local title=$1 began=$EPOCHREALTIME ended
  shift
  printf '\n=== %s\n' "$title"
  "$@"
  ended=$EPOCHREALTIME
  awk -v began="$began" -v ended="$ended" 'BEGIN { printf "--- %.1f s\n", ended - began }'
}
