//! The write path as a whole: real workers between a scripted broker, a disk, a catalog and an object store that fail as they are
//! told. What is checked at the end is always the same ledger: each offset once, whatever happened on the way (I1).

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod write_harness;

use std::time::Duration;

use catalog::store::CommitFault;
use catalog::{ErrorPolicy, GapKind, GapPolicy, Offset};
use millrace_warehouse::memory::MemoryBudget;
use millrace_warehouse::write::messages::{StreamCondition, TaskState, WorkerCommand};
use millrace_warehouse::write::worker::WorkerError;
use vfs::{Fault, MemoryDisk, StoreOp, Unsynced};
use write_harness::{Outside, Setup, TOPIC};

#[test]
fn a_record_becomes_visible_and_then_committed() {
    let outside = Outside::new(2, Setup::flushing_after(2_000));
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        life.until_visible(&worker, 0, 100).await;
        life.visible_rows(&worker, 0).await.assert_is_prefix(100);
        assert_eq!(life.committed(0).await, 0, "it is not flushed yet");
        life.until_committed(&[(0, 100), (1, 0)]).await;
        life.committed_rows(0).await.assert_is_prefix(100);
        life.visible_rows(&worker, 0).await.assert_is_prefix(100);
    });
}

#[test]
fn queries_see_a_prefix_while_rows_move_to_parts() {
    let outside = Outside::new(1, Setup::flushing_after(50));
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        let mut before = 0;
        for round in 0..100 {
            outside.produce(0, round * 20..(round + 1) * 20);
            life.pass(Duration::from_millis(7)).await;
            let seen = life.visible_rows(&worker, 0).await;
            seen.assert_is_prefix(seen.rows.len() as u64);
            assert!(seen.rows.len() >= before, "I5: what was seen stays");
            before = seen.rows.len();
        }
        life.until_committed(&[(0, 2_000)]).await;
        life.committed_rows(0).await.assert_is_prefix(2_000);
    });
}

#[test]
fn a_restart_on_the_same_disk_adopts_what_was_logged() {
    let outside = Outside::new(1, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..300);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 300).await;
    });
    disk.crash(Unsynced::Lost);
    // Only the log has them now.
    outside.broker.expire(TOPIC, 0, Offset(300));
    for _ in 0..2 {
        outside.live(async |life| {
            let worker = life.worker("w", &disk).await;
            life.give(&worker, "w", 0, &[0]).await;
            life.until_visible(&worker, 0, 300).await;
            life.visible_rows(&worker, 0).await.assert_is_prefix(300);
        });
        disk.crash(Unsynced::Lost);
    }
    outside.produce(0, 300..400);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 400).await;
        life.stop(&worker).await;
        life.until_committed(&[(0, 400)]).await;
        life.committed_rows(0).await.assert_is_prefix(400);
    });
}

#[test]
fn a_restart_on_a_new_disk_fetches_again() {
    let outside = Outside::new(1, Setup::flushing_after(100));
    for life_number in 1..=4 {
        outside.produce(0, (life_number - 1) * 200..life_number * 200);
        outside.live(async |life| {
            let worker = life.worker("w", &MemoryDisk::new()).await;
            life.give(&worker, "w", 0, &[0]).await;
            life.until_visible(&worker, 0, life_number as u64 * 200).await;
            life.visible_rows(&worker, 0).await.assert_is_prefix(life_number as u64 * 200);
        });
    }
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_committed(&[(0, 800)]).await;
        life.committed_rows(0).await.assert_is_prefix(800);
    });
}

#[test]
fn i2_a_fenced_stream_is_dropped_and_the_others_go_on() {
    let outside = Outside::new(2, Setup::flushing_after(5_000));
    outside.produce(0, 0..50);
    outside.produce(1, 0..50);
    outside.live(async |life| {
        let old = life.worker("old", &MemoryDisk::new()).await;
        let new = life.worker("new", &MemoryDisk::new()).await;
        life.give(&old, "old", 0, &[0, 1]).await;
        life.until_visible(&old, 0, 50).await;
        life.until_visible(&old, 1, 50).await;
        life.give(&new, "new", 0, &[0]).await;
        life.until_committed(&[(0, 50), (1, 50)]).await;
        let lost = life.report(&old, 0).await.unwrap();
        assert!(matches!(lost.condition, StreamCondition::Lost { .. }), "{lost:?}");
        assert_eq!(life.report(&old, 1).await.unwrap().condition, StreamCondition::Owned);
        outside.produce(0, 50..80);
        outside.produce(1, 50..80);
        life.until_committed(&[(0, 80), (1, 80)]).await;
        life.committed_rows(0).await.assert_is_prefix(80);
        life.committed_rows(1).await.assert_is_prefix(80);
    });
}

