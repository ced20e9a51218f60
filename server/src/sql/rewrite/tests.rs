//! MySQL's words become the engine's.

use chrono::DateTime;
use datafusion::sql::sqlparser::parser::Parser;

use super::*;
use crate::sql::dialect::MillraceDialect;
use crate::sql::variables::ServerFacts;

fn variables() -> Variables {
    let facts = ServerFacts { server_version: "8.4.0-x".into(), ..ServerFacts::default() };
    Variables::new(std::sync::Arc::new(facts))
}

fn rewritten_under(text: &str, variables: &Variables) -> Result<String, SqlError> {
    let mut statement = Parser::new(&MillraceDialect).try_with_sql(text).unwrap().parse_statement().unwrap();
    let session = SessionValues {
        database: Some("demo"),
        user: "root@host",
        connection_id: 7,
        variables,
        diagnostics: &Diagnostics::default(),
        now: DateTime::from_timestamp_micros(1_359_633_600_123_456).unwrap(),
    };
    rewrite(&mut statement, &session)?;
    Ok(statement.to_string())
}

fn rewritten(text: &str) -> String {
    rewritten_under(text, &variables()).unwrap()
}

#[test]
fn what_the_session_knows_becomes_a_literal() {
    assert_eq!(
        rewritten("SELECT DATABASE(), VERSION(), USER(), CONNECTION_ID(), @@autocommit"),
        "SELECT 'demo', '8.4.0-x', 'root@host', 7, 1"
    );
    assert_eq!(
        rewritten("SELECT SCHEMA(), DATABASE(), CURRENT_USER"),
        "SELECT 'demo', 'demo' AS `'demo':2`, 'root@host'"
    );
    assert_eq!(
        rewritten("SELECT @@session.sql_select_limit, @@GLOBAL.license"),
        "SELECT 9223372036854775807, 'Apache-2.0'"
    );
    assert_eq!(
        rewritten("SELECT NOW(), NOW(3), CURDATE()"),
        "SELECT TIMESTAMP '2013-01-31 12:00:00', TIMESTAMP '2013-01-31 12:00:00.123', DATE \
         '2013-01-31'"
    );
    assert_eq!(rewritten("SELECT CURRENT_USER(), `current_user`"), "SELECT 'root@host', `current_user`");
    assert_eq!(rewritten("SELECT CURRENT_DATE, UNIX_TIMESTAMP()"), "SELECT DATE '2013-01-31', 1359633600");
    let error = rewritten_under("SELECT @@nothing.such", &variables()).unwrap_err();
    assert_eq!(error.code, 1193);
}

#[test]
fn parts_of_dates_and_their_formats_become_the_engines() {
    for (mysql, engine) in [
        ("YEAR(a)", "date_part('year', a)"),
        ("DAYOFMONTH(a)", "date_part('day', a)"),
        ("DAYOFWEEK(a)", "(date_part('dow', a) + 1)"),
        ("WEEKDAY(a)", "(date_part('isodow', a) - 1)"),
        ("MICROSECOND(a)", "(date_part('microsecond', a) % 1000000)"),
        ("UNIX_TIMESTAMP(a)", "CAST(date_part('epoch', a) AS BIGINT)"),
        ("DATE(a)", "CAST(a AS DATE)"),
        ("DATE_ADD(a, INTERVAL 1 DAY)", "(a + INTERVAL 1 DAY)"),
        ("SUBDATE(a, INTERVAL 2 MONTH)", "(a - INTERVAL 2 MONTH)"),
        ("DATE_ADD('2024-01-31', INTERVAL 1 DAY)", "(CAST('2024-01-31' AS DATE) + INTERVAL 1 DAY)"),
        ("DATE_ADD(a, INTERVAL 1 HOUR)", "(CAST(a AS TIMESTAMP(6)) + INTERVAL 1 HOUR)"),
        ("TIMESTAMPADD(WEEK, -2, a)", "(a + INTERVAL '-14' DAY)"),
        ("TIMESTAMPDIFF(MONTH, a, b)", "timestampdiff('MONTH', a, b)"),
        ("MONTHNAME(a)", "date_format(a, '%M')"),
        ("FROM_UNIXTIME(a, '%Y')", "date_format(from_unixtime(a), '%Y')"),
        ("STR_TO_DATE(a, '%Y')", "CAST(str_to_date(a, '%Y') AS DATE)"),
        ("STR_TO_DATE(a, '%Y %H')", "str_to_date(a, '%Y %H')"),
        ("HOUR(NOW())", "date_part('hour', TIMESTAMP '2013-01-31 12:00:00')"),
    ] {
        assert_eq!(rewritten(&format!("SELECT {mysql}")), format!("SELECT {engine}"), "{mysql}");
    }
    for call in ["TIMESTAMPADD(FORTNIGHT, 1, a)", "TIMESTAMPADD(DAY, b, a)"] {
        assert_eq!(rewritten_under(&format!("SELECT {call}"), &variables()).unwrap_err().code, 1235, "{call}");
    }
}

