//! The disk's reserve: a disk that fills and empties again and again under a flood.

use std::time::{Duration, Instant};

use millrace_tests::{Broker, events};

use super::flood::Flood;
use super::{deadline, metric};
use crate::small_disk::{SmallDisk, stage_on};
use crate::stage::ALL_EVENTS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_a_disk_below_its_reserve_stops_intake_until_there_is_room_and_lag_drains() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    let broker = Broker::mock("events", 1).unwrap();
    let mut stage = stage_on(&disk, tempfile::tempdir().unwrap()).await;
    stage.take_events(&broker, "flush_interval = '300ms'").await;
    // Few enough that a minute of them fits on the disk.
    let pause = Duration::from_millis(200);
    let flood = Flood::paced(&broker, &stage, pause, |seq| events::payload(seq, "on a disk that fills")).await;
    let (until, mut lowest, mut fillings) = (deadline(), f64::MAX, 0);
    while Instant::now() < until {
        let filler = disk.fill(if fillings % 2 == 0 { 4 << 20 } else { 64 << 10 });
        stage.until_says("SELECT last_error FROM system.pipelines", "full").await;
        lowest = lowest.min(metric(&stage.server, "millrace_wal_disk_free_bytes").await);
        stage.sql.number(ALL_EVENTS).await.expect("queries go on");
        std::fs::remove_file(filler).unwrap();
        stage.until("SELECT count(*) FROM system.pipelines WHERE last_error IS NULL", 1).await;
        fillings += 1;
    }
    let ledger = flood.end().await;
    println!("{} records; the disk was filled {fillings} times, down to {lowest} bytes", ledger.len());
    assert!(fillings > 0 && lowest < f64::from(8 << 20));
    stage.until_all_of(&ledger).await;
    let mut stage = stage.kill_and_start().await;
    stage.until_all_of(&ledger).await;
}
