#!/usr/bin/env bash
# An S3 that is not ours, for the tests: moto's server on 127.0.0.1, from PyPI.
#
#   moto.sh start|stop|status DIR PORT
#
# DIR holds its log and its process id. What is put into it lies in its memory, and is gone when it stops. It checks no
# signatures: the tests' own server does that. Owns: the server's life. Buckets are the tests' own business.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=apt.sh
source "$here/apt.sh"
# shellcheck source=python.sh
source "$here/python.sh"

START_SECONDS=60
STOP_SECONDS=20

root=${XDG_CACHE_HOME:-$HOME/.cache}/millrace-test

usage() {
  echo "usage: moto.sh start|stop|status DIR PORT" >&2
  exit 2
}

die() {
  echo "moto.sh: $*" >&2
  exit 1
}

make_environment() {
  mkdir -p "$root"
  exec 9>"$root/moto.lock"
  flock 9
  make_python "$root/moto" "$here/moto/requirements.txt" moto.server
  exec 9>&-
}

# The process that this script started, if it lives: its number may be another's by now, so its command is looked at too.
running() {
  pid=$(cat "$dir/pid" 2>/dev/null) && [[ -n $pid ]] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "moto.*$port"
}

answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

start() {
  if running; then return; fi
  if answers; then die "port $port is taken"; fi
  make_environment
  nohup "$environment/bin/moto_server" -H 127.0.0.1 -p "$port" </dev/null >"$dir/moto.log" 2>&1 8>&- &
  pid=$!
  echo "$pid" >"$dir/pid"
  local deadline=$((SECONDS + START_SECONDS))
  until answers; do
    kill -0 "$pid" 2>/dev/null || die "it did not start; the end of its log: $(tail -n 20 "$dir/moto.log")"
    ((SECONDS < deadline)) || die "it does not answer after $START_SECONDS s; see $dir/moto.log"
    sleep 0.2
  done
}

stop() {
  running || return 0
  kill "$pid"
  local deadline=$((SECONDS + STOP_SECONDS))
  while kill -0 "$pid" 2>/dev/null; do
    ((SECONDS < deadline)) || { kill -9 "$pid" && break; }
    sleep 0.1
  done
  rm -f "$dir/pid"
}

status() {
  if running && answers; then
    echo "running: http://127.0.0.1:$port, $dir"
  else
    echo "stopped: $dir"
    return 3
  fi
}

[[ $# -eq 3 ]] || usage
[[ $3 =~ ^[0-9]+$ && $3 -ge 1 && $3 -le 65535 ]] || die "PORT must be a number from 1 to 65535, not '$3'"
mkdir -p "$2"
dir=$(cd "$2" && pwd)
port=$3

# Two that start one server at the same moment take turns.
exec 8>"${TMPDIR:-/tmp}/millrace-moto-$port.lock"
flock 8

case $1 in
  start) start ;;
  stop) stop ;;
  status) status ;;
  *) usage ;;
esac
