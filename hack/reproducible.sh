#!/usr/bin/env bash
# Proves that releases are reproducible: builds twice, in folders of different names, the second time with an empty build cache, in another time zone and with
# another umask, and compares every byte. PLATFORMS narrows what is built.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$root"
export VERSION="${VERSION:-unknown}" BIN="${BIN:-$root/bin}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# copy FOLDER copies what git knows or would add.
copy() {
  mkdir -p "$1"
  git ls-files --cached --others --exclude-standard -z |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar --create --no-recursion --null --files-from - | tar --extract --directory "$1"
}

# build FOLDER OUT
build() {
  (cd "$1" && hack/release.sh "$2")
}

copy "$work/one"
copy "$work/and/quite/another"
build "$work/one" "$work/first"
(umask 077 && TZ=Asia/Tokyo GOCACHE="$work/cache" build "$work/and/quite/another" "$work/second")
diff --recursive --brief "$work/first" "$work/second" || {
  printf 'not reproducible: the files above differ\n' >&2
  exit 1
}
printf 'reproducible, %d files:\n' "$(wc -l <"$work/first/checksums.txt")"
cat "$work/first/checksums.txt"
