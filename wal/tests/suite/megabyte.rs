//! A log of a mebibyte, damaged in every way that a disk knows: opening it yields the longest valid prefix or names what is
//! broken. It never panics, and never passes over anything in silence.
//!
//! The log is many small segments, and each opening sees the damaged one with its neighbours: those before may have been
//! removed long ago, so that this is a log too, and a million openings are affordable. An optimised build tries everything, a
//! debug build a sample.

use vfs::{Disk, Random};

use super::*;

/// Of how many cuts and flips one is tried.
const SAMPLE: usize = if cfg!(debug_assertions) { 101 } else { 1 };
const LOG_BYTES: usize = 1 << 20;
const FLIPS: usize = 100_000 / SAMPLE;
const MISDIRECTED: usize = 50_000 / SAMPLE;
const ZEROED: usize = 20_000 / SAMPLE;
const BLOCK: usize = 512;
const SETTINGS: WalSettings = WalSettings { segment_bytes: 8 << 10, queue_bytes: 1 << 20, disk_reserve_bytes: 0 };

/// One segment as it was written.
struct Segment {
    number: u64,
    bytes: Vec<u8>,
    /// Its records, each with where its frame ends.
    records: Vec<(usize, Record)>,
}

impl Segment {
    fn file(&self) -> String {
        file_name(self.number)
    }

    /// Its records that lie whole in its first `length` bytes.
    fn before(&self, length: usize) -> &[(usize, Record)] {
        &self.records[..self.records.partition_point(|(end, _)| *end <= length)]
    }
}

/// How an ended log came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
}

async fn write_log(end: End) -> Vec<Segment> {
    let disk = MemoryDisk::new();
    let (wal, _) = Wal::open(Arc::new(disk.clone()), SETTINGS, world()).await.expect("an empty disk");
    let random = SeededRandom::new(7);
    let mut written = Vec::new();
    let mut bytes = 0;
    while bytes < LOG_BYTES {
        let mut promised = Vec::new();
        for _ in 0..random.next_u64() % 4 + 1 {
            let (stream, length) = (random.next_u64() % 5, random.next_u64() as usize % 700);
            // Bytes that do not shrink, bytes that do, and a payload that looks like a log.
            let payload = match random.next_u64() % 3 {
                0 => noise(length, random.next_u64()),
                1 => vec![stream as u8; length],
                _ => disk.contents(&file_name(1)).unwrap_or_default().into_iter().take(length).collect(),
            };
            let record = record(stream, written.len() as u64 / 100, payload);
            promised.push((accept(&wal, record.clone()).await, record));
        }
        for (durable, record) in promised {
            written.push((durable.await.expect("no fault"), record));
        }
        bytes = usize::try_from(wal.stats().bytes_on_disk).expect("it is small");
    }
    match end {
        End::Closed => wal.close().await.expect("no fault"),
        End::Killed => disk.crash(vfs::Unsynced::Lost),
    }
    let mut log = Vec::new();
    for number in segments(&disk).await {
        let bytes = disk.contents(&file_name(number)).expect("it was listed");
        let records =
            written.iter().filter_map(|(position, record)| place(*position, number, &bytes, record)).collect();
        log.push(Segment { number, bytes, records });
    }
    assert_eq!(log.iter().map(|segment| segment.records.len()).sum::<usize>(), written.len());
    log
}

/// The record and where its frame ends, if it is in this segment: 40 bytes of header, which say at 8 how much follows.
fn place(position: WalPosition, number: u64, bytes: &[u8], record: &Record) -> Option<(usize, Record)> {
    let text = position.to_string();
    let (segment, offset) = text.split_once(':').expect("segment:offset");
    let offset: usize = offset.parse().expect("a number");
    let stored = || u32::from_le_bytes(bytes[offset + 8..offset + 12].try_into().expect("four bytes"));
    (segment.parse() == Ok(number)).then(|| (offset + 40 + stored() as usize, record.clone()))
}

/// How an opening ended.
enum Opened {
    /// With exactly these records, after which a close finds the log in order.
    Whole,
    /// With an error that names this segment and byte.
    Damaged(u64, u64),
}

/// Opens the disk and reads all of it; fails unless what it yields is `expected`, or damage that is named.
async fn check_opening(disk: &MemoryDisk, expected: &[&[(usize, Record)]], what: impl Fn() -> String) -> Opened {
    let (wal, replay) = match Wal::open(Arc::new(disk.clone()), SETTINGS, world()).await {
        Ok(opened) => opened,
        Err(WalError::Damaged { segment, at, .. }) => return Opened::Damaged(segment, at),
        Err(error) => panic!("{}: {error}", what()),
    };
    let mut expected = expected.iter().copied().flatten().map(|(_, record)| record);
    for replayed in replay.records() {
        let replayed = replayed.unwrap_or_else(|error| panic!("{}: found only while reading: {error}", what()));
        let is_next = expected.next().is_some_and(|next| {
            (next.stream, next.epoch, &next.payload) == (replayed.stream, replayed.epoch, &replayed.payload)
        });
        assert!(is_next, "{}: a record that does not come next, at {}", what(), replayed.position);
    }
    let missing = expected.count();
    assert_eq!(missing, 0, "{}: the longest prefix has more", what());
    replay.finish();
    wal.close().await.unwrap_or_else(|error| panic!("{}: {error}", what()));
    Opened::Whole
}