#[test]
fn i2_a_grant_that_comes_after_a_newer_one_begins_nothing_even_if_that_ones_task_has_ended() {
    let outside = Outside::new(1, Setup::flushing_after(100));
    outside.produce(0, 0..50);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        let older = life.grant("w", 0, &[0]).await;
        let newer = life.grant("w", 0, &[0]).await;
        worker.command(life.own(&worker, 0, newer)).await.unwrap();
        life.until_committed(&[(0, 50)]).await;
        // As another task of the worker, too: which one it was told to hold the stream does not matter.
        worker.command(life.own(&worker, 1, older.clone())).await.unwrap();
        assert_eq!(worker.heartbeat().tasks.len(), 1);
        life.stop(&worker).await;
        life.until("the end of the task", async || life.task(&worker).is_none()).await;
        worker.command(life.own(&worker, 0, older)).await.unwrap();
        life.pass(Duration::from_millis(500)).await;
        assert_eq!(life.task(&worker), None, "it is somebody else's by now, or nobody's");
    });
}

#[test]
fn i2_a_stream_that_comes_back_to_another_task_of_its_worker_is_dropped_by_the_first() {
    let outside = Outside::new(1, Setup::unflushed());
    outside.produce(0, 0..50);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 50).await;
        life.grant("other", 0, &[0]).await;
        life.give(&worker, "w", 1, &[0]).await;
        life.until("the newer grant to be held, and no other", async || {
            let reports = worker.heartbeat().tasks.into_iter().flat_map(|task| task.streams);
            let owned = reports.filter(|report| report.condition == StreamCondition::Owned);
            owned.map(|report| (report.epoch.0, report.visible.0)).collect::<Vec<_>>() == [(3, 50)]
        })
        .await;
    });
}

#[test]
fn i9_what_was_logged_under_an_older_grant_does_not_keep_the_log_full() {
    let outside = Outside::new(1, Setup::unflushed());
    outside.produce(0, 0..2_000);
    outside.live(async |life| {
        let budget = MemoryBudget::new(1 << 30);
        let worker = life
            .worker_with("w", &MemoryDisk::new(), budget, |settings| {
                (settings.wal.segment_bytes, settings.wal_bytes_max) = (1 << 10, 8 << 10);
            })
            .await;
        // Nothing is committed for half a minute.
        life.objects.script(StoreOp::Put, vec![Fault::ErrorBefore; 12]);
        life.give(&worker, "w", 0, &[0]).await;
        life.until("a full log", async || worker.heartbeat().wal_bytes >= 8 << 10).await;
        // It goes away and comes back before its first owner hears of it.
        life.grant("other", 0, &[0]).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_committed(&[(0, 2_000)]).await;
        life.committed_rows(0).await.assert_is_prefix(2_000);
    });
}

#[test]
fn a_task_that_two_grants_begin_at_once_holds_the_streams_of_both() {
    let outside = Outside::new(2, Setup::unflushed());
    (0..2).for_each(|partition| outside.produce(partition, 0..50));
    outside.broker.delay_opens([Duration::from_secs(1), Duration::ZERO]);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        let (first, second) = (life.grant("w", 0, &[0]).await, life.grant("w", 0, &[1]).await);
        let slow = async { worker.command(life.own(&worker, 0, first)).await.unwrap() };
        let quick = async {
            life.pass(Duration::from_millis(100)).await;
            worker.command(life.own(&worker, 0, second)).await.unwrap();
            life.until_visible(&worker, 1, 50).await;
        };
        futures::join!(slow, quick);
        life.until_visible(&worker, 0, 50).await;
        // The one that was there first goes on: nothing that it has shown is gone.
        let shown = life.report(&worker, 1).await.unwrap();
        assert_eq!((shown.visible.0, shown.condition), (50, StreamCondition::Owned));
        assert_eq!(worker.heartbeat().tasks.len(), 1);
    });
}

