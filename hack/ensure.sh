#!/usr/bin/env bash
# Makes sure that programs (or files) are there: hack/ensure.sh PROGRAM:PACKAGE...
# What is missing is installed from its Debian package where that is possible, else this says what to install.
set -euo pipefail

missing=()
for entry in "$@"; do
  command -v "${entry%%:*}" >/dev/null || [[ -e ${entry%%:*} ]] || missing+=("${entry##*:}")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
  printf 'please install: %s\n' "${missing[*]}" >&2
  exit 1
fi
printf '==> installing %s\n' "${missing[*]}" >&2
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
