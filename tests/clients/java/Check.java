import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLTimeoutException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.Duration;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

import com.mysql.cj.jdbc.JdbcConnection;

/**
 * MySQL Connector/J against a running server, in each of the ways in which it sends statements and reads rows.
 *
 * <pre>java -cp … Check HOST PORT USER PASSWORD</pre>
 *
 * It works in a database of its own, client_check_java, which it creates and drops. The exit status is 0 if every step of
 * every way passed; otherwise the output names the way and the step.
 */
public final class Check {
    private static final String DATABASE = "client_check_java";
    private static final String USER = "client_check_java";
    /** What is computed for minutes, unless somebody ends it. */
    private static final String LONG =
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value * b.value % 7 = 8";
    /** What MySQL answers to a statement that was killed. */
    private static final int INTERRUPTED = 1317;

    /** What Connector/J is told: a name for it, and the properties of the connection. */
    private record Way(String name, String properties) {}

    private static final List<Way> WAYS = List.of(
        new Way("plain", ""),
        new Way("prepared on the server", "useServerPrepStmts=true&cachePrepStmts=true"),
        new Way("with a cursor", "useServerPrepStmts=true&useCursorFetch=true&defaultFetchSize=2"),
        new Way("as pools are told", "cachePrepStmts=true&rewriteBatchedStatements=true&useLocalSessionState=true"
            + "&cacheResultSetMetadata=true&cacheServerConfiguration=true&elideSetAutoCommits=true&maintainTimeStats=false"),
        new Way("prepared and rewritten", "useServerPrepStmts=true&rewriteBatchedStatements=true&connectionTimeZone=UTC"));

    private interface Step {
        void run() throws Exception;
    }

    private final String address;
    private final String user;
    private final String password;
    private String way = "";
    private int failures = 0;

    private Check(String host, String port, String user, String password) {
        this.address = "jdbc:mysql://" + host + ":" + port + "/";
        this.user = user;
        this.password = password;
    }

    public static void main(String[] arguments) {
        if (arguments.length != 4) {
            System.err.println("java -cp … Check HOST PORT USER PASSWORD");
            System.exit(2);
        }
        Check check = new Check(arguments[0], arguments[1], arguments[2], arguments[3]);
        check.all();
        System.exit(check.failures > 0 ? 1 : 0);
    }

    private void all() {
        step("make tables", this::make);
        step("a wrong password", () -> expectError(1045, "28000", () -> open(user, password + "wrong", "", "")));
        step("an unknown database", () -> expectError(1049, "42000", () -> open(user, password, "no_such_database", "")));
        step("users of both kinds", this::users);
        step("another user on the same connection", this::changeUser);
        step("several statements in one text", this::several);
        step("rows one by one, as they come, and one of several packets", this::streaming);
        step("catalogs, tables and columns", this::metadata);
        step("keys, routines and privileges, of which there are none", this::noMetadata);
        for (Way each : WAYS) {
            way = each.name + ": ";
            step("connect", () -> {
                try (Connection connection = open(user, password, DATABASE, each.properties)) {
                    with(connection);
                }
            });
        }
        way = "";
        step("drop them", this::drop);
    }

    /** What is done in each way. */
    private void with(Connection connection) {
        step("is it valid", () -> expect(connection.isValid(5), true));
        step("SELECT 1", () -> expect(one(connection, "SELECT 1"), List.of(1L)));
        step("names and types of columns", () -> columns(connection));
        step("a query without rows", () -> noRows(connection));
        step("a value of each type, inserted and read", () -> types(connection));
        step("bytes into a text, and none that are no text", () -> bytes(connection));
        step("a parameter of each type, in a SELECT", () -> parameters(connection));
        step("a statement that is executed often", () -> often(connection));
        step("more rows than one fetch", () -> manyRows(connection));
        step("a batch", () -> batch(connection));
        step("a batch with a row that does not fit", () -> badBatch(connection));
        step("errors", () -> errors(connection));
        step("warnings", () -> warnings(connection));
        step("transactions", () -> transactions(connection));
        step("a timeout", () -> timeout(connection));
        step("a cancel", () -> cancel(connection));
        step("a large value", () -> large(connection));
        step("it is still valid", () -> expect(connection.isValid(5), true));
    }

