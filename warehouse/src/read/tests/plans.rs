//! What a plan reads: only the parts, columns and rows that the statement can need, each part and range once.

use catalog::StreamId;

use super::super::testing::{Shop, rows_among};

async fn plan(shop: &Shop, sql: &str) -> String {
    shop.answer(&format!("EXPLAIN {sql}")).await.join("\n")
}

/// A shop with 5 days in parts and a sixth in memory.
async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.publish(1, 120);
    shop.commit_all().await;
    shop.publish(1, 24);
    shop.publish(3, 12);
    shop
}

async fn parts_of(shop: &Shop, filter: &str) -> String {
    let plan = plan(shop, &format!("SELECT id FROM Flights WHERE {filter}")).await;
    let (_, rest) = plan.split_once("parts=").expect("the plan tells of the parts");
    rest.split(',').next().unwrap().to_owned()
}

#[tokio::test]
async fn parts_are_left_out_by_partition_value() {
    let shop = shop().await;
    for (filter, parts) in [
        ("fare > 0", "5/5"),
        ("departs = '2013-01-02 03:00:00'", "1/5"),
        ("departs < '2013-01-02'", "1/5"),
        ("departs <= '2013-01-02'", "2/5"),
        ("departs > '2013-01-05 00:00:00'", "1/5"),
        ("departs >= '2013-01-04' AND departs < '2013-01-05'", "1/5"),
        ("departs BETWEEN '2013-01-02 12:00:00' AND '2013-01-03 12:00:00'", "2/5"),
        ("departs IN ('2013-01-01 01:00:00', '2013-01-05 01:00:00')", "2/5"),
        ("departs < '2013-01-01' OR departs > '2013-01-05'", "1/5"),
        ("departs < '2013-01-02' OR fare > 3", "5/5"),
        ("departs IS NULL", "0/5"),
        ("departs > '2014-01-01'", "0/5"),
        ("departs >= CAST('2013-01-05' AS DATE)", "1/5"),
        ("CAST(departs AS DATE) = '2013-01-02'", "1/5"),
    ] {
        assert_eq!(parts_of(&shop, filter).await, parts, "{filter}");
    }
}

#[tokio::test]
async fn parts_are_left_out_by_sort_key_and_by_hidden_columns() {
    let shop = shop().await;
    for (filter, parts) in [
        ("origin = 'LGA'", "5/5"),
        ("origin > 'LGA'", "0/5"),
        ("origin IS NULL", "5/5"),
        ("origin > 'M' OR departs < '2013-01-02'", "1/5"),
        ("_stream = 3", "0/5"),
        ("_stream IN (1, 3)", "5/5"),
        ("_offset < 24", "1/5"),
        ("_topic = 'flights' AND _offset >= 96", "1/5"),
    ] {
        assert_eq!(parts_of(&shop, filter).await, parts, "{filter}");
    }
}

#[tokio::test]
async fn a_plan_of_which_no_part_is_left_says_so_and_answers() {
    let shop = Shop::open().await;
    shop.publish(1, 120);
    shop.commit_all().await;
    shop.retire("w1");
    let filter = "departs > '2014-01-01'";
    assert_eq!(parts_of(&shop, filter).await, "0/5");
    assert_eq!(shop.number(&format!("SELECT count(*) FROM Flights WHERE {filter}")).await, 0);
    assert!(
        shop.answer(&format!("SELECT id, _topic FROM Flights WHERE {filter} ORDER BY fare LIMIT 3")).await.is_empty()
    );
    let joined = format!("SELECT count(*) FROM Flights a JOIN Flights b ON a.id = b.id WHERE a.{filter}");
    assert_eq!(shop.number(&joined).await, 0);
}

#[tokio::test]
async fn leaving_out_never_changes_an_answer() {
    let shop = shop().await;
    for filter in [
        "departs < '2013-01-02'",
        "departs > '2013-01-05'",
        "origin IS NULL",
        "_offset BETWEEN 20 AND 130",
        "_partition = 2",
    ] {
        let pruned = shop.answer(&format!("SELECT id FROM Flights WHERE {filter} ORDER BY id")).await;
        // A condition that nothing can be left out by.
        let all =
            shop.answer(&format!("SELECT id, ({filter}) AS kept, _offset, _partition FROM Flights ORDER BY id")).await;
        let kept: Vec<String> = all
            .iter()
            .filter(|line| line.split('|').nth(1) == Some("true"))
            .map(|line| line.split('|').next().unwrap().to_owned())
            .collect();
        assert_eq!(pruned, kept, "{filter}");
        assert!(!kept.is_empty(), "{filter}");
    }
}

