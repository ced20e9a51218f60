//! One pipeline over several topics, which come and go.

use millrace_tests::{Broker, RealKafka, events};

use super::assert_every_offset_is_accounted_for;
use crate::stage::Stage;

async fn produce(broker: &Broker, seqs: std::ops::Range<i64>) {
    let producer = broker.producer(&[]).unwrap();
    for seq in seqs {
        producer.send((seq % i64::from(broker.partitions)) as i32, Some(&events::payload(seq, "x"))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_match_join_by_themselves_and_one_that_goes_leaves_the_others_alone() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let first = kafka.topic("several", 2, &[]).await.unwrap();
    let base = first.topic.clone();
    let second = Broker::real(&kafka.bootstrap, &format!("{base}_b"), 1, &[]).await.unwrap();
    produce(&first, 0..100).await;
    produce(&second, 1_000..1_050).await;
    let mut stage = Stage::open().await;
    let table = &events::ddl(&first, "tasks = 1")[0];
    stage.sql.run(table).await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE events_in INTO events AS SELECT * FROM KAFKA (brokers = '{}', topic_pattern = '{base}.*', \
         format = 'json') WITH (tasks = 2, flush_interval = '200ms')",
        kafka.bootstrap
    );
    stage.sql.run(&pipeline).await.unwrap();
    stage.until("SELECT count(*) FROM events", 150).await;

    // Made and filled before the next look: it begins at its beginning.
    let third = Broker::real(&kafka.bootstrap, &format!("{base}_c"), 2, &[]).await.unwrap();
    produce(&third, 2_000..2_030).await;
    stage.until("SELECT count(*) FROM events", 180).await;
    let by_topic = "SELECT _topic, count(*) FROM events GROUP BY _topic ORDER BY _topic";
    let rows = stage.sql.rows(by_topic).await.unwrap();
    let shown: Vec<(String, String)> =
        rows.into_iter().map(|mut row| (row[0].take().unwrap(), row[1].take().unwrap())).collect();
    let of = |broker: &Broker, count: &str| (broker.topic.clone(), count.to_owned());
    assert_eq!(shown, [of(&first, "100"), of(&second, "50"), of(&third, "30")]);

    second.delete().await.unwrap();
    produce(&first, 100..200).await;
    produce(&third, 2_030..2_060).await;
    stage.until("SELECT count(*) FROM events", 310).await;
    second.create(&[]).await.unwrap();
    produce(&second, 3_000..3_010).await;
    stage.until("SELECT count(*) FROM events", 320).await;
    let of_second =
        format!("SELECT count(*), count(DISTINCT incarnation) FROM system.streams WHERE topic = '{}'", second.topic);
    assert_eq!(stage.sql.row(&of_second).await.unwrap(), ["2", "2"], "made again, it is another stream");

    let mut stage = stage.kill_and_start().await;
    stage.until("SELECT count(DISTINCT seq) FROM events", 320).await;
    assert_eq!(stage.sql.number("SELECT count(*) FROM events").await.unwrap(), 320);
    assert_every_offset_is_accounted_for(&mut stage.sql).await;
}