    // ---- the steps -----------------------------------------------------------------------------------------------------

    private void make() throws SQLException {
        drop();
        try (Connection connection = open(user, password, "", "")) {
            run(connection, "CREATE DATABASE " + DATABASE);
            connection.setCatalog(DATABASE);
            run(connection, "CREATE TABLE n (i BIGINT NOT NULL COMMENT 'counted', s VARCHAR(20) DEFAULT 'x') ORDER BY (i)");
            StringBuilder columns = new StringBuilder("id INT NOT NULL");
            for (Type type : TYPES) {
                columns.append(", ").append(type.column).append(' ').append(type.declared);
            }
            run(connection, "CREATE TABLE types (" + columns + ")");
        }
    }

    private void drop() throws SQLException {
        try (Connection connection = open(user, password, "", "")) {
            run(connection, "DROP TABLE IF EXISTS " + DATABASE + ".n");
            run(connection, "DROP TABLE IF EXISTS " + DATABASE + ".types");
            run(connection, "DROP DATABASE IF EXISTS " + DATABASE);
            run(connection, "DROP USER IF EXISTS " + USER);
        }
    }

    private void users() throws SQLException {
        try (Connection connection = open(user, password, "", "")) {
            for (String plugin : List.of("caching_sha2_password", "mysql_native_password")) {
                run(connection, "CREATE USER " + USER + " IDENTIFIED WITH " + plugin + " BY 'first'");
                try (Connection other = open(USER, "first", DATABASE, "")) {
                    expect(one(other, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), List.of(USER));
                }
                expectError(1045, "28000", () -> open(USER, "second", "", ""));
                run(connection, "DROP USER " + USER);
            }
        }
    }

