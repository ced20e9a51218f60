# shellcheck shell=bash
# Sourced by the scripts beside it, after apt.sh: a Java that is new enough, and jars through Maven.
# Prints only what a caller asks for; all else goes to standard error.

java_major() {
  "$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

# find_java PROGRAM: prints the first `java` or `javac` of version 17 or later; Kafka 4 starts on nothing older.
find_java() {
  local java major program
  for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    [[ -x $java ]] || continue
    # A compiler lies beside the Java that it is of, and only there: `java` in the PATH is a link to one of several.
    program=$(dirname "$(readlink -f "$java")")/$1
    [[ -x $program ]] || continue
    major=$(java_major "$java")
    if [[ -n $major && $major -ge 17 ]]; then
      echo "$program"
      return
    fi
  done
  return 1
}

# need_java PROGRAM PACKAGE: the same, installed where it is not found.
need_java() {
  find_java "$1" && return
  apt_install "$2"
  find_java "$1" || {
    echo "no $1 of version 17 or later" >&2
    return 1
  }
}

# fetch_jars POM FOLDER: the jars that POM depends on. FOLDER appears only when it is complete, so that an interrupted fetch
# is not taken for a finished one.
fetch_jars() (
  pom=$1 folder=$2
  need mvn maven || exit
  partial=$(mktemp -d "$(dirname "$folder")/partial.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  # Three tries: a registry that times out once must not fail a whole run.
  for try in 1 2 3; do
    if mvn -q -B -C -f "$pom" \
      org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies -DoutputDirectory="$partial/jars" </dev/null >&2; then
      mv "$partial/jars" "$folder"
      exit 0
    fi
    echo "Maven failed (try $try of 3)" >&2
  done
  exit 1
)
