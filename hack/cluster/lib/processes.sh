# shellcheck shell=bash
# Starts, finds and stops the components. There are no pid files that could go stale: each process that we start carries the
# variable MODELROUTE_CLUSTER in its environment, with the state directory that it belongs to, and so do containerd's shims.

# marked_processes [STATE] prints the pids of one cluster's processes, or of any cluster's.
marked_processes() {
  if (($#)); then
    grep -lzsxF "MODELROUTE_CLUSTER=$1" /proc/[0-9]*/environ || true
  else
    grep -lzs "^MODELROUTE_CLUSTER=" /proc/[0-9]*/environ || true
  fi | cut -d/ -f3
}

# first_argument PID prints argv[0], or nothing if the process is gone.
first_argument() { { tr '\0' '\n' <"/proc/$1/cmdline" | head -n1; } 2>/dev/null || true; }

# pid_of NAME prints the pid of a component that runs.
pid_of() {
  local pid argument
  for pid in $(marked_processes "$STATE"); do
    argument="$(first_argument "$pid")"
    if [[ ${argument##*/} == "$1" ]]; then
      printf '%s\n' "$pid"
    fi
  done
}

# digest NAME prints a hash of a component's command line, environment and configuration files; it rides along in that environment.
# Some components have no files.
digest() {
  {
    printf '%s\0' "${COMMAND[@]}" "${ENVIRONMENT[@]}"
    cat "$ETC/$1".* 2>/dev/null || true
  } | sha256sum | cut -d' ' -f1
}

# as_wanted NAME PID tells whether a process was started with today's command line, configuration and binary.
as_wanted() {
  grep -qzsxF "MODELROUTE_DIGEST=$(digest "$1")" "/proc/$2/environ" && [[ "$(readlink "/proc/$2/exe")" != *" (deleted)" ]]
}

# probe_within NAME SECONDS waits until a component answers, and gives up early when its process is gone.
probe_within() {
  local deadline=$((SECONDS + $2))
  while ! "probe_${1//-/_}" &>/dev/null; do
    ((SECONDS < deadline)) && [[ -n $(pid_of "$1") ]] || return 1
    sleep 0.1
  done
  [[ -n $(pid_of "$1") ]]
}

# start NAME starts a component unless it runs as it should and answers.
start() {
  ENVIRONMENT=()
  "command_${1//-/_}"
  local pid
  pid="$(pid_of "$1")"
  if [[ $pid =~ ^[0-9]+$ ]] && as_wanted "$1" "$pid" && probe_within "$1" 5; then
    return
  fi
  stop "$1"
  say "starting $1"
  # A clean environment: no proxy or Go setting of the caller reaches a component but what it asks for in ENVIRONMENT, which no
  # argument shows. setsid keeps them from the caller's signals, and the lock is not theirs to hold.
  (
    exec {LOCK_FD}>&- </dev/null >>"$LOGS/$1.log" 2>&1
    digest="$(digest "$1")"
    mapfile -t exported < <(compgen -e)
    export -n "${exported[@]}"
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
      MODELROUTE_CLUSTER="$STATE" MODELROUTE_DIGEST="$digest" "${ENVIRONMENT[@]}"
    exec setsid --fork "${COMMAND[@]}"
  )
  # setsid --fork returns before the process has its new name.
  local deadline=$((SECONDS + 10))
  until [[ -n $(pid_of "$1") ]] || ((SECONDS >= deadline)); do
    sleep 0.02
  done
}

# await NAME waits until a component that was started answers.
await() {
  probe_within "$1" 90 && return
  tail -n 20 "$LOGS/$1.log" >&2
  die "$1 does not come up; its last words are above, all of them in $LOGS/$1.log"
}

# stop NAME stops a component, with force after ten seconds.
stop() {
  local pids
  mapfile -t pids < <(pid_of "$1")
  ((${#pids[@]})) || return 0
  kill -TERM "${pids[@]}" 2>/dev/null || true
  gone_within 10 "${pids[@]}" || kill -KILL "${pids[@]}" 2>/dev/null || true
  gone_within 10 "${pids[@]}" || die "$1 (process ${pids[*]}) cannot be killed"
}

# gone_within SECONDS PID... waits for processes to end.
gone_within() {
  local deadline=$((SECONDS + $1)) pid
  shift
  for pid in "$@"; do
    while ends_later "$pid"; do
      ((SECONDS < deadline)) || return 1
      sleep 0.05
    done
  done
}

# ends_later tells whether a process still runs; a zombie that nobody has reaped does not.
ends_later() { [[ -d /proc/$1 ]] && ! grep -qs '^State:\s*Z' "/proc/$1/status"; }
