//! Names as the engine gets them.

use std::sync::Arc;

use catalog::store::MemoryStore;
use catalog::{ColumnType, NewColumn, NewTable};
use datafusion::sql::sqlparser::parser::Parser;
use vfs::World;

use super::*;
use crate::sql::dialect::MillraceDialect;

async fn catalog() -> Catalog {
    let world = World::system();
    let catalog = Catalog::open(Arc::new(MemoryStore::new(world.clock.clone())), world).await.unwrap();
    for (name, columns) in [("Orders", ["orderId", "Total"]), ("users", ["userId", "name"])] {
        let column = |name: &str| NewColumn::new(name, ColumnType::Text { characters_max: None }, true);
        let new = NewTable {
            database: "default".into(),
            name: name.into(),
            columns: columns.map(column).to_vec(),
            partition_by: vec![],
            order_by: vec![],
        };
        catalog.create_table(new, false).await.unwrap();
    }
    catalog
}

async fn resolved(text: &str) -> Result<String, SqlError> {
    let mut statement = Parser::new(&MillraceDialect).try_with_sql(text).unwrap().parse_statement().unwrap();
    resolve(&mut statement, &catalog().await, Some("Default"), Vec::new()).await?;
    Ok(statement.to_string())
}

#[tokio::test]
async fn tables_and_columns_get_the_spelling_of_the_catalog() {
    for (typed, meant) in [
        ("SELECT ORDERID FROM orders", "SELECT `orderId` FROM `default`.`Orders` AS `orders`"),
        (
            "SELECT o.total, default.Users.NAME FROM orders O, users",
            "SELECT `o`.`Total`, `users`.`name` FROM `default`.`Orders` `o`, `default`.`users` AS `users`",
        ),
        ("SELECT x.* FROM orders X", "SELECT `x`.* FROM `default`.`Orders` `x`"),
        (
            "SELECT Total AS Sum FROM orders ORDER BY SUM",
            "SELECT `Total` AS `Sum` FROM `default`.`Orders` AS `orders` ORDER BY `Sum`",
        ),
        ("SELECT unknown FROM orders", "SELECT unknown FROM `default`.`Orders` AS `orders`"),
        ("SELECT Reason FROM orders$ERRORS", "SELECT `reason` FROM `default`.`Orders$errors` AS `orders$errors`"),
        (
            "SELECT 1 FROM orders JOIN users USING (Orderid)",
            "SELECT 1 FROM `default`.`Orders` AS `orders` JOIN `default`.`users` AS `users` USING(`orderId`)",
        ),
        (
            "SELECT sum(total) OVER W FROM (orders o JOIN users u USING (ORDERID)) WINDOW w AS (ORDER BY o.ORDERID)",
            "SELECT sum(`Total`) OVER `w` FROM (`default`.`Orders` `o` JOIN `default`.`users` `u` USING(`orderId`)) \
             WINDOW `w` AS (ORDER BY `o`.`orderId`)",
        ),
        (
            "SELECT TABLE_name FROM INFORMATION_SCHEMA.tables",
            "SELECT `TABLE_NAME` FROM `information_schema`.`tables` AS `tables`",
        ),
    ] {
        assert_eq!(resolved(typed).await.unwrap(), meant);
    }
}

#[tokio::test]
async fn a_common_table_expression_hides_the_table_of_its_name_where_it_is_in_scope() {
    assert_eq!(
        resolved("WITH Orders AS (SELECT * FROM orders) SELECT * FROM ORDERS").await.unwrap(),
        "WITH `orders` AS (SELECT * FROM `default`.`Orders` AS `orders`) SELECT * FROM `orders`"
    );
    assert_eq!(
        resolved("SELECT * FROM (WITH users AS (SELECT 1) SELECT * FROM users) x, users").await.unwrap(),
        "SELECT * FROM (WITH `users` AS (SELECT 1) SELECT * FROM `users`) `x`, `default`.`users` AS `users`"
    );
    assert_eq!(
        resolved("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT * FROM n").await.unwrap(),
        "WITH RECURSIVE `n` AS (SELECT 1 AS `i` UNION ALL SELECT `i` FROM `n`) SELECT * FROM `n`"
    );
}

#[tokio::test]
async fn a_table_that_is_not_there_is_told_with_the_one_that_was_perhaps_meant() {
    for (typed, code, words) in [
        ("SELECT * FROM order", 1146, "did you mean 'Orders'?"),
        ("SELECT * FROM x.y", 1049, "Unknown database 'x'"),
        ("SELECT * FROM a.b.c", 1064, "write database.table"),
        ("SELECT * FROM information_schema.tabels", 1146, "did you mean 'tables'?"),
        ("SELECT * FROM nofunction(1)", 1305, "stands in FROM"),
    ] {
        let typed = typed.replace("FROM order", "FROM `order`");
        let error = resolved(&typed).await.unwrap_err();
        assert!(error.code == code && error.message.contains(words), "{typed}: {} {}", error.code, error.message);
    }
}
