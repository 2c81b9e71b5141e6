# shellcheck shell=bash
# Builds the components from their Go modules; needs Go and nothing else.

KUBE_NAMES=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

# fingerprint changes with everything that the binaries are made of.
fingerprint() {
  (cd "$SOURCE" && go env GOVERSION GOARCH && declare -f build_one && cat go.mod go.sum cmd/*/*.go) | sha256sum | cut -d' ' -f1
}

# binaries_are_current tells whether there is nothing to build.
binaries_are_current() { [[ -f $BIN/.fingerprint && "$(<"$BIN/.fingerprint")" == "$(fingerprint)" ]]; }

# build_binaries builds what is missing or old; the caller holds the lock.
build_binaries() {
  command -v go >/dev/null || die "go is not in PATH; install Go 1.26 or newer (sudo forgets PATH: sudo env \"PATH=\$PATH\" ...)"
  ! binaries_are_current || return 0
  local version name
  mkdir -p "$BIN"
  rm -f "$BIN/.fingerprint"
  say "building Kubernetes and CoreDNS into $BIN (6 to 8 minutes when the build cache is empty)"
  version="$(cd "$SOURCE" && GOWORK=off go list -m -f '{{.Version}}' k8s.io/kubernetes)"
  build_one kube "-X k8s.io/component-base/version.gitVersion=$version"
  build_one coredns
  build_one pause
  build_one egress
  for name in "${KUBE_NAMES[@]}"; do
    ln -sfn kube "$BIN/$name"
  done
  fingerprint >"$BIN/.fingerprint"
  hand_over "$BIN" "$BIN"/* "$BIN/.fingerprint"
}

# build_one NAME [LDFLAGS] builds ./cmd/NAME and moves it into place in one step, so that a running component is not disturbed.
# Builds are reproducible: where nothing came out differently, nothing is touched and `up` has nothing to restart.
build_one() {
  local target="$BIN/.$1.new"
  (cd "$SOURCE" && GOWORK=off GOFLAGS=-buildvcs=false CGO_ENABLED=0 \
    go build -trimpath -ldflags "-s -w ${2:-}" -o "$target" "./cmd/$1")
  if cmp --silent "$target" "$BIN/$1"; then
    rm "$target"
  else
    mv "$target" "$BIN/$1"
  fi
}