#[test]
fn every_function_of_our_own_is_rewritten() {
    for name in FUNCTIONS {
        let calls = ["()", "(a)", "(a, INTERVAL 1 DAY)", "(a, b)", "(a, b, c)", "(DAY, 1, c)"];
        let changes = |arguments: &&str| {
            let call = format!("SELECT {name}{arguments}");
            rewritten_under(&call, &variables()).is_ok_and(|text| text != call)
        };
        assert!(calls.iter().any(changes), "{name}");
    }
}

#[test]
fn operators_and_calls_become_the_engines() {
    for (mysql, engine) in [
        ("7 DIV 2", "CAST((7 / 2) AS BIGINT)"),
        ("7 MOD 2", "7 % 2"),
        ("MOD(7, 1 + 1)", "((7) % (1 + 1))"),
        ("!a", "NOT a"),
        ("a || b", "a OR b"),
        ("a XOR b", "(CAST(a AS BOOLEAN) <> CAST(b AS BOOLEAN))"),
        ("a REGEXP 'x'", "a ~* 'x'"),
        ("a NOT RLIKE 'x'", "a !~* 'x'"),
        ("CAST(a AS SIGNED)", "signed(a)"),
        ("CAST(a AS UNSIGNED)", "CAST(a AS DECIMAL(20,0))"),
        ("CAST(a AS DATETIME)", "CAST(a AS TIMESTAMP(6))"),
        ("CAST(a AS CHAR)", "CAST(a AS VARCHAR)"),
        ("CAST(a AS CHAR(3))", "left(CAST(a AS VARCHAR), 3)"),
        ("CAST(a AS DECIMAL)", "CAST(a AS DECIMAL(10,0))"),
        ("SUBSTRING(a, 2, 3)", "SUBSTRING(a, 2, 3)"),
        ("SUBSTRING(a, -2)", "mid(a, -2)"),
        ("SUBSTR(a FROM b FOR 3)", "mid(a, b, 3)"),
        ("a->'$.b'", "json_extract(a, '$.b')"),
        ("a->>'$.b'", "json_unquote(json_extract(a, '$.b'))"),
        ("GROUP_CONCAT(a)", "string_agg(CAST(a AS VARCHAR), ',')"),
        (
            "GROUP_CONCAT(DISTINCT a, b ORDER BY a SEPARATOR '; ')",
            "string_agg(DISTINCT CAST(concat(a, b) AS VARCHAR), '; ' ORDER BY a)",
        ),
        ("RAND()", "random()"),
        ("LOG(a)", "ln(a)"),
        ("LOG(2, a)", "LOG(2, a)"),
        ("REGEXP_REPLACE(a, 'x', 'y')", "REGEXP_REPLACE(a, 'x', 'y', 'gi')"),
        ("CONVERT(a, SIGNED)", "signed(a)"),
        ("CONVERT(a USING utf8mb4)", "a"),
        ("BINARY a", "a"),
        ("IF(a, 1, 2)", "CASE WHEN a THEN 1 ELSE 2 END"),
        ("ISNULL(a)", "((a) IS NULL)"),
        ("LOCATE('x', a)", "strpos(a, 'x')"),
        ("UCASE(LCASE(a))", "upper(lower(a))"),
        ("a COLLATE utf8mb4_bin", "a"),
        ("a LIKE 'b'", "a LIKE 'b'"),
        (r"a LIKE '10!%\\_!!%' ESCAPE '!'", r"a LIKE '10\%\\_\!%'"),
        ("a NOT LIKE 'b|' ESCAPE '|'", r"a NOT LIKE 'b\|'"),
        (r"a LIKE 'b\\%' ESCAPE ''", r"a LIKE 'b\\%'"),
        (r"a LIKE 'b\%' ESCAPE '\\'", r"a LIKE 'b\%'"),
        ("a LIKE b ESCAPE '!'", "a LIKE b ESCAPE '!'"),
        ("a COLLATE `binary`", "a"),
    ] {
        assert_eq!(rewritten(&format!("SELECT {mysql}")), format!("SELECT {engine}"), "{mysql}");
    }
}

