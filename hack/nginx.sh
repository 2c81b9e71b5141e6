#!/usr/bin/env bash
# Makes sure that the program nginx is there, which the benchmark of the proxy starts itself. Debian's package would also start a server of
# its own; nobody needs that one.
set -euo pipefail

NGINX=/usr/sbin/nginx
POLICY=/usr/sbin/policy-rc.d

[[ ! -x $NGINX ]] || exit 0
if ((EUID == 0)) && [[ ! -e $POLICY ]]; then
  trap 'rm -f "$POLICY"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod +x "$POLICY"
fi
"$(dirname "${BASH_SOURCE[0]}")/ensure.sh" "$NGINX:nginx-light"
