//! Records that cannot become rows: error rows with place, bytes and reason, in the same commit; or a pause, where that is
//! wanted.

use millrace_tests::{Broker, NewRecord};

use crate::stage::{Stage, assert_says};

const TABLE: &str = "CREATE TABLE things (n INT NOT NULL, name VARCHAR(5), at DATETIME)";

async fn take_things(stage: &mut Stage, broker: &Broker, settings: &str) {
    stage.sql.run(TABLE).await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE things_in INTO things AS SELECT * FROM KAFKA (brokers = '{}', topic = '{}', format = 'json') \
         WITH ({settings})",
        broker.bootstrap, broker.topic
    );
    stage.sql.run(&pipeline).await.unwrap();
}

const LIMIT: usize = 64 << 10;

/// Payloads that are bad, each with its reason and words of its message.
fn bad() -> Vec<(Option<Vec<u8>>, &'static str, &'static [&'static str])> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let large = format!(r#"{{"n":1,"filler":"{}"}}"#, "x".repeat(LIMIT));
    vec![
        (text(r#"{"n":"seven"}"#), "wrong_type", &["\"n\"", "seven", "int"]),
        (text(r#"{"n":{"a":1}}"#), "wrong_type", &["\"n\"", "int"]),
        (text(r#"{"n":1.5}"#), "wrong_type", &["\"n\"", "1.5", "int"]),
        (text(r#"{"n":3000000000}"#), "out_of_range", &["\"n\"", "3000000000", "int"]),
        (text(r#"{"n":1,"name":"too long"}"#), "too_long", &["\"name\"", "5"]),
        (text(r#"{"n":1,"at":"yesterday"}"#), "wrong_type", &["\"at\"", "yesterday", "datetime"]),
        (text(r#"{"name":"a"}"#), "missing_not_null", &["n"]),
        (text(r#"{"n":null}"#), "missing_not_null", &["n"]),
        (text(r#"{"n":}"#), "malformed_json", &[]),
        (text("not json"), "malformed_json", &[]),
        (text(r#"{"n":1"#), "truncated_json", &[]),
        (text(""), "truncated_json", &[]),
        (text("[1,2]"), "not_an_object", &["array"]),
        (Some(b"{\"n\":1,\"name\":\"\xff\xfe\"}".to_vec()), "not_utf8", &[]),
        (None, "null_payload", &[]),
        (Some(large.into_bytes()), "record_too_large", &["max_record_bytes"]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_record_becomes_an_error_row_with_its_place_bytes_and_reason_and_the_rest_goes_on() {
    let broker = Broker::mock("things", 1).unwrap();
    let mut stage = Stage::open().await;
    take_things(&mut stage, &broker, "max_record_bytes = '64KiB', flush_interval = '200ms'").await;
    let producer = broker.producer(&[]).unwrap();
    let bad = bad();
    for (number, (payload, ..)) in bad.iter().enumerate() {
        // Good and bad records take turns, so that each batch holds both.
        let good = format!(r#"{{"n":{number},"name":"ok","unknown":[1,{{"x":2}}]}}"#);
        producer.send(0, Some(good.as_bytes())).await.unwrap();
        producer.send(0, payload.as_deref()).await.unwrap();
    }
    let both = bad.len() as i64;
    stage.until("SELECT count(*) FROM things", both).await;
    stage.until("SELECT count(*) FROM `things$errors`", both).await;
    stage.until("SELECT sum(committed_offset) FROM system.streams", 2 * both).await;

    for committed in [false, true] {
        if committed {
            stage.sql.run("SET freshness = 'committed'").await.unwrap();
        }
        let query = "SELECT _offset, _topic, _partition, reason, message, payload, payload_bytes FROM `things$errors` ORDER BY _offset";
        let rows = stage.sql.rows(query).await.unwrap();
        assert_eq!(rows.len(), bad.len());
        for ((row, (payload, reason, words)), number) in rows.iter().zip(&bad).zip(0..) {
            let cell = |at: usize| row[at].as_deref().unwrap_or("NULL");
            assert_eq!(cell(0), (2 * number + 1).to_string());
            assert_eq!((cell(1), cell(2), cell(3)), ("things", "0", *reason), "{row:?}");
            assert_says(cell(4), words);
            let length = payload.as_ref().map_or(0, Vec::len);
            assert_eq!(cell(6), length.to_string(), "{reason}");
            match payload {
                None => assert_eq!(row[5], None),
                Some(payload) if length <= LIMIT => assert_eq!(cell(5), String::from_utf8_lossy(payload)),
                Some(payload) => assert_eq!(cell(5).as_bytes(), &payload[..LIMIT], "the first 64 KiB are kept"),
            }
        }
    }
    let of_errors = stage.sql.row("SELECT topic, `partition`, errors, query FROM system.errors").await.unwrap();
    assert_eq!(of_errors[..3], ["things".to_owned(), "0".to_owned(), bad.len().to_string()]);
    assert_eq!(stage.sql.rows(&of_errors[3]).await.unwrap().len(), bad.len(), "the query that it names can be run");
    let ledger = stage.sql.row("SELECT `rows`, errors, filtered, skipped FROM system.streams").await.unwrap();
    assert_eq!(ledger, [both.to_string(), both.to_string(), "0".to_owned(), "0".to_owned()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_pauses_at_a_bad_record_keeps_what_came_before_and_names_what_settles_it() {
    let broker = Broker::mock("things", 1).unwrap();
    let mut stage = Stage::open().await;
    take_things(&mut stage, &broker, "errors = 'pause'").await;
    let producer = broker.producer(&[]).unwrap();
    producer.send(0, Some(br#"{"n":1}"#)).await.unwrap();
    stage.until("SELECT count(*) FROM things", 1).await;
    producer.send(0, Some(br#"{"n":"two"}"#)).await.unwrap();
    producer.send(0, Some(br#"{"n":3}"#)).await.unwrap();

    stage.until_says("SELECT state FROM system.pipelines", "paused by incident").await;
    let incident = "SELECT kind, cause, settle, settled FROM system.incidents";
    let incident = stage.sql.row(incident).await.unwrap();
    assert_eq!((incident[0].as_str(), incident[3].as_str()), ("bad record", "NULL"));
    assert_says(&incident[1], &["offset 1", "partition 0", "things", "\"n\"", "two"]);
    assert_eq!(stage.sql.number("SELECT count(*) FROM things").await.unwrap(), 1);
    let shown = stage.sql.value("SELECT incident FROM system.pipelines").await.unwrap();
    assert_says(&shown, &["offset 1", "to settle it", &incident[2]]);

    stage.sql.run(&incident[2]).await.unwrap();
    stage.until("SELECT count(*) FROM things", 2).await;
    stage.until("SELECT count(*) FROM `things$errors`", 1).await;
    assert_eq!(stage.sql.number("SELECT count(settled) FROM system.incidents").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_record_that_is_allowed_is_a_row_and_one_byte_more_is_not() {
    let broker = Broker::mock("long", 1).unwrap();
    let mut stage = Stage::open().await;
    stage.sql.run("CREATE TABLE long_ones (body TEXT)").await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE p INTO long_ones AS SELECT body FROM KAFKA (brokers = '{}', topic = 'long', format = 'json') \
         WITH (max_record_bytes = '64KiB')",
        broker.bootstrap
    );
    stage.sql.run(&pipeline).await.unwrap();
    let of_length =
        |bytes: usize| format!(r#"{{"body":"{}"}}"#, "y".repeat(bytes - r#"{"body":""}"#.len())).into_bytes();
    let producer = broker.producer(&[]).unwrap();
    for bytes in [LIMIT, LIMIT + 1, 100] {
        let record = NewRecord { payload: Some(of_length(bytes)), ..NewRecord::default() };
        producer.send_record(&record).await.unwrap();
    }
    stage.until("SELECT count(*) FROM long_ones", 2).await;
    stage.until("SELECT count(*) FROM `long_ones$errors`", 1).await;
    let lengths = stage.sql.rows("SELECT _offset, length(body) FROM long_ones ORDER BY _offset").await.unwrap();
    let lengths: Vec<&str> = lengths.iter().map(|row| row[1].as_deref().unwrap()).collect();
    assert_eq!(lengths, [(LIMIT - 11).to_string(), "89".to_owned()]);
    let refused = stage.sql.row("SELECT _offset, payload_bytes FROM `long_ones$errors`").await.unwrap();
    assert_eq!(refused, ["1".to_owned(), (LIMIT + 1).to_string()]);
}
