//! A real Kafka that is killed and restarted under a source. Alone in its binary: it takes the broker from all others.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::process::Command;

use catalog::StreamId;
use millrace_warehouse::write::source::SourceError;

mod source_harness;
use source_harness::{Harness, Reading, RealHarness, numbered, options};

#[tokio::test]
async fn reading_goes_on_after_the_broker_was_killed_and_restarted() {
    let Some(kafka) = RealHarness::connect() else { return };
    let Ok(control) = std::env::var("MILLRACE_TEST_KAFKA_CONTROL") else {
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.contains("kafka"),
            "a broker that can be steered is required: set MILLRACE_TEST_KAFKA_CONTROL"
        );
        println!("skipped: no real Kafka (set MILLRACE_TEST_KAFKA or run tests/components/kafka.sh)");
        return;
    };
    let steer = |action: &str| assert!(Command::new(&control).arg(action).status().unwrap().success(), "{action}");
    let topic = kafka.topic("restart", 2);
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(1000)));
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    for partition in 0..2 {
        reading.add(partition, 0).await;
    }
    reading.until_ends(&[1000, 1000]).await;

    steer("kill");
    reading.until("the trouble", |reading| !reading.troubles.is_empty()).await;
    assert!(matches!(reading.troubles[0], SourceError::Unreachable { .. }), "{:?}", reading.troubles);
    steer("start");
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(1000)));
    reading.until_ends(&[2000, 2000]).await;

    steer("restart");
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(1000)));
    reading.until_ends(&[3000, 3000]).await;
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 3000);
    assert_eq!((reading.changed, reading.out_of_range), (vec![], vec![]));
}
