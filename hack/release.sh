#!/usr/bin/env bash
# Builds all files of a release: hack/release.sh FOLDER
# FOLDER gets what hack/dist.sh writes, programs/OS-ARCH with what goes into the image, kubectl-modelroute_OS_ARCH.tar.gz, krew.yaml, by which krew installs these,
# a bill of materials of each program (*.cdx.json, CycloneDX), and checksums.txt of all that. The same tree, version and Go give the same bytes, wherever and whenever: `make verify-reproducible`
# proves it.
# Set by the Makefile: VERSION, RELEASE, BIN; PLATFORMS, such as "linux/amd64 linux/arm64". SOURCE_DATE_EPOCH is the time that archives have.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
umask 022

IMAGE_PROGRAMS=(manager ledger proxy portal)
OUT="${1:?usage: hack/release.sh FOLDER}"
VERSION="${VERSION:-unknown}"
BIN="${BIN:-bin}"
read -ra platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64}"

# build OS ARCH FOLDER PROGRAM... The version is in VERSION, not in the repository that this may or may not be.
build() {
  local os="$1" arch="$2" folder="$3"
  shift 3
  mkdir -p "$folder"
  CGO_ENABLED=0 GOOS="$os" GOARCH="$arch" GOFLAGS='' GOAMD64=v1 GOARM64=v8.0 \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o "$folder/" "${@/#/./cmd/}"
}

# materials PROGRAM OUTPUT writes which modules, in which versions, are in a program. No time and no random number is in it.
materials() {
  "$BIN/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$VERSION" -output "$2" "$1" 2>/dev/null
}

# pack FOLDER ARCHIVE
pack() {
  cp LICENSE "$1/"
  tar --create --directory "$1" --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar . |
    gzip --no-name --best >"$2"
}

# krew MANIFEST prints it for this release, with what stands below its line "platforms:" once for each platform.
krew() {
  local release="${RELEASE:-$(sed -n 's/^ *newTag: //p' config/default/kustomization.yaml)}" platform os arch sum entry filled
  entry="$(sed '1,/^  platforms:$/d' "$1")"
  filled="$(sed '/^  platforms:$/q' "$1")"
  for platform in "${platforms[@]}"; do
    os="${platform%/*}" arch="${platform#*/}"
    sum="$(sha256sum "$OUT/kubectl-modelroute_${os}_$arch.tar.gz")"
    filled+=$'\n'"$(sed "s/@OS@/$os/g; s/@ARCH@/$arch/g; s/@SHA256@/${sum%% *}/" <<<"$entry")"
  done
  printf '%s\n' "${filled//@RELEASE@/$release}"
}

rm -rf "$OUT"
DIST="$OUT" hack/dist.sh
for platform in "${platforms[@]}"; do
  os="${platform%/*}" arch="${platform#*/}"
  build "$os" "$arch" "$OUT/programs/$os-$arch" "${IMAGE_PROGRAMS[@]}"
  plugin="$(mktemp -d)"
  build "$os" "$arch" "$plugin" kubectl-modelroute
  materials "$plugin/kubectl-modelroute" "$OUT/kubectl-modelroute_${os}_$arch.cdx.json"
  pack "$plugin" "$OUT/kubectl-modelroute_${os}_$arch.tar.gz"
  rm -rf "$plugin"
  for program in "${IMAGE_PROGRAMS[@]}"; do
    materials "$OUT/programs/$os-$arch/$program" "$OUT/${program}_${os}_$arch.cdx.json"
  done
done
krew config/krew/modelroute.yaml >"$OUT/krew.yaml"
sums="$(cd "$OUT" && find . -type f -printf '%P\0' | sort --zero-terminated | xargs -0 sha256sum)"
printf '%s\n' "$sums" >"$OUT/checksums.txt"
