#!/usr/bin/env python3
"""Real Python clients against a running server: do they log in, query and browse without special flags?

    python_clients.py HOST PORT USER PASSWORD

Needs PyMySQL, mysql-connector-python and SQLAlchemy. It works in a database of its own, `client_check`, which it creates
and drops. The exit status is 0 if every step of every client passed; otherwise the output names the client and the step.
"""

import datetime
import decimal
import sys
import traceback

import mysql.connector
import pymysql
import sqlalchemy

DATABASE = "client_check"
TABLE = "types"
COLUMNS = {
    "b": "BOOLEAN",
    "i": "BIGINT NOT NULL",
    "f": "FLOAT",
    "d": "DOUBLE",
    "m": "DECIMAL(12,2)",
    "day": "DATE",
    "at": "DATETIME",
    "ts": "TIMESTAMP",
    "s": "VARCHAR(20)",
    "t": "TEXT",
    "j": "JSON",
}
BIG = 20_000_000


class Steps:
    """Runs the steps of one client and remembers which failed."""

    def __init__(self, client):
        self.client = client
        self.failed = []

    def run(self, name, step):
        try:
            result = step()
        except Exception:
            self.failed.append(name)
            print(f"FAILED {self.client}: {name}\n{traceback.format_exc()}")
            return None
        print(f"ok     {self.client}: {name}")
        return result


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"expected {expected!r}, found {found!r}")


def expect_all(found, expected):
    missing = [item for item in expected if item not in found]
    if missing:
        raise AssertionError(f"{missing!r} is not in {found!r}")


def expect_error(run, code):
    try:
        run()
    except (pymysql.err.MySQLError, mysql.connector.Error) as error:
        expect(error.args[0], code)
    else:
        raise AssertionError(f"no error, where {code} was due")


def all_rows(connection, sql):
    cursor = connection.cursor()
    cursor.execute(sql)
    rows = cursor.fetchall() if cursor.description else []
    cursor.close()
    return rows


def drop(connection):
    all_rows(connection, f"DROP TABLE IF EXISTS {DATABASE}.{TABLE}")
    all_rows(connection, f"DROP DATABASE IF EXISTS {DATABASE}")


def create(connection):
    drop(connection)
    all_rows(connection, f"CREATE DATABASE {DATABASE}")
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
    all_rows(connection, f"CREATE TABLE {DATABASE}.{TABLE} ({columns})")


def dbapi_steps(steps, connect, wrong_password):
    """What every driver with Python's database interface must be able to do."""
    connection = steps.run("connect", connect)
    if connection is None:
        return
    rows = lambda sql: all_rows(connection, sql)
    steps.run("a number", lambda: expect(list(rows("SELECT 1")), [(1,)]))
    steps.run("the version's number", lambda: expect(rows("SELECT VERSION()")[0][0].split(".")[0], "8"))
    steps.run("create a table", lambda: create(connection))
    steps.run("SHOW DATABASES", lambda: expect_all([row[0] for row in rows("SHOW DATABASES")], [DATABASE]))
    steps.run("USE", lambda: rows(f"USE {DATABASE}"))
    steps.run("SELECT DATABASE()", lambda: expect(list(rows("SELECT DATABASE()")), [(DATABASE,)]))
    steps.run("SHOW TABLES", lambda: expect_all([row[0] for row in rows("SHOW TABLES")], [TABLE]))
    steps.run("SHOW COLUMNS", lambda: expect_all([row[0] for row in rows(f"SHOW COLUMNS FROM {TABLE}")], list(COLUMNS)))
    steps.run("DESCRIBE", lambda: expect_all([row[0] for row in rows(f"DESCRIBE {TABLE}")], list(COLUMNS)))
    steps.run("count the rows", lambda: expect(list(rows(f"SELECT count(*) FROM {TABLE}")), [(0,)]))
    steps.run("values of each type", lambda: expect_types(connection))
    steps.run(
        "a value above 16 MiB", lambda: expect(len(rows(f"SELECT REPEAT('x', {BIG})")[0][0]), BIG)
    )
    steps.run("an error", lambda: expect_error(lambda: rows("SELECT * FROM no_such_table"), 1146))
    steps.run("a statement after the error", lambda: expect(list(rows("SELECT 1")), [(1,)]))
    steps.run("ping", connection.ping)
    steps.run("rollback", connection.rollback)
    steps.run("close", connection.close)
    steps.run("a wrong password", lambda: expect_error(wrong_password, 1045))


def expect_types(connection):
    sql = (
        "SELECT CAST(true AS BOOLEAN) AS b, CAST(-9223372036854775808 AS BIGINT) AS i, "
        "CAST(-123.45 AS DECIMAL(12,2)) AS m, CAST('2024-10-04' AS DATE) AS day, 'grüße 🌊' AS s, NULL AS n"
    )
    cursor = connection.cursor()
    cursor.execute(sql)
    names = [column[0] for column in cursor.description]
    row = dict(zip(names, cursor.fetchone()))
    cursor.close()
    expect((row["b"], row["i"], row["m"]), (1, -9223372036854775808, decimal.Decimal("-123.45")))
    expect((row["day"].isoformat(), row["s"], row["n"]), ("2024-10-04", "grüße 🌊", None))


def check_pymysql(host, port, user, password):
    steps = Steps(f"PyMySQL {pymysql.__version__}")
    options = dict(host=host, port=port, user=user)
    dbapi_steps(
        steps,
        lambda: pymysql.connect(**options, password=password),
        lambda: pymysql.connect(**options, password=password + "wrong"),
    )
    steps.run("connect with a database", lambda: pymysql.connect(**options, password=password, database=DATABASE).close())
    unknown = lambda: pymysql.connect(**options, password=password, database="no_such_database")
    steps.run("connect with an unknown database", lambda: expect_error(unknown, 1049))
    return steps.failed