    private void changeUser() throws SQLException {
        try (Connection connection = open(user, password, DATABASE, "")) {
            run(connection, "CREATE USER " + USER + " IDENTIFIED BY 'first'");
            JdbcConnection own = connection.unwrap(JdbcConnection.class);
            run(connection, "SET @mine = 1");
            own.changeUser(USER, "first");
            expect(one(connection, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), @mine"), Arrays.asList(USER, null));
            own.changeUser(user, password);
            run(connection, "SET @mine = 2");
            own.resetServerState();
            expect(one(connection, "SELECT @mine"), Arrays.asList((Object) null));
            run(connection, "DROP USER " + USER);
        }
    }

    private void several() throws SQLException {
        try (Connection connection = open(user, password, "", "allowMultiQueries=true");
                Statement statement = connection.createStatement()) {
            List<Object> found = new ArrayList<>();
            boolean isRows = statement.execute("SELECT 1; SELECT 'a;b'; SET @x = 3; SELECT @x");
            while (isRows || statement.getUpdateCount() >= 0) {
                found.add(isRows ? rows(statement.getResultSet()) : statement.getUpdateCount());
                isRows = statement.getMoreResults();
            }
            expect(found.toString(), "[[[1]], [[a;b]], 0, [[3]]]");
        }
    }

    private void streaming() throws SQLException {
        try (Connection connection = open(user, password, "", ""); Statement statement = connection.createStatement()) {
            // Connector/J's sign for rows that are not kept.
            statement.setFetchSize(Integer.MIN_VALUE);
            long sum = 0;
            try (ResultSet rows = statement.executeQuery("SELECT value, repeat('x', 100) FROM generate_series(1, 100000)")) {
                while (rows.next()) {
                    sum += rows.getLong(1);
                }
            }
            expect(sum, 5_000_050_000L);
            expect(((String) one(connection, "SELECT repeat('x', 17000000)").get(0)).length(), 17_000_000);
        }
    }

    private void metadata() throws SQLException {
        try (Connection connection = open(user, password, DATABASE, "")) {
            DatabaseMetaData about = connection.getMetaData();
            expect(about.getDatabaseMajorVersion(), 8);
            expect(about.getUserName().split("@")[0], user);
            expect(connection.getCatalog(), DATABASE);
            expect(column(about.getCatalogs(), "TABLE_CAT").contains(DATABASE), true);
            expect(column(about.getTables(DATABASE, null, "%", null), "TABLE_NAME"), List.of("n", "types"));
            expect(column(about.getTables(DATABASE, null, "n%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME"), List.of("n"));
            expect(column(about.getTables(DATABASE, null, "n", new String[] {"TABLE"}), "TABLE_TYPE"), List.of("TABLE"));
            expect(column(about.getTables(DATABASE, null, "%", new String[] {"VIEW"}), "TABLE_NAME"), List.of());
            try (ResultSet rows = about.getColumns(DATABASE, null, "n", "%")) {
                expect(rows.next(), true);
                expect(cells(rows, "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "IS_NULLABLE", "REMARKS", "ORDINAL_POSITION"),
                    "i, " + Types.BIGINT + ", BIGINT, NO, counted, 1");
                expect(rows.next(), true);
                expect(cells(rows, "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "IS_NULLABLE", "COLUMN_DEF", "COLUMN_SIZE"),
                    "s, " + Types.VARCHAR + ", VARCHAR, YES, x, 20");
                expect(rows.next(), false);
            }
            try (ResultSet rows = about.getColumns(DATABASE, null, "types", "c\\_%")) {
                for (Type type : TYPES) {
                    expect(rows.next(), true);
                    expect(rows.getString("COLUMN_NAME"), type.column);
                    expectOf(type.declared + " in the metadata", rows.getInt("DATA_TYPE"), type.inMetadata());
                }
                expect(rows.next(), false);
            }
        }
    }

    private void noMetadata() throws SQLException {
        try (Connection connection = open(user, password, DATABASE, "")) {
            DatabaseMetaData about = connection.getMetaData();
            expect(column(about.getPrimaryKeys(DATABASE, null, "n"), "COLUMN_NAME"), List.of());
            // What the rows are sorted by is shown as an index.
            expect(column(about.getIndexInfo(DATABASE, null, "n", false, true), "INDEX_NAME"), List.of("ORDER BY"));
            expect(column(about.getImportedKeys(DATABASE, null, "n"), "FKTABLE_NAME"), List.of());
            expect(column(about.getExportedKeys(DATABASE, null, "n"), "FKTABLE_NAME"), List.of());
            expect(column(about.getCrossReference(DATABASE, null, "n", DATABASE, null, "types"), "FKTABLE_NAME"), List.of());
            expect(column(about.getBestRowIdentifier(DATABASE, null, "n", 0, true), "COLUMN_NAME"), List.of());
            expect(column(about.getVersionColumns(DATABASE, null, "n"), "COLUMN_NAME"), List.of());
            expect(column(about.getProcedures(DATABASE, null, "%"), "PROCEDURE_NAME"), List.of());
            expect(column(about.getProcedureColumns(DATABASE, null, "%", "%"), "COLUMN_NAME"), List.of());
            expect(column(about.getFunctions(DATABASE, null, "%"), "FUNCTION_NAME"), List.of());
            expect(column(about.getFunctionColumns(DATABASE, null, "%", "%"), "COLUMN_NAME"), List.of());
            expect(column(about.getTablePrivileges(DATABASE, null, "%"), "TABLE_NAME"), List.of());
            expect(column(about.getColumnPrivileges(DATABASE, null, "n", "%"), "COLUMN_NAME"), List.of());
            expect(column(about.getSchemas(), "TABLE_SCHEM"), List.of());
            about.getSQLKeywords();
        }
    }

    private void columns(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT i AS number, s FROM n WHERE i = ?")) {
            expect(statement.getParameterMetaData().getParameterCount(), 1);
            statement.setLong(1, 1);
            try (ResultSet rows = statement.executeQuery()) {
                ResultSetMetaData about = rows.getMetaData();
                expect(about.getColumnCount(), 2);
                expect(of(about, 1), "number, BIGINT, java.lang.Long, 0, 19");
                expect(of(about, 2), "s, VARCHAR, java.lang.String, 1, 20");
            }
        }
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT c_dec, c_frac, c_money, c_bool FROM types")) {
            ResultSetMetaData about = rows.getMetaData();
            expect(of(about, 1) + ", " + about.getScale(1), "c_dec, DECIMAL, java.math.BigDecimal, 1, 38, 0");
            expect(of(about, 2) + ", " + about.getScale(2), "c_frac, DECIMAL, java.math.BigDecimal, 1, 38, 38");
            expect(of(about, 3) + ", " + about.getScale(3), "c_money, DECIMAL, java.math.BigDecimal, 1, 12, 2");
            expect(of(about, 4), "c_bool, BIT, java.lang.Boolean, 1, 1");
        }
    }

    private static String of(ResultSetMetaData about, int column) throws SQLException {
        return String.join(", ", about.getColumnLabel(column), about.getColumnTypeName(column), about.getColumnClassName(column),
            Integer.toString(about.isNullable(column)), Integer.toString(about.getPrecision(column)));
    }

    private void noRows(Connection connection) throws SQLException {
        expect(all(connection, "SELECT i, s FROM n WHERE i < 0"), List.of());
        try (PreparedStatement statement = connection.prepareStatement("SELECT i, s FROM n WHERE i < ?")) {
            for (int again = 0; again < 3; again++) {
                statement.setLong(1, 0);
                expect(rows(statement.executeQuery()), List.of());
            }
        }
    }

    private void types(Connection connection) throws SQLException {
        run(connection, "TRUNCATE TABLE types");
        StringBuilder columns = new StringBuilder("id");
        for (Type type : TYPES) {
            columns.append(", ").append(type.column);
        }
        String insert = "INSERT INTO types (" + columns + ") VALUES (?" + ", ?".repeat(TYPES.size()) + ")";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int id = 0; id < 3; id++) {
                statement.setInt(1, id);
                for (int index = 0; index < TYPES.size(); index++) {
                    Object value = TYPES.get(index).value(id);
                    if (value == null) {
                        statement.setNull(index + 2, TYPES.get(index).jdbc);
                    } else {
                        // Connector/J sends a BigInteger as 64 bits with a sign, whatever it is.
                        statement.setObject(index + 2, value instanceof BigInteger number ? new BigDecimal(number) : value);
                    }
                }
                expect(statement.executeUpdate(), 1);
            }
        }
        String select = "SELECT " + columns + " FROM types ORDER BY id";
        try (PreparedStatement statement = connection.prepareStatement(select); ResultSet rows = statement.executeQuery()) {
            expectTypes(rows, "");
        }
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(select)) {
            expectTypes(rows, " in plain rows");
        }
    }

    private static void expectTypes(ResultSet rows, String where) throws SQLException {
        ResultSetMetaData about = rows.getMetaData();
        for (int id = 0; id < 3; id++) {
            expect(rows.next(), true);
            for (int index = 0; index < TYPES.size(); index++) {
                Type type = TYPES.get(index);
                String what = type.declared + where;
                Object wanted = type.value(id);
                Object found = wanted == null ? rows.getObject(index + 2) : rows.getObject(index + 2, wanted.getClass());
                expectOf(what, found, wanted);
                expectOf(what + " was null", rows.wasNull(), wanted == null);
                expectOf(what + " is of the type", about.getColumnType(index + 2), type.jdbc);
                // A Time of Java is one of a day.
                Object own = wanted == null || wanted instanceof Duration ? null : rows.getObject(index + 2);
                if (own != null) {
                    expectOf(what + " is of the class", own.getClass().getName(), about.getColumnClassName(index + 2));
                }
            }
        }
        expect(rows.next(), false);
    }

    private void bytes(Connection connection) throws SQLException {
        run(connection, "TRUNCATE TABLE n");
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO n (i, s) VALUES (1, ?), (2, 'plain')")) {
            statement.setBytes(1, "grüß' \\".getBytes(StandardCharsets.UTF_8));
            expect(statement.executeUpdate(), 2);
            statement.setBytes(1, new byte[] {'a', -1});
            expectError(1366, "HY000", statement::executeUpdate);
        }
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO n SELECT 3, ?")) {
            statement.setBytes(1, "grüß' \\".getBytes(StandardCharsets.UTF_8));
            expect(statement.executeUpdate(), 1);
        }
        expect(all(connection, "SELECT s, length(s) FROM n ORDER BY i").toString(), "[[grüß' \\, 9], [plain, 5], [grüß' \\, 9]]");
    }

    private void parameters(Connection connection) throws SQLException {
        // What is not prepared on the server is a number with a point, which is in floating point.
        BigDecimal decimal = new BigDecimal("-1234567890123.5");
        LocalDateTime at = LocalDateTime.of(2024, 2, 29, 1, 2, 3, 4000);
        byte[] bytes = {-1, 0, '\''};
        try (PreparedStatement statement = connection.prepareStatement("SELECT ?, ?, ?, ?, ?, CAST(? AS DATETIME(6)), ?, length(?)")) {
            for (int again = 0; again < 2; again++) {
                statement.setLong(1, Long.MIN_VALUE);
                statement.setDouble(2, -0.5);
                statement.setString(3, "it's; -- \\ \"grüße 🌊\"");
                statement.setObject(4, null);
                statement.setBigDecimal(5, decimal);
                statement.setObject(6, at);
                statement.setBytes(7, bytes);
                statement.setBytes(8, bytes);
                try (ResultSet row = statement.executeQuery()) {
                    expect(row.next(), true);
                    expect(row.getLong(1), Long.MIN_VALUE);
                    expect(row.getDouble(2), -0.5);
                    expect(row.getString(3), "it's; -- \\ \"grüße 🌊\"");
                    expect(row.getObject(4), null);
                    expect(row.getBigDecimal(5).compareTo(decimal), 0);
                    expect(row.getObject(6, LocalDateTime.class), at);
                    expect(row.getBytes(7), bytes);
                    expect(row.getInt(8), 3);
                    expect(row.next(), false);
                }
            }
        }
    }

    private void often(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT value * ? FROM generate_series(1, 100) LIMIT ?")) {
            for (int count = 1; count <= 50; count++) {
                statement.setLong(1, 2);
                statement.setInt(2, count);
                expect(rows(statement.executeQuery()).size(), count);
            }
        }
    }

    private void manyRows(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (int size : new int[] {1, 7, 1000}) {
                statement.setFetchSize(size);
                expect(rows(statement.executeQuery("SELECT value FROM generate_series(1, 1000)")).size(), 1000);
            }
            statement.setMaxRows(3);
            expect(rows(statement.executeQuery("SELECT value FROM generate_series(1, 1000)")).size(), 3);
        }
        expect(all(connection, "SELECT value FROM generate_series(1, 1000)").size(), 1000);
    }

    private void batch(Connection connection) throws SQLException {
        run(connection, "TRUNCATE TABLE n");
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO n (i, s) VALUES (?, ?)")) {
            for (int i = 0; i < 20; i++) {
                statement.setLong(1, i);
                statement.setString(2, "it's " + i);
                statement.addBatch();
            }
            for (int count : statement.executeBatch()) {
                expect(count == 1 || count == Statement.SUCCESS_NO_INFO, true);
            }
        }
        expect(one(connection, "SELECT count(*), sum(i), min(s), max(s) FROM n").toString(), "[20, 190, it's 0, it's 9]");
        try (Statement statement = connection.createStatement()) {
            for (int i = 20; i < 30; i++) {
                statement.addBatch("INSERT INTO n (i) VALUES (" + i + ")");
            }
            expect(statement.executeBatch().length, 10);
        }
        expect(one(connection, "SELECT count(*), sum(i) FROM n").toString(), "[30, 435]");
    }

    private void badBatch(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO n (i, s) VALUES (?, ?)")) {
            for (String text : List.of("a", "this is more than twenty characters", "c")) {
                statement.setLong(1, 1000);
                statement.setString(2, text);
                statement.addBatch();
            }
            try {
                statement.executeBatch();
                throw new AssertionError("no error");
            } catch (BatchUpdateException error) {
                expect(error.getErrorCode() + " " + error.getSQLState(), "1406 22001");
            }
        }
    }

    private void errors(Connection connection) throws SQLException {
        expectError(1146, "42S02", () -> all(connection, "SELECT * FROM nothing"));
        expectError(1054, "42S22", () -> all(connection, "SELECT nothing FROM n"));
        expectError(1064, "42000", () -> all(connection, "SELECT FROM WHERE"));
        expectError(1049, "42000", () -> connection.setCatalog("no_such_database"));
        expectError(1050, "42S01", () -> run(connection, "CREATE TABLE n (i INT)"));
        expectError(1048, "23000", () -> run(connection, "INSERT INTO n (i) VALUES (NULL)"));
        expectError(1136, "21S01", () -> run(connection, "INSERT INTO n VALUES (1)"));
        expectError(1366, "HY000", () -> run(connection, "INSERT INTO n (i) VALUES ('x')"));
        // Connector/J makes every state that begins with 22 this one.
        expectError(1264, "22001", () -> run(connection, "INSERT INTO n (i) VALUES (9223372036854775808)"));
        expectError(1146, "42S02", () -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM nothing WHERE a = ?")) {
                statement.setLong(1, 1);
                statement.executeQuery();
            }
        });
        expect(one(connection, "SELECT 1"), List.of(1L));
    }

    private void warnings(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("SET no_such_variable = 1");
            SQLWarning warning = statement.getWarnings();
            expect(warning != null && warning.getErrorCode() == 1193, true);
            expect(rows(statement.executeQuery("SELECT 1")), List.of(List.of(1L)));
            expect(statement.getWarnings(), null);
        }
    }

    private void transactions(Connection connection) throws SQLException {
        run(connection, "TRUNCATE TABLE n");
        connection.setAutoCommit(false);
        run(connection, "INSERT INTO n (i) VALUES (1)");
        connection.commit();
        run(connection, "INSERT INTO n (i) VALUES (2)");
        connection.rollback();
        Savepoint here = connection.setSavepoint("here");
        connection.rollback(here);
        connection.releaseSavepoint(here);
        connection.setAutoCommit(true);
        expect(connection.getAutoCommit(), true);
        // An INSERT stands for itself.
        expect(one(connection, "SELECT count(*) FROM n"), List.of(2L));
        int level = connection.getTransactionIsolation();
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        expect(connection.getTransactionIsolation(), Connection.TRANSACTION_READ_COMMITTED);
        connection.setTransactionIsolation(level);
        connection.setReadOnly(true);
        expect(one(connection, "SELECT 1"), List.of(1L));
        connection.setReadOnly(false);
        expect(connection.isReadOnly(), false);
    }

    private void timeout(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(LONG + " AND a.value > ?")) {
            statement.setQueryTimeout(1);
            statement.setLong(1, 0);
            statement.executeQuery();
            throw new AssertionError("it came to its end");
        } catch (SQLTimeoutException expected) {
            // So it is told of a plain statement.
        } catch (SQLException error) {
            // Of one that was prepared on the server, Connector/J passes on what the server answers.
            expect(error.getErrorCode(), INTERRUPTED);
        }
        expect(one(connection, "SELECT 1"), List.of(1L));
    }

    private void cancel(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread other = new Thread(() -> step("from another thread", () -> {
                Thread.sleep(300);
                statement.cancel();
            }));
            other.start();
            try {
                statement.executeQuery(LONG);
                throw new AssertionError("it came to its end");
            } catch (SQLException error) {
                boolean isCancelled = error instanceof com.mysql.cj.jdbc.exceptions.MySQLStatementCancelledException;
                expect(isCancelled || error.getErrorCode() == INTERRUPTED, true);
            }
            other.join();
        }
        expect(one(connection, "SELECT 1"), List.of(1L));
    }

    private void large(Connection connection) throws SQLException {
        String text = "x".repeat(1_000_000);
        try (PreparedStatement statement = connection.prepareStatement("SELECT length(?), ?")) {
            statement.setString(1, text);
            statement.setString(2, text);
            try (ResultSet row = statement.executeQuery()) {
                expect(row.next(), true);
                expect(row.getInt(1), text.length());
                expect(row.getString(2).equals(text), true);
            }
        }
    }

    // ---- the types -----------------------------------------------------------------------------------------------------

    /** A column of each type: what JDBC calls it, and two values, as the class in which Java has them. */
    private record Type(String column, String declared, int jdbc, Object least, Object greatest) {
        /** In the row of this number; the third has none. */
        Object value(int id) {
            return switch (id) {
                case 0 -> least;
                case 1 -> greatest;
                default -> null;
            };
        }

        /** Connector/J does not know what has no name in MySQL. */
        int inMetadata() {
            return declared.startsWith("ARRAY") || declared.startsWith("MAP") ? Types.OTHER : jdbc;
        }
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int index = 0; index < values.length; index++) {
            bytes[index] = (byte) values[index];
        }
        return bytes;
    }

    private static final LocalDateTime LAST = LocalDateTime.of(9999, 12, 31, 23, 59, 59);

    private static final List<Type> TYPES = List.of(
        new Type("c_bool", "BOOLEAN", Types.BIT, false, true),
        new Type("c_tiny", "TINYINT", Types.TINYINT, Byte.MIN_VALUE, Byte.MAX_VALUE),
        new Type("c_utiny", "TINYINT UNSIGNED", Types.TINYINT, (short) 0, (short) 255),
        new Type("c_small", "SMALLINT", Types.SMALLINT, Short.MIN_VALUE, Short.MAX_VALUE),
        new Type("c_usmall", "SMALLINT UNSIGNED", Types.SMALLINT, 0, 65_535),
        new Type("c_medium", "MEDIUMINT", Types.INTEGER, -8_388_608, 8_388_607),
        new Type("c_int", "INT", Types.INTEGER, Integer.MIN_VALUE, Integer.MAX_VALUE),
        new Type("c_uint", "INT UNSIGNED", Types.INTEGER, 0L, 4_294_967_295L),
        new Type("c_big", "BIGINT", Types.BIGINT, Long.MIN_VALUE, Long.MAX_VALUE),
        new Type("c_ubig", "BIGINT UNSIGNED", Types.BIGINT, BigInteger.ZERO, new BigInteger("18446744073709551615")),
        new Type("c_float", "FLOAT", Types.REAL, -1.5f, Float.MIN_VALUE),
        new Type("c_double", "DOUBLE", Types.DOUBLE, -Double.MAX_VALUE, Double.MIN_VALUE),
        new Type("c_dec", "DECIMAL(38,0)", Types.DECIMAL, new BigDecimal("-" + "9".repeat(38)), new BigDecimal("9".repeat(38))),
        new Type("c_frac", "DECIMAL(38,38)", Types.DECIMAL, new BigDecimal("-0." + "9".repeat(38)), new BigDecimal("0." + "9".repeat(38))),
        new Type("c_money", "DECIMAL(12,2)", Types.DECIMAL, new BigDecimal("-9999999999.99"), new BigDecimal("0.10")),
        new Type("c_date", "DATE", Types.DATE, LocalDate.of(1, 1, 1), LocalDate.of(9999, 12, 31)),
        new Type("c_time", "TIME(6)", Types.TIME, Duration.parse("PT-838H-59M-58.000001S"), Duration.parse("PT838H59M58.999999S")),
        new Type("c_at", "DATETIME", Types.TIMESTAMP, LocalDateTime.of(1, 1, 1, 0, 0), LAST.withNano(999_999_000)),
        new Type("c_at0", "DATETIME(0)", Types.TIMESTAMP, LocalDateTime.of(1969, 12, 31, 23, 59, 59), LAST),
        new Type("c_at6", "DATETIME(6)", Types.TIMESTAMP, LocalDateTime.of(2024, 2, 29, 1, 2, 3, 4000), LAST.withNano(999_999_000)),
        new Type("c_ts3", "TIMESTAMP(3)", Types.TIMESTAMP, LocalDateTime.of(1970, 1, 1, 0, 0, 1), LocalDateTime.of(2038, 1, 19, 3, 14, 7, 999_000_000)),
        new Type("c_year", "YEAR", Types.DATE, 1901, 2155),
        new Type("c_char", "CHAR(3)", Types.CHAR, "", "äö€"),
        new Type("c_varchar", "VARCHAR(4)", Types.VARCHAR, "a'\\ ", "ä€😀\n"),
        new Type("c_text", "TEXT", Types.LONGVARCHAR, "", "it's \"quoted\" \\ \n\0 ä"),
        new Type("c_enum", "ENUM('small','it''s')", Types.CHAR, "small", "it's"),
        new Type("c_binary", "BINARY(3)", Types.BINARY, bytes(0, 0, 0), bytes(255, '\'', '\\')),
        new Type("c_varbinary", "VARBINARY(4)", Types.VARBINARY, bytes(), bytes(0, 255, 254, '\'')),
        new Type("c_blob", "BLOB", Types.LONGVARBINARY, bytes(), bytes(0xde, 0xad)),
        new Type("c_json", "JSON", Types.LONGVARCHAR, "[1, 2.50]", "{\"a\": {\"b\": \"it's\"}, \"ä\":1e5}"),
        new Type("c_array", "ARRAY<INT>", Types.LONGVARCHAR, "[]", "[1,null]"));

    // ---- helpers -------------------------------------------------------------------------------------------------------

    private Connection open(String user, String password, String database, String properties) throws SQLException {
        Properties login = new Properties();
        login.put("user", user);
        login.put("password", password);
        return DriverManager.getConnection(address + database + "?" + properties, login);
    }

    private void step(String name, Step step) {
        try {
            step.run();
            System.out.println("ok     Connector/J: " + way + name);
        } catch (Exception | AssertionError error) {
            failures++;
            System.out.println("FAILED Connector/J: " + way + name);
            error.printStackTrace(System.out);
        }
    }

    private static void expect(Object found, Object wanted) {
        expectOf("a value", found, wanted);
    }

    private static void expectOf(String what, Object found, Object wanted) {
        if (!Objects.deepEquals(found, wanted)) {
            throw new AssertionError(what + ": expected " + shown(wanted) + ", found " + shown(found));
        }
    }

    private static String shown(Object value) {
        if (value == null) {
            return "null";
        }
        String text = value instanceof byte[] bytes ? Arrays.toString(bytes) : value.toString();
        return text + " (" + value.getClass().getName() + ")";
    }

    private static void expectError(int code, String state, Step step) {
        try {
            step.run();
        } catch (SQLException error) {
            expectOf(error.getMessage(), error.getErrorCode() + " " + error.getSQLState(), code + " " + state);
            return;
        } catch (Exception error) {
            throw new AssertionError("expected error " + code, error);
        }
        throw new AssertionError("no error, where " + code + " was due");
    }

    private static void run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static List<List<Object>> all(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return rows(statement.executeQuery(sql));
        }
    }

    private static List<Object> one(Connection connection, String sql) throws SQLException {
        List<List<Object>> rows = all(connection, sql);
        expect(rows.size(), 1);
        return rows.get(0);
    }

    private static List<List<Object>> rows(ResultSet rows) throws SQLException {
        List<List<Object>> all = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                List<Object> row = new ArrayList<>();
                for (int column = 1; column <= rows.getMetaData().getColumnCount(); column++) {
                    row.add(rows.getObject(column));
                }
                all.add(row);
            }
        }
        return all;
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> all = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                all.add(rows.getString(name));
            }
        }
        return all;
    }

    private static String cells(ResultSet row, String... names) throws SQLException {
        List<String> cells = new ArrayList<>();
        for (String name : names) {
            cells.add(row.getString(name));
        }
        return String.join(", ", cells);
    }
}
