#!/usr/bin/env bash
# A real PostgreSQL for the tests: one server on 127.0.0.1, from Debian's packages.
#
#   postgres.sh start|stop|kill|restart|status DIR PORT
#   postgres.sh url DIR PORT                 prints the address that the tests are told
#
# DIR holds everything of the server (data, settings, log) and may be removed once it is stopped. PostgreSQL refuses to run
# as root: started by root it runs as the user `postgres` that Debian's package makes, who must be able to reach DIR.
# Owns: the server's life. Schemas are the tests' own business.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=apt.sh
source "$here/apt.sh"

START_SECONDS=60
OWNER=millrace
PASSWORD=only-for-tests

usage() {
  echo "usage: postgres.sh start|stop|kill|restart|status|url DIR PORT" >&2
  exit 2
}

die() {
  echo "postgres.sh: $*" >&2
  exit 1
}

# Debian keeps the server's own programs out of PATH, one folder for each version: the newest that is there.
find_programs() {
  local folder
  folder=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  [[ -x $folder/initdb && -x $folder/pg_ctl ]] && echo "$folder"
}

as_owner() {
  if [[ $(id -u) -eq 0 ]]; then
    # From the root directory: the caller's may be closed to the user.
    (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/tmp "$@")
  else
    "$@"
  fi
}

install() {
  programs=$(find_programs) || { apt_install postgresql && programs=$(find_programs); } || die "no PostgreSQL server"
}

format() {
  if [[ $(id -u) -eq 0 ]]; then
    chown postgres:postgres "$dir"
    as_owner test -w "$dir" || die "the user postgres cannot reach $dir: choose a DIR whose parents it may enter"
  fi
  printf '%s\n' "$PASSWORD" | as_owner tee "$dir/password" >/dev/null
  as_owner "$programs/initdb" --pgdata="$dir/data" --username="$OWNER" --pwfile="$dir/password" --auth=scram-sha-256 --no-sync \
    --encoding=UTF8 --locale=C >"$dir/initdb.log" 2>&1 || die "initdb failed: $(tail -n 5 "$dir/initdb.log")"
  make_certificates
  # Without fsync a killed server loses nothing, only a machine without power would: and the tests share a disk.
  {
    echo "listen_addresses = '127.0.0.1'"
    echo "unix_socket_directories = ''"
    echo "max_connections = 200"
    echo "shared_buffers = '64MB'"
    echo "fsync = off"
    echo "ssl = on"
  } | as_owner tee -a "$dir/data/postgresql.conf" >/dev/null
}

# A certificate of the server for 127.0.0.1, and the authority that vouches for it: DIR/ca.crt, which tests name by sslrootcert=.
make_certificates() {
  (
    cd "$dir"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=millrace test authority' -keyout ca.key -out ca.crt
    openssl req -newkey rsa:2048 -nodes -subj '/CN=127.0.0.1' -keyout server.key -out server.csr
    printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >server.ext
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.crt
  ) >"$dir/openssl.log" 2>&1 || die "openssl failed: $(tail -n 5 "$dir/openssl.log")"
  # Postgres takes a key only where nobody else can read it.
  as_owner tee "$dir/data/server.crt" <"$dir/server.crt" >/dev/null
  as_owner tee "$dir/data/server.key" <"$dir/server.key" >/dev/null
  as_owner chmod 600 "$dir/data/server.key"
  chmod 644 "$dir/ca.crt"
}

start() {
  install
  need openssl openssl
  [[ -e $dir/data/PG_VERSION ]] || format
  status >/dev/null && return
  as_owner "$programs/pg_ctl" start --pgdata="$dir/data" --log="$dir/postgres.log" --options="-p $port" --wait \
    --timeout="$START_SECONDS" </dev/null >/dev/null 8>&- || die "it did not start; the end of its log: $(tail -n 20 "$dir/postgres.log")"
  write_control
}

# What a test is given to steer this server with: one command, one verb.
write_control() {
  # shellcheck disable=SC2016 # the written script's own argument
  printf '#!/usr/bin/env bash\nexec %q "$1" %q %q\n' "$here/postgres.sh" "$dir" "$port" >"$dir/control"
  chmod +x "$dir/control"
}

# stop_by MODE: `fast` ends the sessions and closes the data in good order, `immediate` is a crash.
stop_by() {
  install
  status >/dev/null || return 0
  as_owner "$programs/pg_ctl" stop --pgdata="$dir/data" --mode="$1" --wait --timeout="$START_SECONDS" >/dev/null
}

status() {
  install
  if as_owner "$programs/pg_ctl" status --pgdata="$dir/data" >/dev/null 2>&1; then
    echo "running: 127.0.0.1:$port, $dir"
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

# Two tests that restart one server at the same moment take turns.
exec 8>"${TMPDIR:-/tmp}/millrace-postgres-$port.lock"
flock 8

case $1 in
  start) start ;;
  stop) stop_by fast ;;
  kill) stop_by immediate ;;
  restart) stop_by fast && start ;;
  status) status ;;
  url) echo "postgres://$OWNER:$PASSWORD@127.0.0.1:$port/postgres" ;;
  *) usage ;;
esac