#[test]
fn a_stream_granted_anew_to_the_same_task_is_not_lost_with_its_older_grant() {
    let outside = Outside::new(1, Setup::flushing_after(1_000));
    outside.produce(0, 0..50);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 50).await;
        // The flush under the first epoch is on its way while the second is granted.
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(20))]);
        life.until("the upload", async || life.objects.requests(StoreOp::Put) == 1).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 50).await;
        life.pass(Duration::from_secs(30)).await;
        assert_eq!(life.report(&worker, 0).await.unwrap().condition, StreamCondition::Owned);
        life.until_committed(&[(0, 50)]).await;
        life.committed_rows(0).await.assert_is_prefix(50);
    });
}

#[test]
fn i6_a_commit_of_unknown_outcome_is_applied_once() {
    let later = |begins| CommitFault::ApplyLater { begins: Some(begins) };
    let faults: &[&[CommitFault]] = &[
        &[CommitFault::FailAfter],
        &[CommitFault::FailBefore],
        &[later(1)],
        &[later(3)],
        &[CommitFault::FailAfter, CommitFault::FailBefore, CommitFault::FailAfter],
        &[later(2), CommitFault::FailBefore, later(4), CommitFault::FailAfter],
    ];
    for faults in faults {
        // The first transaction of a flush stages its parts: once with faults in it, once with faults in the commit.
        for before in [0, 1] {
            let outside = Outside::new(1, Setup::flushing_after(500));
            outside.produce(0, 0..60);
            outside.live(async |life| {
                let worker = life.worker("w", &MemoryDisk::new()).await;
                life.give(&worker, "w", 0, &[0]).await;
                life.until_visible(&worker, 0, 60).await;
                outside.store.script(vec![CommitFault::None; before].into_iter().chain(faults.iter().copied()));
                life.until_committed(&[(0, 60)]).await;
                outside.produce(0, 60..90);
                life.until_committed(&[(0, 90)]).await;
                outside.store.release().await;
                life.committed_rows(0).await.assert_is_prefix(90);
                assert_eq!(life.report(&worker, 0).await.unwrap().condition, StreamCondition::Owned, "{faults:?}");
            });
        }
    }
}

#[test]
fn a_catalog_that_does_not_answer_a_commit_is_told() {
    let outside = Outside::new(1, Setup::flushing_after(500));
    outside.produce(0, 0..60);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 60).await;
        outside.store.script([CommitFault::None].into_iter().chain([CommitFault::FailBefore; 14]));
        let troubled = async || {
            life.task(&worker).is_some_and(|task| task.trouble.is_some_and(|it| it.message.contains("catalog")))
        };
        life.until("the trouble", troubled).await;
        life.until_committed(&[(0, 60)]).await;
        life.until("the trouble's end", async || life.task(&worker).unwrap().trouble.is_none()).await;
    });
}

#[test]
fn an_upload_is_tried_until_the_store_is_there_again() {
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter] {
        let outside = Outside::new(1, Setup::flushing_after(500));
        outside.produce(0, 0..60);
        outside.live(async |life| {
            let worker = life.worker("w", &MemoryDisk::new()).await;
            life.give(&worker, "w", 0, &[0]).await;
            life.objects.script(StoreOp::Put, [fault; 6]);
            let troubled = async || life.task(&worker).is_some_and(|task| task.trouble.is_some());
            life.until("the trouble", troubled).await;
            assert_eq!(life.task(&worker).unwrap().state, TaskState::Stalled);
            life.until_committed(&[(0, 60)]).await;
            life.until("the trouble's end", async || life.task(&worker).unwrap().trouble.is_none()).await;
            life.committed_rows(0).await.assert_is_prefix(60);
            assert_eq!(life.objects.requests(StoreOp::Put), 7);
            assert_eq!(life.objects_stored().await, 1, "each attempt wrote the same object");
        });
    }
}

#[test]
fn a_store_that_often_refuses_takes_a_flush_of_many_parts_at_last() {
    let outside = Outside::new(1, Setup { partition_by: Some("seq"), ..Setup::flushing_after(500) });
    outside.produce(0, 0..200);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.objects.script(
            StoreOp::Put,
            (0..300).map(|n| if n % 3 == 0 { Fault::ErrorBefore } else { Fault::Slow(Duration::ZERO) }),
        );
        life.give(&worker, "w", 0, &[0]).await;
        life.until_committed(&[(0, 200)]).await;
        life.committed_rows(0).await.assert_is_prefix(200);
        assert_eq!(life.objects_stored().await, 200);
    });
}

