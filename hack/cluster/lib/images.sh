# shellcheck shell=bash
# Brings images into a cluster, from buildah's storage or from docker-archive files.

buildah_vfs() { buildah --storage-driver vfs "$@"; }
ctr_k8s() { ctr --address "$RUN/containerd.sock" --namespace k8s.io "$@"; }

# with_archives COMMAND... -- IMAGE... runs the command once per image, with the path of its docker-archive as the last argument.
with_archives() {
  local run=()
  while [[ $1 != -- ]]; do
    run+=("$1")
    shift
  done
  shift
  local image archive
  SCRATCH="$(mktemp -d)"
  trap 'rm -rf -- "$SCRATCH"' EXIT
  for image in "$@"; do
    archive="$image"
    if [[ ! -f $image ]]; then
      buildah_vfs inspect --type image "$image" &>/dev/null ||
        die "$image is neither a file nor an image in buildah's vfs storage (see: buildah --storage-driver vfs images)"
      archive="$SCRATCH/image.tar"
      rm -f "$archive"
      buildah_vfs push --quiet "$image" "docker-archive:$archive:$image"
    fi
    "${run[@]}" "$archive" || die "loading $image failed"
    say "loaded $image"
  done
  rm -rf -- "$SCRATCH"
}

import_archive() { ctr_k8s images import "$1" >/dev/null; }

# load_local IMAGE... loads into the local cluster's containerd.
load_local() {
  probe_containerd &>/dev/null || die "the local cluster is not up: hack/cluster/cluster up"
  with_archives import_archive -- "$@"
  prune_images
}

# prune_images drops images that have lost their name to a newer one; what still runs on them goes on.
prune_images() {
  local image
  for image in $(ctr_k8s images list | awk '
    NR > 1 && $1 ~ /^sha256:/ {digest[$1] = $3}
    NR > 1 && $1 !~ /^sha256:/ {named[$3]}
    END {for (image in digest) if (!(digest[image] in named)) print image}'); do
    ctr_k8s images remove "$image" >/dev/null
  done
}

# load_other IMAGE... loads into the cluster that KUBECONFIG names, which is possible if kind made it.
load_other() {
  local context
  context="$(other_kubectl config current-context)"
  [[ $context == kind-* ]] ||
    die "KUBECONFIG names the cluster \"$context\", which is not one of kind's: push these images where it can pull them: $*"
  command -v kind >/dev/null || die "the current context is \"$context\" but there is no kind in PATH"
  with_archives kind load image-archive --name "${context#kind-}" -- "$@"
}

# other_kubectl runs kubectl against the cluster that KUBECONFIG names.
other_kubectl() {
  if [[ -x $BIN/kubectl ]]; then
    "$BIN/kubectl" "$@"
  elif command -v kubectl >/dev/null; then
    command kubectl "$@"
  else
    die "there is no kubectl: hack/cluster/cluster binaries builds one"
  fi
}

# ensure_pause_image makes the sandbox image, from nothing but our own program, unless containerd has it.
ensure_pause_image() {
  [[ -z $(ctr_k8s images list --quiet "name==$PAUSE_IMAGE") ]] || return 0
  say "making the image of the pods' sandbox"
  buildah_vfs bud --quiet --isolation chroot --file "$SOURCE/cmd/pause/Dockerfile" --tag "$PAUSE_IMAGE" "$BIN" >/dev/null
  load_local "$PAUSE_IMAGE"
  buildah_vfs rmi "$PAUSE_IMAGE" >/dev/null
}
