#!/usr/bin/env bash
# Proves that docs/dependencies.md lists what the modules require directly, no more and no less: hack/dependencies.sh MODULE_DIRECTORY...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PAGE=docs/dependencies.md

# required DIRECTORY prints the modules that a go.mod requires directly, and those that its tools come from.
required() {
  awk '
    /^(require|tool) \($/ { block = $1; next }
    /^\)$/ { block = "" }
    block == "require" || $1 == "require" { sub(/^require /, ""); version[$1] = $2; if (!/\/\/ indirect/) print $1 }
    block == "tool" || $1 == "tool" { sub(/^tool /, ""); tools[$1] }
    END {
      for (tool in tools)
        for (module in version)
          if (index(tool "/", module "/") == 1) print module
    }' "$1/go.mod"
}

wanted="$(for directory in "$@"; do required "$directory"; done | sort -u)"
# shellcheck disable=SC2016 # The backticks are Markdown's.
listed="$(sed -n 's/^| `\([^`]*\)` |.*/\1/p' "$PAGE" | sort -u)"
status=0
while IFS= read -r module; do
  printf '%s does not list %s, which a go.mod requires\n' "$PAGE" "$module" >&2
  status=1
done < <(comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$listed"))
while IFS= read -r module; do
  printf '%s lists %s, which no go.mod requires directly\n' "$PAGE" "$module" >&2
  status=1
done < <(comm -13 <(printf '%s\n' "$wanted") <(printf '%s\n' "$listed"))
exit "$status"
