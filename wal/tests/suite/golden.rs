//! The format that is on people's disks. If one of these fails, the format has changed: raise its version, keep reading the old
//! one, and add a new fixture beside these.

use super::*;

/// The fixtures: what one life of a log leaves, and what the next one adds.
const GOLDEN: [(u64, &str); 2] =
    [(1, include_str!("../golden/v1-segment-1.hex")), (2, include_str!("../golden/v1-segment-2.hex"))];

/// The bytes of a fixture: hex digits, with blanks anywhere and comments after `#`.
fn bytes_of(fixture: &str) -> Vec<u8> {
    let digits: String =
        fixture.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    hex::decode(digits).expect("a fixture is hex")
}

/// A payload that shrinks, and one that does not.
fn records() -> [Record; 3] {
    [record(1, 2, "raw"), record(258, 3, vec![b'a'; 200]), record(1, 3, "second life")]
}

#[tokio::test]
async fn the_segments_of_version_1_are_read() {
    let disk = MemoryDisk::new();
    for (number, fixture) in GOLDEN {
        disk.put(&file_name(number), bytes_of(fixture));
    }
    let (_, replay) = open(&disk).await;
    assert_eq!(replayed(&replay), records());
    assert_eq!(replay.streams().iter().collect::<Vec<_>>(), [(&1, &3), (&9, &4), (&258, &3)]);
}

#[tokio::test]
async fn the_segments_of_version_1_are_written() {
    let disk = MemoryDisk::new();
    let [raw, shrinking, second] = records();
    let (wal, _) = open(&disk).await;
    wal.fence(9, 4);
    log(&wal, raw).await;
    log(&wal, shrinking).await;
    wal.close().await.expect("no fault");
    let (wal, _) = open(&disk).await;
    log(&wal, second).await;
    wal.close().await.expect("no fault");
    // Of segment 1 the part before the compressed payload: another release of the compressor may shrink it in another way.
    for ((number, fixture), compared) in GOLDEN.into_iter().zip([195, usize::MAX]) {
        let (written, golden) = (disk.contents(&file_name(number)).expect("it was written"), bytes_of(fixture));
        let compared = compared.min(written.len()).min(golden.len());
        assert_eq!(hex::encode(&written[..compared]), hex::encode(&golden[..compared]), "segment {number}");
        assert!(compared == 195 || written.len() == golden.len(), "segment {number}");
    }
}
