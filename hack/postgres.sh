#!/usr/bin/env bash
# Makes sure that the programs of PostgreSQL 15 are there, which the tests start themselves. Debian's package would also make a cluster of its
# own and start it; nobody needs that one.
set -euo pipefail

INITDB=/usr/lib/postgresql/15/bin/initdb
CONFIG=/etc/postgresql-common/createcluster.conf

[[ ! -x $INITDB ]] || exit 0
if ((EUID == 0)) && [[ ! -e $CONFIG ]]; then
  mkdir -p "$(dirname "$CONFIG")"
  echo "create_main_cluster = false" >"$CONFIG"
fi
exec "$(dirname "${BASH_SOURCE[0]}")/ensure.sh" "$INITDB:postgresql-15"
