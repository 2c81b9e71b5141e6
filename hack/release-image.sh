#!/usr/bin/env bash
# Builds one image for several platforms from what hack/release.sh built: hack/release-image.sh FOLDER LAYOUT
# LAYOUT becomes an OCI layout with it, which skopeo and others push. It is on nothing (BASE=scratch: the programs are static and bring authorities and time zones),
# so its digest depends on the programs, PLATFORMS, SOURCE_DATE_EPOCH and the version of buildah alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FROM="${1:?usage: hack/release-image.sh FOLDER LAYOUT}"
LAYOUT="${2:?usage: hack/release-image.sh FOLDER LAYOUT}"
read -ra platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64}"
list="localhost/modelroute-release:$$"
context="$(mktemp -d)"
buildah() { command buildah --storage-driver vfs "$@"; }
trap 'buildah manifest rm "$list" &>/dev/null || true; rm -rf "$context"' EXIT

hack/ensure.sh buildah:buildah
cp -R "$FROM/programs" "$context/"
# The context has other paths than the one that .dockerignore is for.
: >"$context/ignore"
buildah manifest create "$list" >/dev/null
for platform in "${platforms[@]}"; do
  buildah bud --quiet --isolation chroot --identity-label=false --platform "$platform" --manifest "$list" --timestamp "${SOURCE_DATE_EPOCH:-0}" --ignorefile "$context/ignore" \
    --build-arg BASE=scratch --build-arg PROGRAMS="programs/${platform/\//-}" --file Dockerfile "$context" >/dev/null
done
rm -rf "$LAYOUT"
buildah manifest push --quiet --all --format oci "$list" "oci:$LAYOUT:release"
sed -E 's/.*"digest":"([^"]+)".*/==> the image has the digest \1\n/' "$LAYOUT/index.json" >&2
