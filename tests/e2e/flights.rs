//! The main job on real data: every flight that departed New York in 2013, through the whole path, in exact figures.

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use millrace_tests::{Broker, Sql};

use crate::stage::Stage;

const FLIGHTS: i64 = 336_776;
const PARTITIONS: usize = 4;

const TABLE: &str = "CREATE TABLE flights (year INT NOT NULL, month INT NOT NULL, day INT NOT NULL, dep_time DOUBLE, \
    sched_dep_time INT, dep_delay DOUBLE, arr_time DOUBLE, sched_arr_time INT, arr_delay DOUBLE, carrier VARCHAR(2) NOT NULL, \
    flight INT, tailnum VARCHAR(6), origin VARCHAR(3) NOT NULL, dest VARCHAR(3) NOT NULL, air_time DOUBLE, distance BIGINT, \
    hour INT, minute INT, time_hour TIMESTAMP NOT NULL) PARTITION BY month(time_hour) ORDER BY (carrier, time_hour)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flight_is_counted_exactly_before_and_after_a_restart() {
    let broker = Broker::mock("flights", PARTITIONS as i32).unwrap();
    let mut stage = Stage::open().await;
    stage.sql.run(TABLE).await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE flights_in INTO flights AS SELECT * FROM KAFKA (brokers = '{}', topic = 'flights', format = 'json', \
         start = 'earliest') WITH (tasks = 2, flush_interval = '2s')",
        broker.bootstrap
    );
    stage.sql.run(&pipeline).await.unwrap();
    produce(&broker).await;

    let patience = Duration::from_secs(120);
    stage.server.until("SELECT count(*) FROM flights", FLIGHTS, patience).await.unwrap();
    check(&mut stage.sql).await;
    stage.server.until("SELECT sum(committed_offset) FROM system.streams", FLIGHTS, patience).await.unwrap();
    check(&mut stage.sql).await;
    let ledger = "SELECT sum(`rows`), sum(errors), sum(filtered), sum(skipped), sum(expired), sum(truncated) FROM system.streams";
    assert_eq!(stage.sql.row(ledger).await.unwrap(), ["336776", "0", "0", "0", "0", "0"]);
    assert_eq!(stage.sql.number("SELECT sum(offsets) FROM system.commits").await.unwrap(), FLIGHTS);
    assert_eq!(stage.sql.number("SELECT sum(`rows`) FROM system.parts").await.unwrap(), FLIGHTS);

    let mut stage = stage.kill_and_start().await;
    check(&mut stage.sql).await;
    let mut stage = stage.stop().await.start().await;
    check(&mut stage.sql).await;
}

/// Zstandard leaves the mock, which keeps 5 MiB of a partition, room for all of them.
async fn produce(broker: &Broker) {
    let settings = [
        ("compression.type", "zstd"),
        ("linger.ms", "50"),
        ("batch.size", "900000"),
        ("queue.buffering.max.messages", "400000"),
        ("queue.buffering.max.kbytes", "400000"),
    ];
    let producer = broker.producer(&settings).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/data/flights.ndjson.zst");
    let file = std::fs::File::open(path).unwrap();
    let lines = std::io::BufReader::new(zstd::Decoder::new(file).unwrap()).lines();
    let mut lines = lines.enumerate().map(|(number, line)| ((number % PARTITIONS) as i32, line.unwrap()));
    let mut produced = 0;
    loop {
        let some: Vec<(i32, String)> = lines.by_ref().take(20_000).collect();
        if some.is_empty() {
            break;
        }
        produced += some.len() as i64;
        let sent = some.iter().map(|(partition, line)| producer.send(*partition, Some(line.as_bytes())));
        futures::future::try_join_all(sent).await.unwrap();
    }
    assert_eq!(produced, FLIGHTS);
}

/// The figures of `server/data/README.md`, with and without what is in memory.
async fn check(sql: &mut Sql) {
    for freshness in ["latest", "committed"] {
        sql.run(&format!("SET freshness = '{freshness}'")).await.unwrap();
        if freshness == "committed"
            && sql.number("SELECT sum(committed_offset) FROM system.streams").await.unwrap() < FLIGHTS
        {
            continue;
        }
        let totals = "SELECT count(*), count(DISTINCT carrier), count(*) - count(dep_delay), CAST(sum(dep_delay) AS BIGINT), \
                      sum(distance) FROM flights";
        assert_eq!(sql.row(totals).await.unwrap(), ["336776", "16", "8255", "4152200", "350217607"], "{freshness}");
        let by_origin = sql.rows("SELECT origin, count(*) FROM flights GROUP BY origin ORDER BY origin").await.unwrap();
        let by_origin: Vec<(&str, &str)> =
            by_origin.iter().map(|row| (row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
        assert_eq!(by_origin, [("EWR", "120835"), ("JFK", "111279"), ("LGA", "104662")], "{freshness}");
        // A predicate on the partitioning column and on the sort key prunes, and answers the same.
        let january = "SELECT count(*) FROM flights WHERE time_hour < '2013-02-01 05:00:00' AND month = 1";
        assert_eq!(sql.number(january).await.unwrap(), 27_004, "{freshness}");
        let united = "SELECT count(*) FROM flights WHERE carrier = 'UA'";
        assert_eq!(sql.number(united).await.unwrap(), 58_665, "{freshness}");
    }
    sql.run("SET freshness = 'latest'").await.unwrap();
}
