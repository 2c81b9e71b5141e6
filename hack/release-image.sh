#!/usr/bin/env bash
# Builds one image for several platforms from what hack/release.sh built: hack/release-image.sh FOLDER LAYOUT
# LAYOUT becomes an OCI layout with it, which skopeo and others push. It is on nothing (BASE=scratch: the programs are static and bring
# authorities and time zones), so its digest depends on the programs, PLATFORMS, SOURCE_DATE_EPOCH and the version of buildah alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FROM="${1:?usage: hack/release-image.sh FOLDER LAYOUT}"
LAYOUT="${2:?usage: hack/release-image.sh FOLDER LAYOUT}"
read -ra platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64}"
list=localhost/modelroute-release
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# A storage of its own, so that nothing stays and nothing of another build is taken.
buildah() { command buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }

hack/ensure.sh buildah:buildah
mkdir "$work/context"
cp -R "$FROM/programs" "$work/context/"
# The context has other paths than the one that .dockerignore is for.
: >"$work/ignore"
buildah manifest create "$list" >/dev/null
for platform in "${platforms[@]}"; do
  buildah bud --quiet --isolation chroot --platform "$platform" --manifest "$list" --ignorefile "$work/ignore" \
    --identity-label=false --timestamp "${SOURCE_DATE_EPOCH:-0}" \
    --build-arg BASE=scratch --build-arg PROGRAMS="programs/${platform/\//-}" --file Dockerfile "$work/context" >/dev/null
done
rm -rf "$LAYOUT"
buildah manifest push --quiet --all --format oci "$list" "oci:$LAYOUT:release"
sed -E 's/.*"digest":"([^"]+)".*/==> the image has the digest \1\n/' "$LAYOUT/index.json" >&2
