#!/usr/bin/env bash
# Proves that targets change nothing: hack/verify.sh TARGET...
# Runs `make TARGET...` in a copy of the tree and compares, so that what you have not committed is never touched.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$root"
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT

# What git knows or would add; a file that is deleted but still in the index is left out.
git ls-files --cached --others --exclude-standard -z |
  while IFS= read -r -d '' file; do
    [[ ! -e $file && ! -L $file ]] || printf '%s\0' "$file"
  done >"$copy/.files"
mkdir "$copy/before" "$copy/after"
for tree in before after; do
  tar --create --no-recursion --null --files-from "$copy/.files" | tar --extract --directory "$copy/$tree"
done

# The tools are those of this tree: nothing is built twice.
make --no-print-directory --directory "$copy/after" BIN="${BIN:-$root/bin}" "$@" >"$copy/log" 2>&1 || {
  cat "$copy/log" >&2
  exit 1
}
if ! (cd "$copy" && git --no-pager diff --no-index --no-ext-diff before after); then
  printf 'not up to date: run make %s\n' "$*" >&2
  exit 1
fi
printf 'up to date: make %s changes nothing\n' "$*"
