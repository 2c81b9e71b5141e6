#!/usr/bin/env bash
# Runs every fuzz target of the repository, one after the other: hack/fuzz.sh TIME_EACH
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

found=0
while IFS=: read -r file target; do
  found=1
  printf '==> %s in %s for %s\n' "$target" "$(dirname "$file")" "$1"
  # Left to itself the fuzzer makes each find as small as it can for a minute, in which it looks for nothing new.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 10x "./$(dirname "$file")"
done < <(git ls-files --cached --others --exclude-standard '*_test.go' |
  xargs grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
if ((!found)); then
  printf 'there is no fuzz target\n' >&2
  exit 1
fi
