//! The format that is on people's disks. If one of these fails, the format has changed: raise its version, keep reading the old
//! one, and add a new fixture beside these.

use super::*;

/// The fixtures, by version: what one life of a log leaves, and what the next one adds.
const GOLDEN: [(u32, [&str; 2]); 2] = [
    (1, [include_str!("../golden/v1-segment-1.hex"), include_str!("../golden/v1-segment-2.hex")]),
    (2, [include_str!("../golden/v2-segment-1.hex"), include_str!("../golden/v2-segment-2.hex")]),
];

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
async fn the_segments_of_every_version_are_read() {
    for (version, fixtures) in GOLDEN {
        let disk = MemoryDisk::new();
        for (number, fixture) in (1..).zip(fixtures) {
            disk.put(&file_name(number), bytes_of(fixture));
        }
        let (_, replay) = open(&disk).await;
        assert_eq!(replayed(&replay), records(), "version {version}");
        assert_eq!(replay.streams().iter().collect::<Vec<_>>(), [(&1, &3), (&9, &4), (&258, &3)], "version {version}");
    }
}

#[tokio::test]
async fn a_log_of_version_1_is_gone_on_with_in_version_2() {
    let disk = MemoryDisk::new();
    for (number, fixture) in (1..).zip(GOLDEN[0].1) {
        disk.put(&file_name(number), bytes_of(fixture));
    }
    let (wal, _) = open(&disk).await;
    log(&wal, record(1, 4, "third life")).await;
    wal.close().await.expect("no fault");
    let (_, replay) = open(&disk).await;
    assert_eq!(replayed(&replay), [&records()[..], &[record(1, 4, "third life")]].concat());
}

#[tokio::test]
async fn the_segments_of_version_2_are_written() {
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
    // Another release of the compressor may shrink the second record in another way. So of segment 1 what is before it, and of
    // segment 2 all but the length of segment 1 and the checksum that covers it.
    for (number, fixture, compared) in [(1, GOLDEN[1].1[0], vec![0..203]), (2, GOLDEN[1].1[1], vec![0..24, 36..243])] {
        let (written, golden) = (disk.contents(&file_name(number)).expect("it was written"), bytes_of(fixture));
        for range in compared {
            let (written, golden) = (hex::encode(&written[range.clone()]), hex::encode(&golden[range.clone()]));
            assert_eq!(written, golden, "segment {number}, bytes {range:?}");
        }
        assert!(number == 1 || written.len() == golden.len(), "segment {number}");
    }
}
