//! A full disk: named, waited out, and nothing is lost.

use millrace_tests::{Broker, Ledger, events};

use crate::small_disk::{SmallDisk, stage_on};
use crate::stage::{ALL_EVENTS, assert_says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_waited_out_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    // Below the reserve of the log; and not a byte left for anybody.
    for (left, number) in [(4 << 20, 0), (0, 1)] {
        let broker = Broker::mock("events", 1).unwrap();
        let mut stage = stage_on(&disk, tempfile::tempdir().unwrap()).await;
        stage.take_events(&broker, "flush_interval = '300ms'").await;
        let (producer, mut ledger) = (broker.producer(&[]).unwrap(), Ledger::default());
        let payloads = |from: i64| (from..from + 200).map(|seq| (0, events::payload(seq, "on a small disk"))).collect();
        producer.send_all(payloads(0), &mut ledger).await.unwrap();
        stage.until_all_of(&ledger).await;

        let filler = disk.fill(left);
        producer.send_all(payloads(200), &mut ledger).await.unwrap();
        let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "full").await;
        assert_says(&trouble, &["disk", "free some of it"]);
        let seen = stage.sql.number(ALL_EVENTS).await.unwrap();
        assert!((200..=400).contains(&seen), "queries go on, and show {seen} rows");

        std::fs::remove_file(filler).unwrap();
        stage.until_all_of(&ledger).await;
        stage.until("SELECT count(*) FROM system.pipelines WHERE last_error IS NULL", 1).await;
        let mut stage = stage.kill_and_start().await;
        stage.until_all_of(&ledger).await;
        let stopped = stage.stop().await;
        std::fs::rename(&stopped.options.data_dir, disk.path.join(format!("done-{number}"))).unwrap();
    }
}