#[test]
fn a_full_disk_is_waited_out() {
    let outside = Outside::new(2, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..2_000);
    outside.produce(1, 0..2_000);
    outside.live(async |life| {
        disk.set_capacity(Some(24 << 10));
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        let full =
            async || life.task(&worker).is_some_and(|task| task.trouble.is_some_and(|it| it.message.contains("full")));
        life.until("the full disk", full).await;
        life.pass(Duration::from_secs(20)).await;
        outside.produce(0, 2_000..2_500);
        disk.set_capacity(None);
        life.until_visible(&worker, 0, 2_500).await;
        life.until_visible(&worker, 1, 2_000).await;
        life.visible_rows(&worker, 0).await.assert_is_prefix(2_500);
        life.visible_rows(&worker, 1).await.assert_is_prefix(2_000);
        life.until("the trouble's end", async || life.task(&worker).unwrap().trouble.is_none()).await;
        life.stop(&worker).await;
        life.until_committed(&[(0, 2_500), (1, 2_000)]).await;
        life.committed_rows(0).await.assert_is_prefix(2_500);
        life.committed_rows(1).await.assert_is_prefix(2_000);
    });
}

#[test]
fn a_disk_that_is_full_again_and_again_leaves_no_stream_behind() {
    let outside = Outside::new(3, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0, 1, 2]).await;
        for round in 0..30 {
            (0..3).for_each(|partition| outside.produce(partition, round * 100..(round + 1) * 100));
            let used: u64 = vfs::Disk::list(&disk).await.unwrap().iter().map(|entry| entry.bytes).sum();
            disk.set_capacity(Some(used + 500 * (round as u64 % 5)));
            life.pass(Duration::from_millis(300 + 70 * (round as u64 % 7))).await;
            disk.set_capacity(None);
            life.pass(Duration::from_millis(130 * (round as u64 % 4))).await;
        }
        for partition in 0..3 {
            life.until_visible(&worker, partition, 3_000).await;
            life.visible_rows(&worker, partition).await.assert_is_prefix(3_000);
        }
        life.stop(&worker).await;
        life.until_committed(&[(0, 3_000), (1, 3_000), (2, 3_000)]).await;
    });
}

#[test]
fn what_the_log_repeats_after_a_full_disk_is_replayed_once() {
    let outside = Outside::new(1, Setup { ..Setup::unflushed() });
    let disk = MemoryDisk::new();
    outside.live(async |life| {
        // No object store: nothing is committed, so all must come back from the log.
        life.objects.script(StoreOp::Put, [Fault::ErrorBefore; 1_000]);
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        for round in 0..20 {
            outside.produce(0, round * 100..(round + 1) * 100);
            let used: u64 = vfs::Disk::list(&disk).await.unwrap().iter().map(|entry| entry.bytes).sum();
            disk.set_capacity(Some(used + 700));
            life.pass(Duration::from_millis(400)).await;
            disk.set_capacity(None);
            life.pass(Duration::from_millis(90 * (round as u64 % 4))).await;
        }
        life.until_visible(&worker, 0, 2_000).await;
    });
    disk.crash(Unsynced::Lost);
    outside.broker.expire(TOPIC, 0, Offset(2_000));
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 2_000).await;
        life.stop(&worker).await;
        life.until_committed(&[(0, 2_000)]).await;
        life.committed_rows(0).await.assert_is_prefix(2_000);
    });
}

#[test]
fn a_restart_on_a_full_disk_shows_and_commits_what_was_logged() {
    let outside = Outside::new(1, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..500);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 500).await;
    });
    disk.crash(Unsynced::Lost);
    outside.broker.expire(TOPIC, 0, Offset(500));
    outside.produce(0, 500..600);
    outside.live(async |life| {
        let used: u64 = vfs::Disk::list(&disk).await.unwrap().iter().map(|entry| entry.bytes).sum();
        disk.set_capacity(Some(used + 1_000));
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until("the commit of what was logged", async || life.committed(0).await >= 500).await;
        disk.set_capacity(None);
        life.until_visible(&worker, 0, 600).await;
        life.stop(&worker).await;
        life.until_committed(&[(0, 600)]).await;
        life.committed_rows(0).await.assert_is_prefix(600);
    });
}

#[test]
fn a_drain_ends_though_the_disk_is_full() {
    let outside = Outside::new(1, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..2_000);
    outside.live(async |life| {
        disk.set_capacity(Some(16 << 10));
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until("the full disk", async || life.task(&worker).is_some_and(|task| task.trouble.is_some())).await;
        life.stop(&worker).await;
        life.until("the task's end", async || life.task(&worker).is_none()).await;
        let committed = life.committed(0).await;
        life.committed_rows(0).await.assert_is_prefix(committed);
    });
}

