# shellcheck shell=bash
# Builds the components from their Go modules; needs Go and nothing else.

KUBE_NAMES=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

# fingerprint changes with everything that the binaries are made of.
fingerprint() {
  (cd "$SOURCE" && go env GOVERSION GOARCH && cat go.mod go.sum cmd/*/*.go lib/binaries.sh) | sha256sum | cut -d' ' -f1
}

build_binaries() {
  command -v go >/dev/null || die "go is not in PATH; install Go 1.26 or newer (and keep PATH when using sudo)"
  local want stamp="$BIN/.fingerprint" name
  want="$(fingerprint)"
  if [[ -f $stamp && "$(<"$stamp")" == "$want" ]]; then
    return
  fi
  mkdir -p "$BIN"
  rm -f "$stamp"
  say "building Kubernetes and CoreDNS into $BIN (6 to 8 minutes when the build cache is empty)"
  local version
  version="$(cd "$SOURCE" && GOWORK=off go list -m -f '{{.Version}}' k8s.io/kubernetes)"
  build_one kube "-X k8s.io/component-base/version.gitVersion=$version"
  build_one coredns
  build_one pause
  for name in "${KUBE_NAMES[@]}"; do
    ln -sfn kube "$BIN/$name"
  done
  printf '%s\n' "$want" >"$stamp"
}

# build_one NAME [LDFLAGS] builds ./cmd/NAME and moves it into place in one step, so that a running component is not disturbed.
build_one() {
  local target="$BIN/.$1.new"
  (cd "$SOURCE" && GOWORK=off GOFLAGS=-buildvcs=false CGO_ENABLED=0 \
    go build -trimpath -ldflags "-s -w ${2:-}" -o "$target" "./cmd/$1")
  mv "$target" "$BIN/$1"
}