def check_connector(host, port, user, password):
    steps = Steps(f"mysql-connector-python {mysql.connector.__version__}")
    options = dict(host=host, port=port, user=user)
    dbapi_steps(
        steps,
        lambda: mysql.connector.connect(**options, password=password),
        lambda: mysql.connector.connect(**options, password=password + "wrong"),
    )

    def reset():
        with mysql.connector.connect(**options, password=password, database=DATABASE) as connection:
            connection.cmd_reset_connection()
            expect(list(all_rows(connection, "SELECT 1")), [(1,)])

    steps.run("reset the connection", reset)
    steps.run("prepared statements", lambda: prepared(options, password))
    steps.run("another user on the same connection", lambda: change_user(options, password))
    steps.run("several statements in one text", lambda: several(options, password))
    return steps.failed


def prepared(options, password):
    with mysql.connector.connect(**options, password=password, database=DATABASE) as connection:
        cursor = connection.cursor(prepared=True)
        at = datetime.datetime(2024, 2, 29, 1, 2, 3, 4)
        values = (-(2**63), 2**64 - 1, -0.5, decimal.Decimal("-12345678901234567890.10"), "it's; -- \\", at, at.date(), None)
        cursor.execute("SELECT %s, %s, %s, %s, %s, %s, %s, %s", values)
        row = cursor.fetchone()
        expect(row[:3] + row[4:], values[:3] + values[4:])
        expect(decimal.Decimal(str(row[3])), values[3])
        cursor.execute(f"SELECT `i`, `m`, `day`, `at`, `ts`, `s`, `j` FROM {TABLE} WHERE `i` = %s AND `s` <> %s LIMIT %s", (1, "x", 5))
        expect(cursor.fetchall(), [])
        for count in range(1, 50):
            cursor.execute("SELECT value FROM generate_series(1, 100) LIMIT %s", (count,))
            expect(len(cursor.fetchall()), count)
        expect_error(lambda: cursor.execute("SELECT * FROM no_such_table WHERE a = %s", (1,)), 1146)
        long = "x" * BIG
        cursor.execute("SELECT length(%s)", (long,))
        expect(cursor.fetchone(), (BIG,))
        cursor.close()


def change_user(options, password):
    with mysql.connector.connect(**options, password=password) as connection:
        all_rows(connection, "DROP USER IF EXISTS client_check")
        for plugin in ["caching_sha2_password", "mysql_native_password"]:
            all_rows(connection, f"CREATE USER client_check IDENTIFIED WITH {plugin} BY 'first'")
            all_rows(connection, "SET @mine = 1")
            connection.cmd_change_user("client_check", "first", "default")
            expect(all_rows(connection, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), @mine"), [("client_check", None)])
            connection.cmd_change_user(options["user"], password, "default")
            all_rows(connection, "DROP USER client_check")


def several(options, password):
    with mysql.connector.connect(**options, password=password) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1; SELECT 'a;b'; SELECT 3")
        answers = [cursor.fetchall()]
        while cursor.nextset():
            answers.append(cursor.fetchall())
        expect(answers, [[(1,)], [("a;b",)], [(3,)]])


def check_sqlalchemy(driver, host, port, user, password):
    steps = Steps(f"SQLAlchemy {sqlalchemy.__version__} on {driver}")
    url = sqlalchemy.URL.create(f"mysql+{driver}", user, password, host, port, DATABASE)
    engine = sqlalchemy.create_engine(url)

    def query():
        with engine.connect() as connection:
            expect(connection.execute(sqlalchemy.text("SELECT 1")).scalar(), 1)

    inspector = None

    def inspect():
        nonlocal inspector
        inspector = sqlalchemy.inspect(engine)

    def columns():
        found = inspector.get_columns(TABLE)
        expect([column["name"] for column in found], list(COLUMNS))
        kinds = {column["name"]: str(column["type"]).split("(")[0] for column in found}
        expect_all(list(kinds.items()), [("i", "BIGINT"), ("m", "DECIMAL"), ("s", "VARCHAR"), ("j", "JSON"), ("day", "DATE")])

    def reflect():
        table = sqlalchemy.Table(TABLE, sqlalchemy.MetaData(), autoload_with=engine)
        with engine.connect() as connection:
            count = sqlalchemy.select(sqlalchemy.func.count()).select_from(table)
            expect(connection.execute(count).scalar(), 0)

    steps.run("connect and query", query)
    steps.run("inspect", inspect)
    if inspector is not None:
        steps.run("databases", lambda: expect_all(inspector.get_schema_names(), [DATABASE]))
        steps.run("tables", lambda: expect_all(inspector.get_table_names(), [TABLE]))
        steps.run("columns", columns)
        steps.run("primary key", lambda: inspector.get_pk_constraint(TABLE))
        steps.run("indexes", lambda: inspector.get_indexes(TABLE))
        steps.run("a table from its reflection", reflect)
    steps.run("close", engine.dispose)
    return steps.failed


def clean_up(host, port, user, password):
    with pymysql.connect(host=host, port=port, user=user, password=password) as connection:
        drop(connection)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    login = (host, port, user, password)
    failed = check_pymysql(*login) + check_connector(*login)
    for driver in ["pymysql", "mysqlconnector"]:
        failed += check_sqlalchemy(driver, *login)
    if failed:
        sys.exit(f"{len(failed)} steps failed; each is named above after its client")
    clean_up(*login)


if __name__ == "__main__":
    main()