#[test]
fn a_failed_fsync_gives_up_the_streams_once_and_nothing_is_lost() {
    for nth in [1, 2, 5] {
        let outside = Outside::new(2, Setup::flushing_after(1_000));
        let disk = MemoryDisk::new();
        outside.live(async |life| {
            let worker = life.worker("w", &disk).await;
            // Two tasks on one log: both tell of its end, and it is replaced once.
            life.give(&worker, "w", 0, &[0]).await;
            life.give(&worker, "w", 1, &[1]).await;
            disk.fail_sync(nth);
            for round in 0..20 {
                outside.produce(0, round * 50..(round + 1) * 50);
                outside.produce(1, round * 50..(round + 1) * 50);
                life.pass(Duration::from_millis(100)).await;
                life.give_missing(&worker, "w", 0, &[0]).await;
                life.give_missing(&worker, "w", 1, &[1]).await;
            }
            life.until("both tasks", async || worker.heartbeat().tasks.len() == 2).await;
            life.until_committed(&[(0, 1_000), (1, 1_000)]).await;
            life.committed_rows(0).await.assert_is_prefix(1_000);
            life.committed_rows(1).await.assert_is_prefix(1_000);
        });
    }
}

#[test]
fn rows_that_were_visible_when_an_fsync_failed_are_adopted_from_the_lost_log() {
    let outside = Outside::new(1, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 100).await;
        outside.broker.expire(TOPIC, 0, Offset(100));
        disk.fail_sync(1);
        outside.produce(0, 100..150);
        life.until("the loss", async || life.task(&worker).is_none()).await;
        life.until("the next grant", async || {
            life.give_missing(&worker, "w", 0, &[0]).await;
            life.task(&worker).is_some()
        })
        .await;
        life.until_visible(&worker, 0, 150).await;
        life.visible_rows(&worker, 0).await.assert_is_prefix(150);
    });
}

#[test]
fn a_drain_commits_everything_visible() {
    let outside = Outside::new(2, Setup::unflushed());
    outside.produce(0, 0..500);
    outside.produce(1, 0..300);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        life.until_visible(&worker, 0, 500).await;
        life.until_visible(&worker, 1, 300).await;
        // Asked again and again, as a manager does: it must not be held up by that.
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(10))]);
        for _ in 0..100 {
            life.stop(&worker).await;
        }
        life.until("the task's end", async || life.task(&worker).is_none()).await;
        assert_eq!((life.committed(0).await, life.committed(1).await), (500, 300));
        life.committed_rows(0).await.assert_is_prefix(500);
        // What was drained may be granted again.
        outside.produce(0, 500..600);
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 600).await;
    });
}

#[test]
fn a_released_stream_is_committed_and_let_go_while_the_others_go_on() {
    let outside = Outside::new(2, Setup::unflushed());
    outside.produce(0, 0..200);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        life.until_visible(&worker, 0, 200).await;
        life.release(&worker, 0).await;
        let mut seq = 0;
        while life.report(&worker, 0).await.unwrap().condition != StreamCondition::Released {
            outside.produce(1, seq..seq + 10);
            seq += 10;
            assert!(seq < 50_000, "it is never let go while others are busy");
            life.pass(Duration::from_millis(1)).await;
        }
        assert_eq!(life.committed(0).await, 200);
        life.until_visible(&worker, 1, seq as u64).await;
        assert_eq!(life.report(&worker, 1).await.unwrap().condition, StreamCondition::Owned);
        let commits = life.task(&worker).unwrap().commits;
        assert!(commits <= 3, "one release caused {commits} commits");
    });
}

#[test]
fn a_flush_of_too_many_parts_is_split_by_prefixes() {
    let outside = Outside::new(2, Setup { partition_by: Some("seq"), ..Setup::unflushed() });
    outside.produce(0, 0..5_000);
    outside.produce(1, 0..10);
    outside.live(async |life| {
        // One batch alone has more partitions than a commit may.
        let change = |settings: &mut millrace_warehouse::write::worker::WorkerSettings| settings.batch_bytes = 4 << 20;
        let worker = life.worker_with("w", &MemoryDisk::new(), MemoryBudget::new(1 << 30), change).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        life.until_visible(&worker, 0, 5_000).await;
        life.stop(&worker).await;
        life.until_committed(&[(0, 5_000), (1, 10)]).await;
        life.committed_rows(0).await.assert_is_prefix(5_000);
        life.committed_rows(1).await.assert_is_prefix(10);
        assert!(life.catalog.commits(life.table.id, 10).await.unwrap().len() >= 2);
    });
}

