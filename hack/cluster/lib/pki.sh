# shellcheck shell=bash
# Keys, certificates and kubeconfigs. They live as long as the cluster: `down` throws them away.

make_pki() {
  mkdir -p "$PKI" "$ETC"
  chmod 700 "$PKI" "$ETC"
  [[ -f $PKI/ca.crt ]] || make_ca
  [[ -f $PKI/service-accounts.key ]] || new_key "$PKI/service-accounts.key"

  local service=kubernetes.default.svc.cluster.local
  certificate kube-apiserver /CN=kube-apiserver \
    "extendedKeyUsage=serverAuth" \
    "subjectAltName=IP:$NODE_IP,IP:$API_SERVICE_IP,$(printf 'DNS:%s,' kubernetes{,.default,.default.svc})DNS:$service"
  certificate kubelet "/O=system:nodes/CN=system:node:$NODE" "extendedKeyUsage=serverAuth,clientAuth" "subjectAltName=IP:$NODE_IP,DNS:$NODE"
  certificate kubelet-client /CN=kube-apiserver-kubelet-client "extendedKeyUsage=clientAuth"
  certificate admin /O=system:masters/CN=admin "extendedKeyUsage=clientAuth"
  certificate kube-controller-manager /CN=system:kube-controller-manager "extendedKeyUsage=clientAuth"
  certificate kube-scheduler /CN=system:kube-scheduler "extendedKeyUsage=clientAuth"
  certificate kube-proxy /CN=system:kube-proxy "extendedKeyUsage=clientAuth"
  certificate coredns /CN=local-cluster:coredns "extendedKeyUsage=clientAuth"

  local name
  for name in kubelet kube-controller-manager kube-scheduler kube-proxy coredns; do
    kubeconfig "$name" "$ETC/$name.kubeconfig"
  done
  kubeconfig admin "$ADMIN_KUBECONFIG"
  hand_over "$ADMIN_KUBECONFIG"
}

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# request_config is the least that `openssl req` asks of a configuration, so that the machine's own plays no part.
request_config() { printf '[req]\ndistinguished_name = dn\n[dn]\n'; }

make_ca() {
  new_key "$PKI/ca.key"
  openssl req -x509 -new -key "$PKI/ca.key" -days 3650 -subj /CN=modelroute-local-cluster -config <(request_config) \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$PKI/ca.crt"
}

# certificate NAME SUBJECT EXTENSION... makes NAME.key and NAME.crt unless they are there. The certificate comes last, so that
# one that is there is whole.
certificate() {
  local name="$1" subject="$2"
  shift 2
  [[ ! -f $PKI/$name.crt ]] || return 0
  new_key "$PKI/$name.key"
  openssl req -new -key "$PKI/$name.key" -subj "$subject" -config <(request_config) |
    openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -set_serial "0x$(openssl rand -hex 15)" -days 3650 \
      -extfile <(printf '%s\n' "basicConstraints=CA:FALSE" "keyUsage=digitalSignature" "$@") -out "$PKI/$name.new" 2>/dev/null
  mv "$PKI/$name.new" "$PKI/$name.crt"
}

# kubeconfig NAME TARGET writes a kubeconfig that holds NAME's certificate, unless it is there.
kubeconfig() {
  [[ ! -f $2 ]] || return 0
  (
    umask 077
    cat >"$2.new" <<EOF
apiVersion: v1
kind: Config
current-context: modelroute-local
contexts:
- name: modelroute-local
  context: {cluster: modelroute-local, user: $1}
clusters:
- name: modelroute-local
  cluster:
    server: https://$NODE_IP:6443
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$1.crt")
    client-key-data: $(base64 -w0 "$PKI/$1.key")
EOF
  )
  mv "$2.new" "$2"
}
