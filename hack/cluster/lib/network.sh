# shellcheck shell=bash disable=SC2034 # BRIDGE_IS_NEW is used in up.sh.
# The bridge that the pods hang on, the route to the Services and the rules that keep both inside the machine.

# network_up makes what is missing. It sets BRIDGE_IS_NEW, because pods that ran before have then lost their link.
network_up() {
  BRIDGE_IS_NEW=
  if ! ip link show "$BRIDGE" &>/dev/null; then
    refuse_taken_ranges
    ip link add "$BRIDGE" address 0a:58:0a:f4:00:01 type bridge
    BRIDGE_IS_NEW=yes
  fi
  # Bridged packets pass the rules too, so that the answer of a Service's pod on the same bridge finds its way back.
  [[ -d /proc/sys/net/bridge ]] || modprobe br_netfilter || die "the kernel module br_netfilter is missing"
  ip link set "$BRIDGE" type bridge nf_call_iptables 1
  ip link set "$BRIDGE" up
  ip address replace "$NODE_IP/${POD_CIDR#*/}" dev "$BRIDGE"
  nft_table
  ip route replace "$SERVICE_CIDR" dev "$BRIDGE"
  # Forwarding for what comes from the bridge only; the machine's own setting stays as it is.
  printf 1 >"/proc/sys/net/ipv4/conf/$BRIDGE/forwarding"
}

nft_table() {
  render nftables.conf "$ETC/nftables.conf"
  nft -f "$ETC/nftables.conf"
}

# refuse_taken_ranges ends the command if the machine already routes our addresses somewhere else.
refuse_taken_ranges() {
  local range taken
  for range in "$POD_CIDR" "$SERVICE_CIDR"; do
    taken="$(ip -4 route show root "$range")"
    [[ -z $taken ]] || die "this machine already uses $range: $taken"
  done
}

network_down() {
  local link
  for link in $(ip -o link show master "$BRIDGE" 2>/dev/null | sed -E 's/^[0-9]+: ([^@:]+).*/\1/'); do
    # That of a container that was killed just now may be on its way out by itself.
    ip link delete "$link" 2>/dev/null || ! ip link show "$link" &>/dev/null || die "the network link $link cannot be deleted"
  done
  # The route to the Services goes with the bridge.
  ! ip link show "$BRIDGE" &>/dev/null || ip link delete "$BRIDGE"
  local table
  for table in "inet modelroute" "ip kube-proxy" "ip6 kube-proxy"; do
    # shellcheck disable=SC2086 # A family and a name, two words.
    ! nft list table $table &>/dev/null || nft delete table $table
  done
}
