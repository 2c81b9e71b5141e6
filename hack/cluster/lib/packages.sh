# shellcheck shell=bash
# The programs of the distribution that the cluster is made of.

# A program (or file) and the Debian package that has it.
PROGRAMS=(
  containerd:containerd
  ctr:containerd
  runc:runc
  /usr/lib/cni/bridge:containernetworking-plugins
  nft:nftables
  ip:iproute2
  buildah:buildah
  openssl:openssl
  curl:curl
)

# missing_packages prints the packages whose program is not there.
missing_packages() {
  local entry
  for entry in "${PROGRAMS[@]}"; do
    command -v "${entry%%:*}" >/dev/null || printf '%s\n' "${entry##*:}"
  done | sort -u
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "please install what is missing here: ${missing[*]}"
  say "installing ${missing[*]}"
  local log="$LOGS/apt.log"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update >"$log" 2>&1 || die "apt-get update failed; see $log"
  apt-get install --yes --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || die "apt-get install failed; see $log"
  if [[ " ${missing[*]} " == *" containerd "* ]]; then
    stop_packaged_containerd
  fi
}

# stop_packaged_containerd ends the service that the package starts where there is systemd: this cluster runs a containerd of its own.
stop_packaged_containerd() {
  if [[ -d /run/systemd/system ]]; then
    systemctl disable --now --quiet containerd.service
  fi
}