/// A disk with the segment at `index` and those beside it.
fn neighbours(log: &[Segment], index: usize) -> (MemoryDisk, &[Segment]) {
    let shown = &log[index.saturating_sub(1)..(index + 2).min(log.len())];
    let disk = MemoryDisk::new();
    shown.iter().for_each(|segment| disk.put(&segment.file(), segment.bytes.clone()));
    (disk, shown)
}

#[tokio::test]
async fn a_log_cut_at_any_byte_yields_the_longest_valid_prefix() {
    let log = write_log(End::Closed).await;
    let mut cuts = 0;
    for (index, segment) in log.iter().enumerate() {
        let (before, disk) = (index.checked_sub(1).map(|before| &log[before]), MemoryDisk::new());
        if let Some(before) = before {
            disk.put(&before.file(), before.bytes.clone());
        }
        let whole = before.map_or(&[][..], |before| &before.records);
        for length in (0..=segment.bytes.len()).step_by(SAMPLE) {
            disk.put(&segment.file(), segment.bytes[..length].to_vec());
            let what = || format!("segment {} cut to {length}", segment.number);
            let opened = check_opening(&disk, &[whole, segment.before(length)], what).await;
            assert!(matches!(opened, Opened::Whole), "{}: a cut is no damage", what());
            cuts += 1;
        }
    }
    println!("{cuts} cuts of {} segments", log.len());
    assert!(cuts * SAMPLE >= LOG_BYTES && log.len() > 50);
}

#[tokio::test]
async fn after_a_cut_the_log_goes_on_behind_the_longest_valid_prefix() {
    let log = write_log(End::Closed).await;
    let (last, disk) = (&log[log.len() - 1], MemoryDisk::new());
    for length in (0..=last.bytes.len()).step_by(13 * SAMPLE) {
        for name in disk.list().await.expect("a list").into_iter().map(|entry| entry.name) {
            disk.remove(&name).await.expect("it was listed");
        }
        let before = &log[log.len() - 2];
        disk.put(&before.file(), before.bytes.clone());
        disk.put(&last.file(), last.bytes[..length].to_vec());
        let (wal, replay) = Wal::open(Arc::new(disk.clone()), SETTINGS, world()).await.expect("a cut is no damage");
        drop(replay);
        super::log(&wal, record(9, 1, "new")).await;
        disk.crash(vfs::Unsynced::Lost);
        let new = [(0, record(9, 1, "new"))];
        let what = || format!("cut to {length}, and written on");
        let opened = check_opening(&disk, &[&before.records, last.before(length), &new], what).await;
        assert!(matches!(opened, Opened::Whole), "{}", what());
    }
}

#[tokio::test]
async fn a_flipped_bit_is_named_or_costs_only_what_no_mark_calls_durable() {
    let random = SeededRandom::new(11);
    for end in [End::Closed, End::Killed] {
        let log = write_log(end).await;
        let (mut named, mut cut) = (0, 0);
        for number in 0..FLIPS {
            // Every fourth in the last segment, the only one that may be cut.
            let index = if number % 4 == 0 { log.len() - 1 } else { random.next_u64() as usize % log.len() };
            let (disk, shown) = neighbours(&log, index);
            let segment = &log[index];
            let bit = random.next_u64() as usize % (segment.bytes.len() * 8);
            let mut flipped = segment.bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            disk.put(&segment.file(), flipped);
            let what = || format!("segment {} bit {bit}", segment.number);
            let prefix = prefix(shown, segment, bit / 8);
            match check_opening(&disk, &prefix, what).await {
                Opened::Damaged(at_segment, at) => {
                    assert_eq!(at_segment, segment.number, "{}", what());
                    assert!(at <= bit as u64 / 8, "{}: named at {at}", what());
                    named += 1;
                }
                Opened::Whole => {
                    assert_eq!(index, log.len() - 1, "{}: only the last segment can be torn", what());
                    cut += 1;
                }
            }
        }
        println!("{FLIPS} flipped bits: {named} named, {cut} cut");
        assert!(named > FLIPS / 2 && cut > 0);
    }
}

/// What is left of `shown` if the log ends at this byte of `segment`.
fn prefix<'a>(shown: &'a [Segment], segment: &'a Segment, byte: usize) -> Vec<&'a [(usize, Record)]> {
    let earlier = shown.iter().take_while(|other| other.number < segment.number).map(|other| &other.records[..]);
    earlier.chain([segment.before(byte)]).collect()
}