#[tokio::test]
async fn leaving_out_never_loses_a_nan() {
    let shop = Shop::open().await;
    // Nine numbers and a NaN in each day but the first: Parquet's bounds would pass over the NaN.
    shop.publish_at(1, 120, |offset| match offset {
        30..=119 if offset % 10 == 5 => {
            if offset % 20 == 5 {
                f64::NAN
            } else {
                -f64::NAN
            }
        }
        _ => offset as f64,
    });
    let filters =
        ["fare > 1000", "fare < 0", "fare >= 119", "fare = 'NaN'", "fare <> 1", "NOT fare < 1000", "fare > 10"];
    let mut in_memory = Vec::new();
    for filter in filters {
        in_memory.push(shop.answer(&format!("SELECT id FROM Flights WHERE {filter} ORDER BY id")).await);
    }
    shop.commit_all().await;
    shop.retire("w1");
    for (filter, expected) in filters.into_iter().zip(in_memory) {
        assert_eq!(
            shop.answer(&format!("SELECT id FROM Flights WHERE {filter} ORDER BY id")).await,
            expected,
            "{filter}"
        );
    }
    // A column without a NaN still has its bounds.
    assert_eq!(shop.number("SELECT count(*) FROM Flights WHERE id > 1000100").await, 17);
}

#[tokio::test]
async fn only_the_columns_that_are_needed_are_read() {
    let shop = shop().await;
    let plan = plan(&shop, "SELECT sum(fare) FROM Flights WHERE origin = 'JFK'").await;
    assert!(plan.contains("projection=[origin, fare]"), "{plan}");
    shop.workers.take_scans();
    shop.number("SELECT count(*) FROM Flights").await;
    assert!(shop.workers.take_scans().iter().all(|scan| scan.projection.is_empty()));
}

#[tokio::test]
async fn a_limit_reaches_the_leaves() {
    let shop = shop().await;
    let plan = plan(&shop, "SELECT id FROM Flights LIMIT 3").await;
    assert!(plan.matches("limit=3").count() >= 2, "{plan}");
    assert_eq!(shop.answer("SELECT id FROM Flights LIMIT 3").await.len(), 3);
    assert_eq!(shop.answer("SELECT id FROM Flights LIMIT 1000").await.len() as i64, rows_among(144) + rows_among(12));
}

#[tokio::test]
async fn a_filter_reaches_the_parts_and_stays_over_the_memory() {
    let shop = shop().await;
    let plan = plan(&shop, "SELECT id FROM Flights WHERE fare > 10").await;
    assert!(plan.contains("predicate=fare@3 > 10"), "{plan}");
    assert!(plan.contains("pruning_predicate="), "{plan}");
    assert!(plan.contains("MemtableExec: owner=w1, streams=1, offsets=24"), "{plan}");
    assert!(plan.contains("MemtableExec: owner=w2, streams=1, offsets=12"), "{plan}");
    assert!(plan.contains("table=Flights, version=0000"), "{plan}");
}

#[tokio::test]
async fn each_range_is_scanned_once() {
    let shop = shop().await;
    shop.workers.take_scans();
    shop.answer("SELECT * FROM Flights").await;
    let mut streams: Vec<StreamId> =
        shop.workers.take_scans().iter().flat_map(|scan| scan.ranges.keys().copied().collect::<Vec<_>>()).collect();
    streams.sort();
    assert_eq!(streams, vec![StreamId(1), StreamId(3)]);
}

#[tokio::test]
async fn a_count_of_parts_alone_opens_none() {
    let shop = Shop::open().await;
    shop.publish(1, 50);
    shop.commit_all().await;
    let plan = plan(&shop, "SELECT count(*) FROM Flights").await;
    assert!(!plan.contains("DataSourceExec"), "{plan}");
    assert_eq!(shop.number("SELECT count(*) FROM Flights").await, rows_among(50));
}
