//! Who conflicts with whom: exactly those who read what another wrote and committed after their begin.

use super::{begin, commits, committed, conflicts, get, put, value};
use crate::store::{KeyRange, KvStore, RangeOptions, Read, StoreError, VersionstampedValue};

pub(super) async fn check(store: &dyn KvStore) {
    keys(store).await;
    kinds_of_writes(store).await;
    ranges(store).await;
    skew(store).await;
    explicit_ranges(store).await;
    read_only(store).await;
}

async fn keys(store: &dyn KvStore) {
    put(store, b"keys/a", b"0").await;
    let mut reader = begin(store).await;
    get(reader.as_mut(), b"keys/a").await;
    get(reader.as_mut(), b"keys/missing").await;
    reader.set(b"keys/mine", b"1");
    put(store, b"keys/b", b"1").await;
    commits(reader, "nothing that it read was written").await;

    let mut reader = begin(store).await;
    get(reader.as_mut(), b"keys/a").await;
    reader.set(b"keys/mine", b"2");
    put(store, b"keys/a", b"1").await;
    conflicts(reader, "a key that it read was written").await;
    assert_eq!(value(store, b"keys/mine").await.as_deref(), Some(&b"1"[..]), "a conflict leaves nothing behind");

    let mut reader = begin(store).await;
    get(reader.as_mut(), b"keys/missing").await;
    reader.set(b"keys/mine", b"2");
    put(store, b"keys/missing", b"").await;
    conflicts(reader, "a key that it missed was made").await;

    let mut reader = begin(store).await;
    reader.get(b"keys/a", Read::Snapshot).await.expect("a key is read");
    reader.set(b"keys/mine", b"3");
    put(store, b"keys/a", b"2").await;
    commits(reader, "a snapshot read never conflicts").await;

    let mut writer = begin(store).await;
    writer.set(b"keys/a", b"3");
    assert_eq!(get(writer.as_mut(), b"keys/a").await.as_deref(), Some(&b"3"[..]));
    put(store, b"keys/a", b"4").await;
    commits(writer, "blind writes of one key do not conflict, nor does reading one's own").await;
    assert_eq!(value(store, b"keys/a").await.as_deref(), Some(&b"3"[..]), "the later commit counts");
}

/// A write of any kind makes readers of the key conflict, and itself reads nothing.
async fn kinds_of_writes(store: &dyn KvStore) {
    type Write = fn(&mut dyn crate::store::KvTransaction);
    let kinds: [(&str, Write); 6] = [
        ("set", |writer| writer.set(b"kinds/k", b"v")),
        ("clear", |writer| writer.clear(b"kinds/k")),
        ("clear_range", |writer| writer.clear_range(KeyRange::prefix(b"kinds/"))),
        ("add", |writer| writer.add(b"kinds/k", 1)),
        ("versionstamped value", |writer| {
            writer.set_versionstamped_value(b"kinds/k", VersionstampedValue::default());
        }),
        ("write conflict", |writer| writer.add_write_conflict(KeyRange::single(b"kinds/k"))),
    ];
    for (kind, write) in kinds {
        let mut reader = begin(store).await;
        get(reader.as_mut(), b"kinds/k").await;
        reader.set(b"other", b"");
        let mut blind = begin(store).await;
        write(blind.as_mut());
        let mut writer = begin(store).await;
        write(writer.as_mut());
        committed(writer).await;
        conflicts(reader, kind).await;
        commits(blind, kind).await;
    }
    let mut reader = begin(store).await;
    let range = KeyRange::prefix(b"kinds/log/");
    reader.range(range, RangeOptions::default()).await.expect("a range is read");
    reader.set(b"other", b"");
    for _ in 0..2 {
        let mut append = begin(store).await;
        append.set_versionstamped_key(b"kinds/log/", b"", b"v");
        committed(append).await;
    }
    conflicts(reader, "a stamped key came into the range").await;
}

