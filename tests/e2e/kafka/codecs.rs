//! Every compression that producers use.

use millrace_tests::{RealKafka, events};

use crate::stage::Stage;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const RECORDS: i64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_every_codec_become_the_same_rows() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("codecs", CODECS.len() as i32, &[]).await.unwrap();
    for (partition, codec) in (0..).zip(CODECS) {
        let producer = broker.producer(&[("compression.type", codec), ("linger.ms", "50")]).unwrap();
        let payloads: Vec<Vec<u8>> = (0..RECORDS).map(|seq| events::payload(seq, &format!("{seq:->100}"))).collect();
        futures::future::try_join_all(payloads.iter().map(|payload| producer.send(partition, Some(payload))))
            .await
            .unwrap();
    }
    let mut stage = Stage::with_events(&broker, "tasks = 2").await;
    stage.until("SELECT count(*) FROM events", RECORDS * CODECS.len() as i64).await;
    let partitions = "SELECT count(*), count(DISTINCT body), sum(seq), max(_offset) FROM events GROUP BY _partition";
    let rows = stage.sql.rows(partitions).await.unwrap();
    assert_eq!(rows.len(), CODECS.len());
    let expected = [RECORDS, RECORDS, RECORDS * (RECORDS - 1) / 2, RECORDS - 1].map(|number| Some(number.to_string()));
    rows.iter().for_each(|row| assert_eq!(*row, expected));
}