#[test]
fn clauses_that_mean_nothing_here_are_left_out() {
    assert_eq!(rewritten("SELECT SQL_CALC_FOUND_ROWS a FROM t USE INDEX (x) FOR UPDATE"), "SELECT a FROM t");
    assert_eq!(rewritten("SELECT 1 FROM DUAL WHERE 1 = 1"), "SELECT 1 WHERE 1 = 1");
    assert!(rewritten_under("SELECT 1 INTO x", &variables()).is_err());
}

#[test]
fn texts_are_not_compared_by_another_collation_than_is_named() {
    let error = rewritten_under("SELECT a COLLATE utf8mb4_general_ci", &variables()).unwrap_err();
    assert_eq!(error.code, 1235);
    assert!(error.message.contains("LOWER"), "{}", error.message);
}

#[test]
fn having_without_groups_is_a_where_that_knows_aliases() {
    for (mysql, engine) in [
        ("a HAVING a > 1", "a WHERE a > 1"),
        ("a + 1 AS b WHERE c OR d HAVING B > 1 OR a = 2", "a + 1 AS b WHERE (c OR d) AND ((a + 1) > 1 OR a = 2)"),
        ("a + 1 AS a HAVING a > 1 AND t.a > 2", "a + 1 AS a WHERE (a + 1) > 1 AND t.a > 2"),
        ("count(*) AS b HAVING b > 1", "count(*) AS b HAVING b > 1"),
        ("a HAVING max(a) > 1", "a HAVING max(a) > 1"),
        ("a GROUP BY a HAVING a > 1", "a GROUP BY a HAVING a > 1"),
        ("a, rank() OVER (ORDER BY a) AS r HAVING r > 1", "a, rank() OVER (ORDER BY a) AS r HAVING r > 1"),
        ("a HAVING a IN (SELECT 1)", "a HAVING a IN (SELECT 1)"),
    ] {
        // FROM stands behind the list.
        let with_from = |text: &str| {
            let at = [" WHERE", " GROUP BY", " HAVING"].iter().filter_map(|word| text.find(word)).min().unwrap();
            format!("SELECT {} FROM t{}", &text[..at], &text[at..])
        };
        assert_eq!(rewritten(&with_from(mysql)), with_from(engine), "{mysql}");
    }
}

#[test]
fn columns_of_the_same_name_are_told_apart() {
    assert_eq!(rewritten("SELECT 1, a AS x, 1, b AS X"), "SELECT 1, a AS x, 1 AS `1:2`, b AS `x:2`");
    assert_eq!(rewritten("SELECT a, t.a, u.b, v.b"), "SELECT a, t.a AS `t.a:2`, u.b, v.b");
    // The engine calls both a subquery, and both sums the same.
    assert_eq!(rewritten("SELECT (SELECT 1), (SELECT 2)"), "SELECT (SELECT 1), (SELECT 2) AS `(select 2)`");
    assert_eq!(rewritten("SELECT a + 1, t.a + 1, 2"), "SELECT a + 1, t.a + 1 AS `t.a + 1`, 2");
    // And a cast as what is cast.
    assert_eq!(rewritten("SELECT a, CAST(a AS DATE)"), "SELECT a, CAST(a AS DATE) AS `a:2`");
    assert_eq!(rewritten("SELECT 1, CAST(1 AS DOUBLE)"), "SELECT 1, CAST(1 AS DOUBLE) AS `1:2`");
    assert_eq!(
        rewritten("SELECT '2024-01-01', DATE '2024-01-01'"),
        "SELECT '2024-01-01', DATE '2024-01-01' AS `'2024-01-01':2`"
    );
}

#[test]
fn pipes_join_texts_where_the_session_wants_it() {
    let mut variables = variables();
    variables.set("sql_mode", Some(Value::Text("pipes_as_concat".into()))).unwrap();
    assert_eq!(rewritten_under("SELECT a || b", &variables).unwrap(), "SELECT a || b");
}
