//! The same log on a directory of the operating system, with real threads, maps and fsyncs.

use vfs::LocalDisk;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_a_directory_is_replayed_and_retired() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = Arc::new(LocalDisk::open(directory.path()).await.expect("it can be made"));
    let settings = WalSettings { segment_bytes: 100_000, ..WalSettings::default() };
    let (wal, _) = Wal::open(disk.clone(), settings, World::system()).await.expect("an empty directory");
    let writers = (1..=4_u64).map(|stream| {
        let wal = wal.clone();
        tokio::spawn(async move {
            let mut durables = Vec::new();
            for number in 0..40_u64 {
                // Some above the length from which another thread compresses.
                let payload = number.to_le_bytes().repeat(if number % 8 == 0 { 20_000 } else { 200 });
                durables.push(accept(&wal, record(stream, 1, payload)).await);
            }
            for durable in durables {
                durable.await.expect("the disk has no fault");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    wal.close().await.expect("no fault");

    let (wal, replay) = Wal::open(disk.clone(), settings, World::system()).await.expect("it was closed in order");
    assert_eq!(replay.record_count(), 160);
    let mut next = [0_u64; 5];
    for replayed in replay.records() {
        let replayed = replayed.expect("no damage");
        let next = &mut next[usize::try_from(replayed.stream).expect("small")];
        assert_eq!(replayed.payload[..8], next.to_le_bytes());
        *next += 1;
        wal.release(replayed.stream, replayed.position);
    }
    drop(replay);
    log(&wal, record(1, 1, "begins a segment")).await;
    wal.close().await.expect("no fault");
    let left = std::fs::read_dir(directory.path()).expect("it exists").count();
    assert_eq!(left, 1, "all that was released is removed");
}