async fn ranges(store: &dyn KvStore) {
    for key in [b"range/1", b"range/3", b"range/5", b"range/7"] {
        put(store, key, b"").await;
    }
    let whole = KeyRange::prefix(b"range/");
    let two = RangeOptions { limit: 2, ..RangeOptions::default() };
    let last_two = RangeOptions { reverse: true, ..two };
    let snapshot = RangeOptions { read: Read::Snapshot, ..RangeOptions::default() };
    let cases = [
        (RangeOptions::default(), &b"range/4"[..], true, "a phantom came into the range"),
        (RangeOptions::default(), b"range0", false, "a write beyond the range"),
        (snapshot, b"range/4", false, "a snapshot read of the range"),
        (two, b"range/2", true, "a phantom came into the page"),
        (two, b"range/6", false, "a write beyond the page that was read"),
        (last_two, b"range/6", true, "a phantom came into the page read backwards"),
        (last_two, b"range/2", false, "a write before the page that was read backwards"),
    ];
    for (options, written, conflict, rule) in cases {
        let mut reader = begin(store).await;
        reader.range(whole.clone(), options).await.expect("a range is read");
        reader.set(b"other", b"");
        put(store, written, b"").await;
        if conflict {
            conflicts(reader, rule).await;
        } else {
            commits(reader, rule).await;
        }
        let mut tidy = begin(store).await;
        tidy.clear(written);
        committed(tidy).await;
    }
    let mut reader = begin(store).await;
    reader.range(whole, RangeOptions::default()).await.expect("a range is read");
    reader.set(b"other", b"");
    let mut clearing = begin(store).await;
    clearing.clear_range(KeyRange::new(&b"range/2"[..], &b"range/4"[..]));
    committed(clearing).await;
    conflicts(reader, "a part of the range was cleared").await;
}

/// Two who each read what the other writes: one of them must lose, with keys and with ranges.
async fn skew(store: &dyn KvStore) {
    for by_range in [false, true] {
        let (mut left, mut right) = (begin(store).await, begin(store).await);
        for transaction in [left.as_mut(), right.as_mut()] {
            if by_range {
                let range = KeyRange::prefix(b"skew/");
                transaction.range(range, RangeOptions::default()).await.expect("a range is read");
            } else {
                get(transaction, b"skew/left").await;
                get(transaction, b"skew/right").await;
            }
        }
        left.set(b"skew/left", b"1");
        right.set(b"skew/right", b"1");
        commits(left, "the first of a write skew").await;
        conflicts(right, "the second of a write skew").await;
    }
}

async fn explicit_ranges(store: &dyn KvStore) {
    let mut reader = begin(store).await;
    reader.add_read_conflict(KeyRange::prefix(b"explicit/"));
    reader.set(b"other", b"");
    put(store, b"explicit/k", b"").await;
    conflicts(reader, "an added read conflict range counts as read").await;

    let mut reader = begin(store).await;
    get(reader.as_mut(), b"explicit/k").await;
    reader.set(b"other", b"");
    let mut writer = begin(store).await;
    writer.add_write_conflict(KeyRange::prefix(b"explicit/"));
    committed(writer).await;
    conflicts(reader, "an added write conflict range counts as written").await;
    assert_eq!(value(store, b"explicit/k").await.as_deref(), Some(&b""[..]), "and writes nothing");
}

async fn read_only(store: &dyn KvStore) {
    put(store, b"only/k", b"1").await;
    let mut reader = begin(store).await;
    let before = get(reader.as_mut(), b"only/k").await;
    let written_at = put(store, b"only/k", b"2").await;
    assert_eq!(get(reader.as_mut(), b"only/k").await, before, "a transaction reads one version");
    let read_at = reader.commit().await;
    assert!(
        matches!(read_at, Ok(stamp) if stamp < written_at),
        "a transaction without writes never conflicts: {read_at:?}"
    );
    let mut dropped = begin(store).await;
    dropped.set(b"only/k", b"3");
    drop(dropped);
    assert_eq!(
        value(store, b"only/k").await.as_deref(),
        Some(&b"2"[..]),
        "a dropped transaction leaves nothing behind"
    );
    let mut zero = begin(store).await;
    let none = RangeOptions { limit: 0, ..RangeOptions::default() };
    let refused = zero.range(KeyRange::prefix(b"only/"), none).await;
    assert!(matches!(refused, Err(StoreError::Misuse { .. })));
}
