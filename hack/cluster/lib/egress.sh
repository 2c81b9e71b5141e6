# shellcheck shell=bash
# The one host outside of the machine that pods may reach: CoreDNS gives its name the node's address, and the component egress
# passes on to it what comes in there. CLUSTER_EGRESS names it anew at each `up`.

# check_egress ends the command if what CLUSTER_EGRESS says is not the name of a host.
check_egress() {
  local label='[a-z0-9]([-a-z0-9]*[a-z0-9])?'
  [[ -z $EGRESS_HOST || $EGRESS_HOST =~ ^$label(\.$label)*\.[a-z]([-a-z0-9]*[a-z0-9])?$ ]] ||
    die "CLUSTER_EGRESS=$EGRESS_HOST is not the name of one host in lower case, such as openrouter.ai"
}

# render_egress writes what CoreDNS answers for the host: nothing where there is none.
render_egress() {
  if [[ -n $EGRESS_HOST ]]; then
    render egress.Corefile "$ETC/coredns.egress"
  else
    : >"$ETC/coredns.egress"
  fi
}

# wanted NAME tells whether a component belongs to the cluster, by what the last `up` was told.
wanted() { [[ $1 != egress || -s $ETC/coredns.egress ]]; }
