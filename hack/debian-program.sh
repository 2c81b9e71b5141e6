#!/usr/bin/env bash
# Makes sure that a program is there that Debian's package would also start as a service of its own, which nobody needs:
# hack/debian-program.sh PROGRAM:PACKAGE
set -euo pipefail

POLICY=/usr/sbin/policy-rc.d

[[ ! -x ${1%%:*} ]] || exit 0
if ((EUID == 0)) && [[ ! -e $POLICY ]]; then
  trap 'rm -f "$POLICY"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod +x "$POLICY"
fi
"$(dirname "${BASH_SOURCE[0]}")/ensure.sh" "$1"
