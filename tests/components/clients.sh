#!/usr/bin/env bash
# The MySQL clients of the tests: a Python environment with pinned drivers, the MariaDB command line client, the driver of
# Node.js, and programs with those of Go and Java.
#
#   eval "$(tests/components/clients.sh)"
#
# Prints MILLRACE_TEST_PYTHON=…, MILLRACE_TEST_MARIADB=…, MILLRACE_TEST_NODE=…, MILLRACE_TEST_GO=… and MILLRACE_TEST_JAVA=…
# as shell assignments, with `export`; all else goes to standard error. What it makes lies in a cache outside the repository
# and is made once.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=apt.sh
source "$here/apt.sh"
# shellcheck source=java.sh
source "$here/java.sh"
# shellcheck source=python.sh
source "$here/python.sh"

root=${XDG_CACHE_HOME:-$HOME/.cache}/millrace-test

# Named after what it holds, and marked when it is complete, like the Python environment.
make_node() {
  local package=$here/../clients/node
  node_folder=$root/node-$(cat "$package"/* | sha256sum | cut -c 1-8)
  if [[ -e $node_folder/complete ]]; then
    return
  fi
  need node nodejs npm
  need npm npm
  rm -rf "$node_folder"
  mkdir -p "$node_folder"
  cp "$package"/* "$node_folder"
  echo "installing the driver of Node.js into $node_folder" >&2
  (cd "$node_folder" && npm install --no-audit --no-fund --no-package-lock --loglevel=error </dev/null >&2)
  : >"$node_folder/complete"
}

make_go() {
  local module=$here/../clients/go
  go_client=$root/go-$(cat "$module"/* | sha256sum | cut -c 1-8)
  if [[ -x $go_client ]]; then
    return
  fi
  need go golang-go
  echo "building $go_client" >&2
  # Under another name until it is whole.
  (cd "$module" && go build -o "$go_client.new" . </dev/null >&2)
  mv "$go_client.new" "$go_client"
}

make_java() {
  local package=$here/../clients/java folder java javac
  folder=$root/java-$(cat "$package"/* | sha256sum | cut -c 1-8)
  java_client=$folder/check
  if [[ ! -e $folder/complete ]]; then
    javac=$(need_java javac default-jdk-headless)
    rm -rf "$folder"
    mkdir -p "$folder"
    echo "fetching the driver of Java into $folder" >&2
    fetch_jars "$package/pom.xml" "$folder/jars"
    "$javac" --release 17 -Xlint:all -cp "$folder/jars/*" -d "$folder/classes" "$package/Check.java" >&2
    : >"$folder/complete"
  fi
  # Written anew each time: the Java of the last time may have been removed. It is small, and starts soon.
  java=$(need_java java default-jre-headless)
  printf '#!/usr/bin/env bash\nexec %q -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp %q Check "$@"\n' \
    "$java" "$folder/classes:$folder/jars/*" >"$java_client.new"
  chmod +x "$java_client.new"
  mv "$java_client.new" "$java_client"
}

mkdir -p "$root"
exec 9>"$root/clients.lock"
flock 9
make_python "$root/clients" "$here/clients/requirements.txt" 'pymysql, sqlalchemy, mysql.connector'
make_node
make_go
make_java
need mariadb mariadb-client
printf 'export MILLRACE_TEST_PYTHON=%q\n' "$python"
printf 'export MILLRACE_TEST_MARIADB=%q\n' "$(command -v mariadb)"
printf 'export MILLRACE_TEST_NODE=%q\n' "$node_folder/check.js"
printf 'export MILLRACE_TEST_GO=%q\n' "$go_client"
printf 'export MILLRACE_TEST_JAVA=%q\n' "$java_client"
