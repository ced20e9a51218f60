//! A full disk: named, waited out, and nothing is lost.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, events};
use tempfile::TempDir;

use crate::stage::{ALL_EVENTS, BINARY, Stage, assert_says};

/// A file system in memory, so small that it can be filled.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, and the reason is printed, where this process may not mount one.
    fn mount(directory: &Path) -> Option<Self> {
        let path = directory.join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { path });
        }
        println!("skipped: no small disk (this process may not mount a tmpfs)");
        None
    }

    /// Writes until this many bytes are left, or none; what is removed to make room again.
    fn fill(&self, left: usize) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        let block = vec![1; 64 << 10];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left as u64)).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a killed server's files may still be open for a moment.
        drop(Command::new("umount").arg("-l").arg(&self.path).output());
    }
}

async fn stage_on(disk: &SmallDisk, directory: TempDir) -> Stage {
    let options = ServerOptions::new(BINARY, &disk.path.join("data"))
        .with("wal.segment_bytes", "1MiB")
        .with("wal.bytes_max", "8MiB")
        .with("wal.disk_reserve", "8MiB");
    let server = ServerProcess::start(&options).await.unwrap();
    let sql = server.sql().await.unwrap();
    Stage { options, server, sql, directory }
}

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