#[test]
fn error_rows_are_in_the_same_commit_as_the_rows_beside_them() {
    let outside = Outside::new(1, Setup::flushing_after(500));
    for text in [r#"{"seq": 0}"#, "{not json", r#"{"seq": 2}"#, r#"{"seq": "many"}"#] {
        outside.produce_text(0, text);
    }
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 4).await;
        let visible = life.visible_rows(&worker, 0).await;
        life.until_committed(&[(0, 4)]).await;
        let committed = life.committed_rows(0).await;
        assert_eq!(committed.rows, [(0, 0), (2, 2)].into());
        assert_eq!(committed.errors.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(committed, visible);
        let commits = life.catalog.commits(life.table.id, 10).await.unwrap();
        assert_eq!((commits.len(), commits[0].parts_added), (1, 2));
    });
}

#[test]
fn under_errors_pause_a_stream_stops_right_before_the_bad_record() {
    let mut setup = Setup::unflushed();
    setup.settings.errors = ErrorPolicy::Pause;
    let outside = Outside::new(1, setup);
    outside.produce(0, 0..7);
    outside.produce_text(0, "{not json");
    outside.produce(0, 8..20);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_committed(&[(0, 7)]).await;
        let report = life.report(&worker, 0).await.unwrap();
        assert!(matches!(report.condition, StreamCondition::BadRecord { offset: Offset(7), .. }), "{report:?}");
        life.committed_rows(0).await.assert_is_prefix(7);
    });
}

#[test]
fn a_batch_of_filtered_records_commits_its_offsets_without_parts() {
    let outside = Outside::new(1, Setup { filter: Some("seq < 0"), ..Setup::flushing_after(500) });
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_committed(&[(0, 100)]).await;
        let commits = life.catalog.commits(life.table.id, 10).await.unwrap();
        assert_eq!(commits.iter().map(|commit| commit.parts_added).sum::<u64>(), 0);
        assert_eq!(
            commits.iter().flat_map(|commit| &commit.streams).map(|stream| stream.ledger.filtered).sum::<u64>(),
            100
        );
        assert_eq!(life.objects_stored().await, 0);
    });
}

#[test]
fn under_on_gap_skip_an_expired_range_is_recorded_and_passed_over() {
    let mut setup = Setup::flushing_after(500);
    setup.settings.on_gap = GapPolicy::Skip;
    let outside = Outside::new(1, setup);
    outside.produce(0, 0..100);
    outside.broker.expire(TOPIC, 0, Offset(60));
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_committed(&[(0, 100)]).await;
        let commits = life.catalog.commits(life.table.id, 10).await.unwrap();
        let advances: Vec<_> = commits.iter().flat_map(|commit| &commit.streams).collect();
        assert_eq!(
            advances.iter().map(|advance| (advance.ledger.expired, advance.ledger.rows)).collect::<Vec<_>>(),
            [(60, 40)]
        );
        assert_eq!(advances[0].gaps.len(), 1);
        assert_eq!((advances[0].gaps[0].kind, advances[0].gaps[0].range.end), (GapKind::Expired, Offset(60)));
        assert_eq!(*life.committed_rows(0).await.rows.keys().next().unwrap(), 60);
    });
}

#[test]
fn an_expired_range_without_on_gap_skip_stops_the_stream_and_commits_what_is_visible() {
    let outside = Outside::new(1, Setup::unflushed());
    outside.produce(0, 0..50);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 50).await;
        outside.broker.set_reachable(false);
        outside.produce(0, 50..100);
        outside.broker.expire(TOPIC, 0, Offset(80));
        outside.broker.set_reachable(true);
        life.until_committed(&[(0, 50)]).await;
        let condition = life.report(&worker, 0).await.unwrap().condition;
        assert_eq!(condition, StreamCondition::Expired { wanted: Offset(50), low: Offset(80) });
    });
}

#[test]
fn a_broker_that_was_away_is_no_trouble_any_more_though_it_has_nothing_new() {
    let outside = Outside::new(1, Setup::unflushed());
    outside.produce(0, 0..5);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 5).await;
        outside.broker.set_reachable(false);
        life.until("the trouble", async || life.task(&worker).unwrap().trouble.is_some()).await;
        outside.broker.set_reachable(true);
        life.until("the trouble's end", async || life.task(&worker).unwrap().trouble.is_none()).await;
    });
}

