#!/usr/bin/env bash
# A real Apache Kafka for the tests: one KRaft node on 127.0.0.1.
#
#   kafka.sh start|stop|kill|restart|status DIR PORT
#
# DIR holds everything of the node (settings, data, log, pid file) and may be removed once it is stopped. PORT is the
# broker's, PORT+1 the controller's. The jars come through Maven into a cache outside the repository, once.
# Owns: the node's life. Topics are the tests' own business, through the admin client.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=apt.sh
source "$here/apt.sh"
# shellcheck source=java.sh
source "$here/java.sh"

START_SECONDS=${MILLRACE_TEST_KAFKA_START_SECONDS:-90}
STOP_SECONDS=30

usage() {
  echo "usage: kafka.sh start|stop|kill|restart|status DIR PORT" >&2
  exit 2
}

die() {
  echo "kafka.sh: $*" >&2
  exit 1
}

# ---- the jars --------------------------------------------------------------------------------------------------------

# Sets `java` and `jars`. The jars' folder is named after the pom, so that a changed pom is fetched anew, and appears under
# its name only when it is complete, so that an interrupted fetch is not taken for a finished one.
fetch() {
  java=$(need_java java default-jre-headless) || die "no Java 17 or later"
  local pom=$here/kafka/pom.xml version root
  version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")
  root=${XDG_CACHE_HOME:-$HOME/.cache}/millrace-test
  jars=$root/kafka-$version-$(sha256sum "$pom" | cut -c 1-8)
  [[ -d $jars ]] && return
  mkdir -p "$root"
  (
    flock 9
    [[ -d $jars ]] && exit 0
    echo "fetching Apache Kafka $version into $jars" >&2
    fetch_jars "$pom" "$jars"
  ) 9>"$root/kafka.lock" || die "Maven could not fetch Apache Kafka $version; its own message is above"
}

# ---- the node --------------------------------------------------------------------------------------------------------

# The pid of this DIR's broker, if it runs. A pid file outlives a killed machine, and its number may be another process's by
# now: only a process that was started with this DIR's settings counts.
running_pid() {
  local pid
  pid=$(cat "$dir/kafka.pid" 2>/dev/null) || return 1
  [[ -n $pid ]] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$dir/server.properties" && echo "$pid"
}

# A broker's socket accepts before the broker serves. An answer to ApiVersions means that it is registered and unfenced.
answers() {
  # shellcheck disable=SC2016 # the inner shell's own variable
  timeout 2 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff" >&3
    [[ $(head -c 4 <&3 | wc -c) -eq 4 ]]
  ' answers "$port" 2>/dev/null
}

port_is_taken() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Run once per DIR: a node that was formatted keeps its id, its settings and its data.
format() {
  mkdir -p "$dir/tmp"
  {
    echo "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))"
    echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port"
    echo "controller.quorum.voters=1@127.0.0.1:$((port + 1))"
    echo "log.dirs=$dir/data"
    cat "$here/kafka/server.properties"
  } >"$dir/server.properties"
  (java_run kafka.tools.StorageTool format --cluster-id "$(cluster_id)" --config "$dir/server.properties") \
    >"$dir/format.log" 2>&1 || die "formatting $dir/data failed: $(tail -n 5 "$dir/format.log")"
  : >"$dir/formatted"
}

# 16 bytes as URL-safe base64 without padding, which is how Kafka writes a cluster's id. It need not be random: one DIR is
# one cluster.
cluster_id() {
  printf '%s' "$dir" | sha256sum | cut -c 1-16 | tr -d '\n' | base64 | tr '+/' '-_' | tr -d '='
}

java_run() {
  # The serial collector and the first compiler tier: a node that shares two cores with the tests should start soon and
  # leave them the cores. A benchmark wants the full compiler: MILLRACE_TEST_KAFKA_JAVA_OPTS='-Xmx2g'.
  local tuning=${MILLRACE_TEST_KAFKA_JAVA_OPTS:--Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}
  # shellcheck disable=SC2086 # the options are words
  exec setsid "$java" $tuning -Djava.awt.headless=true -Djava.io.tmpdir="$dir/tmp" \
    -Dlog4j2.configurationFile="$here/kafka/log4j2.properties" -cp "$jars/*" "$@"
}

start() {
  if running_pid >/dev/null; then
    answers || die "the node of $dir runs but does not answer on port $port; see $dir/kafka.log"
    return
  fi
  local taken pid
  for taken in "$port" $((port + 1)); do
    port_is_taken "$taken" && die "port $taken is in use by another process; choose another PORT"
  done
  fetch
  [[ -e $dir/formatted ]] || format
  # A session of its own, so that a Ctrl-C meant for the tests does not end the broker under them; and without this
  # script's lock, which the broker would otherwise hold for its whole life.
  (java_run kafka.Kafka "$dir/server.properties") </dev/null >>"$dir/kafka.log" 2>&1 8>&- &
  pid=$!
  disown "$pid"
  echo "$pid" >"$dir/kafka.pid"
  write_control
  local deadline=$((SECONDS + START_SECONDS))
  until answers; do
    kill -0 "$pid" 2>/dev/null || die "Kafka ended while starting; the end of $dir/kafka.log: $(tail -n 20 "$dir/kafka.log")"
    ((SECONDS < deadline)) || die "Kafka did not answer on port $port within $START_SECONDS s; see $dir/kafka.log"
    sleep 0.1
  done
}

# What a test is given to steer this node with: one command, one verb.
write_control() {
  # shellcheck disable=SC2016 # the written script's own argument
  printf '#!/usr/bin/env bash\nexec %q "$1" %q %q\n' "$here/kafka.sh" "$dir" "$port" >"$dir/control"
  chmod +x "$dir/control"
}

# A killed process has given up its files and its port once only its nameless remainder waits to be collected by its parent.
# Its memory, and with it the command line, goes earlier: a start at that moment would find the port taken.
is_gone() {
  local state threads=("/proc/$1/task"/*)
  state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 0
  [[ -z $state || ($state == Z && ${#threads[@]} -eq 1) ]]
}

# end SIGNAL: returns once the process is gone, so that its port and its data directory are free.
end() {
  local pid deadline=$((SECONDS + STOP_SECONDS))
  if pid=$(running_pid); then
    kill "-$1" "$pid"
    until is_gone "$pid"; do
      ((SECONDS < deadline)) || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.05
    done
  fi
  rm -f "$dir/kafka.pid"
}

status() {
  local pid
  if pid=$(running_pid) && answers; then
    echo "running: pid $pid, 127.0.0.1:$port, $dir"
  else
    echo "stopped: $dir"
    return 3
  fi
}

[[ $# -eq 3 ]] || usage
[[ $3 =~ ^[0-9]+$ && $3 -ge 1 && $3 -le 65534 ]] || die "PORT must be a number from 1 to 65534, not '$3'"
mkdir -p "$2"
dir=$(cd "$2" && pwd)
port=$3

# Two tests that restart one node at the same moment take turns.
exec 8>"$dir/lock"
flock 8

case $1 in
  start) start ;;
  stop) end TERM ;;
  kill) end KILL ;;
  restart) end TERM && start ;;
  status) status ;;
  *) usage ;;
esac
