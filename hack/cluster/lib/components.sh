# shellcheck shell=bash disable=SC2034,SC2054 # COMMAND and ENVIRONMENT are used in processes.sh; commas belong to some of the flags.
# For each component its command line (in COMMAND), what it needs in its environment (in ENVIRONMENT), and a probe that succeeds
# once it does its work.

ask() { curl --noproxy '*' -fsS --max-time 2 "$@"; }

command_containerd() {
  COMMAND=(/usr/bin/containerd --config "$ETC/containerd.toml")
}
probe_containerd() { ctr --address "$RUN/containerd.sock" --connect-timeout 2s version; }

# Sockets instead of ports: nobody but root reaches etcd, and nothing on the machine can be in the way.
command_etcd() {
  COMMAND=("$BIN/etcd" --name "$NODE" --data-dir "$STATE/etcd" --unsafe-no-fsync
    --listen-client-urls "unix://$RUN/etcd.sock" --advertise-client-urls "unix://$RUN/etcd.sock"
    --listen-peer-urls "unix://$RUN/etcd-peer.sock" --initial-advertise-peer-urls "unix://$RUN/etcd-peer.sock"
    --initial-cluster "$NODE=unix://$RUN/etcd-peer.sock")
}
probe_etcd() { ask --unix-socket "$RUN/etcd.sock" http://etcd/health; }

# It listens on the bridge alone: from outside of the machine there is no way to it.
command_kube_apiserver() {
  COMMAND=("$BIN/kube-apiserver" --etcd-servers="unix://$RUN/etcd.sock"
    --bind-address="$NODE_IP" --secure-port=6443 --advertise-address="$NODE_IP" --service-cluster-ip-range="$SERVICE_CIDR"
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/kube-apiserver.crt" --tls-private-key-file="$PKI/kube-apiserver.key"
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
    --service-account-issuer=https://kubernetes.default.svc.cluster.local
    --service-account-key-file="$PKI/service-accounts.key" --service-account-signing-key-file="$PKI/service-accounts.key"
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-client-certificate="$PKI/kubelet-client.crt"
    --kubelet-client-key="$PKI/kubelet-client.key" --kubelet-preferred-address-types=InternalIP)
}
probe_kube_apiserver() {
  ask --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://$NODE_IP:6443/readyz"
}

command_kube_controller_manager() {
  COMMAND=("$BIN/kube-controller-manager" --kubeconfig="$ETC/kube-controller-manager.kubeconfig" --bind-address=127.0.0.1
    --leader-elect=false --use-service-account-credentials --root-ca-file="$PKI/ca.crt"
    --service-account-private-key-file="$PKI/service-accounts.key"
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" --cert-dir="$PKI/self-signed")
}
probe_kube_controller_manager() { ask --insecure https://127.0.0.1:10257/healthz; }

command_kube_scheduler() {
  COMMAND=("$BIN/kube-scheduler" --kubeconfig="$ETC/kube-scheduler.kubeconfig" --bind-address=127.0.0.1
    --leader-elect=false --cert-dir="$PKI/self-signed")
}
probe_kube_scheduler() { ask --insecure https://127.0.0.1:10259/healthz; }

command_kubelet() {
  COMMAND=("$BIN/kubelet" --config="$ETC/kubelet.yaml" --kubeconfig="$ETC/kubelet.kubeconfig" --hostname-override="$NODE"
    --node-ip="$NODE_IP" --root-dir="$RUN/kubelet" --cert-dir="$PKI/self-signed")
}
probe_kubelet() { ask http://127.0.0.1:10248/healthz; }

command_kube_proxy() {
  COMMAND=("$BIN/kube-proxy" --config="$ETC/kube-proxy.yaml")
}
probe_kube_proxy() { ask http://127.0.0.1:10256/healthz; }

command_coredns() {
  COMMAND=("$BIN/coredns" -conf "$ETC/coredns.Corefile")
}
probe_coredns() { (exec 3<>"/dev/tcp/$NODE_IP/53"); }

# Only this component leaves the machine, so only it is told of a proxy; by its environment, because the URL may hold a password.
command_egress() {
  COMMAND=("$BIN/egress" -listen "$NODE_IP:443" -target "$EGRESS_HOST:443")
  ENVIRONMENT=("HTTPS_PROXY=${HTTPS_PROXY:-${https_proxy:-}}" "NO_PROXY=$NO_PROXY")
}
probe_egress() { (exec 3<>"/dev/tcp/$NODE_IP/443"); }