#[test]
fn i9_many_streams_that_all_have_records_are_taken_at_once() {
    let outside = Outside::new(60, Setup::flushing_after(500));
    let partitions: Vec<i32> = (0..60).collect();
    partitions.iter().for_each(|partition| outside.produce(*partition, 0..200));
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        // In two commands: the second finds the intake busy with the first.
        life.give(&worker, "w", 0, &partitions[..20]).await;
        life.until_visible(&worker, 0, 200).await;
        life.give(&worker, "w", 0, &partitions[20..]).await;
        life.until_committed(&partitions.iter().map(|partition| (*partition, 200)).collect::<Vec<_>>()).await;
    });
}

#[test]
fn i9_a_small_log_is_flushed_and_never_stops_the_intake_for_ever() {
    let outside = Outside::new(2, Setup::unflushed());
    outside.live(async |life| {
        let change = |settings: &mut millrace_warehouse::write::worker::WorkerSettings| {
            (settings.wal_bytes_max, settings.wal.segment_bytes) = (64 << 10, 64 << 10);
        };
        let worker = life.worker_with("w", &MemoryDisk::new(), MemoryBudget::new(1 << 30), change).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        for round in 0..40 {
            outside.produce(0, round * 100..(round + 1) * 100);
            outside.produce(1, round * 100..(round + 1) * 100);
            life.pass(Duration::from_millis(100)).await;
        }
        life.until_visible(&worker, 0, 4_000).await;
        life.until_visible(&worker, 1, 4_000).await;
        assert!(worker.heartbeat().wal_bytes <= 256 << 10, "{}", worker.heartbeat().wal_bytes);
    });
}

#[test]
fn records_of_streams_that_are_not_granted_again_do_not_stay_in_the_log() {
    let outside = Outside::new(2, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..5_000);
    outside.produce(1, 0..5_000);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0, 1]).await;
        life.until_visible(&worker, 0, 5_000).await;
        life.until_visible(&worker, 1, 5_000).await;
    });
    disk.crash(Unsynced::Lost);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        let before = worker.heartbeat().wal_bytes;
        life.stop(&worker).await;
        life.until_committed(&[(0, 5_000)]).await;
        life.until("the log to shrink", async || worker.heartbeat().wal_bytes < before / 2).await;
    });
}

#[test]
fn a_worker_that_shuts_down_commits_what_is_visible_takes_nothing_more_and_closes_its_log() {
    let outside = Outside::new(1, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 100).await;
        worker.shut_down().await;
        assert_eq!(life.committed(0).await, 100);
        let streams = life.grant("w", 0, &[0]).await;
        let refused = worker.command(life.own(&worker, 0, streams)).await;
        assert!(matches!(refused, Err(WorkerError::Closed)), "{refused:?}");
        // Its log can be opened by another at once.
        let next = life.worker("w", &disk).await;
        life.give(&next, "w", 0, &[0]).await;
        outside.produce(0, 100..120);
        life.until_visible(&next, 0, 120).await;
    });
}

#[test]
fn i2_a_grant_that_arrives_again_after_its_stream_was_let_go_changes_nothing() {
    let outside = Outside::new(1, Setup::unflushed());
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        let streams = life.grant("w", 0, &[0]).await;
        worker.command(life.own(&worker, 0, streams.clone())).await.unwrap();
        life.until_visible(&worker, 0, 100).await;
        life.stop(&worker).await;
        life.until("the end of the task", async || life.task(&worker).is_none()).await;
        worker.command(life.own(&worker, 0, streams)).await.unwrap();
        assert!(life.task(&worker).is_none(), "nobody could commit what it would show");
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 100).await;
    });
}

