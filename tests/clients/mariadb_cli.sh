#!/usr/bin/env bash
# The MariaDB command line against a running server: piped, and with the commands that people type at its prompt.
#
#     mariadb_cli.sh HOST PORT USER PASSWORD
#
# Needs the `mariadb` client. It works in a database of its own, `client_check_cli`, which it creates and drops. The exit
# status is 0 if every step passed; otherwise the output names the step.
set -u

if [ $# -ne 4 ]; then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
host=$1 port=$2 user=$3 password=$4
failures=0

# step NAME WANTED COMMAND...: the output of COMMAND, whose standard input is ours, must contain WANTED.
step() {
    local name=$1 wanted=$2 output
    shift 2
    output=$("$@" 2>&1)
    if [[ "$output" == *"$wanted"* ]]; then
        echo "ok     mariadb: $name"
    else
        echo "FAILED mariadb: $name: expected '$wanted' in:"
        echo "$output"
        failures=$((failures + 1))
    fi
}

client() { timeout 60 mariadb --no-defaults -h "$host" -P "$port" -u "$user" "$@"; }
piped() { client "--password=$password"; }
asked() { client "--password=$password" -e "$1"; }
# A pseudo-terminal makes the client read its prompt's commands and complete names, as it does for a person.
at_the_prompt() {
    local login=(--no-defaults -h "$host" -P "$port" -u "$user" "--password=$password")
    timeout 60 script -qec "mariadb ${login[*]@Q}" /dev/null
}

step "piped" $'answer\n1' piped <<<"SELECT 1 AS answer;"
step "-e" "8.4" asked "SELECT VERSION()"
step "create" "client_check_cli" piped <<'SQL'
DROP TABLE IF EXISTS client_check_cli.types;
DROP DATABASE IF EXISTS client_check_cli;
CREATE DATABASE client_check_cli;
CREATE TABLE client_check_cli.types (i BIGINT NOT NULL, s VARCHAR(20), at DATETIME);
SHOW DATABASES;
SQL
step "use and show tables" "types" piped <<'SQL'
use client_check_cli
show tables;
SQL
step "describe" "bigint" asked "DESCRIBE client_check_cli.types"
step "select in a table layout" "count(*)" client "--password=$password" -t -e "SELECT count(*) FROM client_check_cli.types"
step "an insert of several rows" "Records: 2  Duplicates: 0  Warnings: 0" \
    client "--password=$password" -vvv -e "INSERT INTO client_check_cli.types (i) VALUES (1), (2)"
step "vertical layout" "answer: 1" piped <<<'SELECT 1 AS answer\G'
step "an error" "ERROR 1146 (42S02)" asked "SELECT * FROM client_check_cli.no_such_table"
step "a wrong password" "ERROR 1045 (28000)" client "--password=${password}wrong" -e "SELECT 1"
step "an unknown database" "ERROR 1049 (42000)" asked "use no_such"
step "mysql_native_password" $'answer\n1' \
    client "--password=$password" --default-auth=mysql_native_password -e "SELECT 1 AS answer"
step "at the prompt: status" "Server version:" at_the_prompt <<'SQL'
status
exit
SQL
step "at the prompt: statistics in status" "Uptime:" at_the_prompt <<'SQL'
status
exit
SQL
step "at the prompt: use, show tables" "types" at_the_prompt <<'SQL'
use client_check_cli
show tables;
exit
SQL
step "at the prompt: the database changed" "Database changed" at_the_prompt <<'SQL'
use client_check_cli
exit
SQL
step "drop" "dropped" asked "DROP TABLE client_check_cli.types; DROP DATABASE client_check_cli; SELECT 'dropped'"

if [ "$failures" -gt 0 ]; then
    echo "$failures steps of the MariaDB client failed" >&2
    exit 1
fi