#[tokio::test]
async fn a_flipped_bit_is_found_among_all_segments_too() {
    let log = write_log(End::Closed).await;
    let (random, disk) = (SeededRandom::new(12), MemoryDisk::new());
    log.iter().for_each(|segment| disk.put(&segment.file(), segment.bytes.clone()));
    let all: Vec<&[(usize, Record)]> = log.iter().map(|segment| &segment.records[..]).collect();
    assert!(matches!(check_opening(&disk, &all, || "the whole log".to_owned()).await, Opened::Whole));
    for _ in 0..FLIPS / 500 {
        let segment = &log[random.next_u64() as usize % (log.len() - 1)];
        let bit = random.next_u64() as usize % (segment.bytes.len() * 8);
        let mut flipped = segment.bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.put(&segment.file(), flipped);
        let what = || format!("segment {} bit {bit}", segment.number);
        let opened = check_opening(&disk, &[], what).await;
        assert!(matches!(opened, Opened::Damaged(number, _) if number == segment.number), "{}", what());
        disk.put(&segment.file(), segment.bytes.clone());
    }
}

#[tokio::test]
async fn a_block_that_was_written_to_the_wrong_place_is_never_taken_for_what_should_be_there() {
    let log = write_log(End::Killed).await;
    let random = SeededRandom::new(13);
    let draw = |below: usize| random.next_u64() as usize % below;
    let (mut named, mut cut) = (0, 0);
    for number in 0..MISDIRECTED {
        let index = if number % 4 == 0 { log.len() - 1 } else { draw(log.len()) };
        let (segment, other) = (&log[index], &log[draw(log.len())]);
        let blocks = |segment: &Segment| segment.bytes.len() / BLOCK;
        let (from, to) = (draw(blocks(other)) * BLOCK, draw(blocks(segment)) * BLOCK);
        let mut wrong = segment.bytes.clone();
        wrong[to..to + BLOCK].copy_from_slice(&other.bytes[from..from + BLOCK]);
        let Some(first) = (0..wrong.len()).find(|at| wrong[*at] != segment.bytes[*at]) else { continue };
        let (disk, shown) = neighbours(&log, index);
        disk.put(&segment.file(), wrong);
        let what = || format!("segment {} block at {to} from {}:{from}", segment.number, other.number);
        match check_opening(&disk, &prefix(shown, segment, first), what).await {
            Opened::Damaged(at_segment, at) => {
                assert!(at_segment == segment.number && at <= first as u64, "{}: {at_segment}:{at}", what());
                named += 1;
            }
            Opened::Whole => {
                assert_eq!(index, log.len() - 1, "{}: only the last segment can be torn", what());
                cut += 1;
            }
        }
    }
    println!("{named} misdirected blocks named, {cut} cut");
    assert!(named > MISDIRECTED / 2 && cut > 0);
}

#[tokio::test]
async fn a_tail_of_zeros_is_cut_like_a_torn_one() {
    let log = write_log(End::Killed).await;
    let (last, random) = (&log[log.len() - 1], SeededRandom::new(14));
    let header = last.records[0].0 - 40;
    for _ in 0..ZEROED {
        let from = header + random.next_u64() as usize % (last.bytes.len() - header);
        let mut zeroed = last.bytes.clone();
        zeroed[from..].fill(0);
        zeroed.resize(zeroed.len() + random.next_u64() as usize % 5_000, 0);
        // A frame that ends in zeros of its own is none the worse for them.
        let first = (0..zeroed.len()).find(|at| last.bytes.get(*at) != Some(&zeroed[*at])).unwrap_or(zeroed.len());
        let (disk, shown) = neighbours(&log, log.len() - 1);
        disk.put(&last.file(), zeroed);
        let what = || format!("zeros from {from} on");
        let opened = check_opening(&disk, &prefix(shown, last, first), what).await;
        assert!(matches!(opened, Opened::Whole), "{}", what());
    }
}

#[tokio::test]
async fn a_segment_that_is_cut_although_a_later_one_is_there_is_named() {
    let log = write_log(End::Closed).await;
    let (segment, later, disk) = (&log[3], &log[4], MemoryDisk::new());
    disk.put(&later.file(), later.bytes.clone());
    // Also between two frames, where the segment itself looks whole.
    for length in (0..segment.bytes.len()).step_by(SAMPLE) {
        disk.put(&segment.file(), segment.bytes[..length].to_vec());
        let what = || format!("cut to {length}");
        match check_opening(&disk, &[], what).await {
            Opened::Damaged(number, at) => assert!(number == segment.number && at <= length as u64, "{}", what()),
            Opened::Whole => panic!("{}: and nobody noticed", what()),
        }
    }
}