#[test]
fn i2_i5_a_grant_to_the_process_before_that_arrives_again_shows_and_logs_nothing() {
    let outside = Outside::new(1, Setup::unflushed());
    let disk = MemoryDisk::new();
    outside.produce(0, 0..300);
    let again = outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        let command = life.own(&worker, 0, life.grant("w", 0, &[0]).await);
        worker.command(command.clone()).await.unwrap();
        life.until_visible(&worker, 0, 300).await;
        command
    });
    disk.crash(Unsynced::Lost);
    // What was seen of these offsets is in the log alone; at the broker they are others by now.
    outside.broker.truncate(TOPIC, 0, Offset(100));
    outside.produce(0, 1_000..1_100);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        // Its epoch is the newest still: the catalog would not fence what it began.
        worker.command(again.clone()).await.unwrap();
        life.pass(Duration::from_millis(500)).await;
        assert_eq!(life.task(&worker), None, "it was another process's grant");
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 300).await;
        life.visible_rows(&worker, 0).await.assert_is_prefix(300);
    });
    disk.crash(Unsynced::Lost);
    outside.live(async |life| {
        let worker = life.worker("w", &disk).await;
        worker.command(again).await.unwrap();
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 300).await;
        life.visible_rows(&worker, 0).await.assert_is_prefix(300);
    });
}

#[test]
fn queues_that_would_leave_no_memory_for_rows_are_refused_by_name() {
    let outside = Outside::new(1, Setup::unflushed());
    outside.live(async |life| {
        let change = |settings: &mut millrace_warehouse::write::worker::WorkerSettings| settings.batch_bytes = 7 << 20;
        let worker = life.worker_with("w", &MemoryDisk::new(), MemoryBudget::new(8 << 20), change).await;
        let streams = life.grant("w", 0, &[0]).await;
        let refused = worker.command(life.own(&worker, 0, streams)).await.unwrap_err();
        assert!(refused.to_string().contains("memory.limit"), "{refused}");
    });
}

#[test]
fn an_abandoned_pipeline_commits_nothing_more() {
    let outside = Outside::new(1, Setup::flushing_after(2_000));
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 100).await;
        worker.command(WorkerCommand::Abandon { pipeline: life.pipeline.id }).await.unwrap();
        life.pass(Duration::from_secs(10)).await;
        assert_eq!((life.committed(0).await, life.task(&worker)), (0, None));
    });
}

#[test]
fn the_task_of_a_dropped_pipeline_ends_at_its_next_commit() {
    let outside = Outside::new(1, Setup::flushing_after(500));
    outside.produce(0, 0..100);
    outside.live(async |life| {
        let worker = life.worker("w", &MemoryDisk::new()).await;
        life.give(&worker, "w", 0, &[0]).await;
        life.until_visible(&worker, 0, 100).await;
        let catalog = &life.catalog;
        catalog.drop_pipeline("default", "events_in", false).await.unwrap();
        life.until("the task's end", async || life.task(&worker).is_none()).await;
    });
}

#[test]
fn i8_memory_stays_within_its_limit_while_the_store_is_slow() {
    let outside = Outside::new(
        4,
        Setup {
            settings: catalog::PipelineSettings { flush_bytes: 1 << 20, ..Setup::unflushed().settings },
            ..Setup::unflushed()
        },
    );
    let filler = "x".repeat(2_000);
    for partition in 0..4 {
        for seq in 0..1_000 {
            outside.produce_text(partition, &format!(r#"{{"seq": {seq}, "kind": "{filler}"}}"#));
        }
    }
    outside.live(async |life| {
        let budget = MemoryBudget::new(8 << 20);
        let change = |settings: &mut millrace_warehouse::write::worker::WorkerSettings| {
            (settings.batch_bytes, settings.source_queue_bytes) = (64 << 10, 256 << 10);
        };
        let worker = life.worker_with("w", &MemoryDisk::new(), budget.clone(), change).await;
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_millis(500)); 200]);
        life.give(&worker, "w", 0, &[0, 1, 2, 3]).await;
        let (peak, stalled) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
        life.until("the commits", async || {
            peak.set(peak.get().max(budget.used()));
            stalled.set(stalled.get() || life.task(&worker).is_some_and(|task| task.state == TaskState::Stalled));
            let mut all = true;
            for partition in 0..4 {
                all &= life.committed(partition).await == 1_000;
            }
            // A task that has only just been told holds no stream yet; stopping it then would end the test before it began.
            let visible = life.task(&worker).is_some_and(|task| {
                !task.streams.is_empty() && task.streams.iter().all(|stream| stream.visible == Offset(1_000))
            });
            if !all && visible {
                life.stop(&worker).await;
            }
            all
        })
        .await;
        assert!(stalled.get(), "the source was paused");
        assert!(peak.get() <= budget.limit() / 10 * 11, "{} of {}", peak.get(), budget.limit());
        for partition in 0..4 {
            life.committed_rows(partition).await.assert_is_prefix(1_000);
        }
    });
}
