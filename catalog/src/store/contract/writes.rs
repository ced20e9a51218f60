//! What a transaction sees of its own writes, and what each kind of write leaves in the store.

use bytes::Bytes;

use super::{begin, committed, get, put, value};
use crate::store::{KeyRange, KvStore, KvTransaction, RangeOptions, Read, StoreError, VersionstampedValue, scan};

pub(super) async fn check(store: &dyn KvStore) {
    own_writes(store).await;
    own_writes_in_pages(store).await;
    adds(store).await;
    versionstamps(store).await;
    unreadable(store).await;
}

async fn own_writes(store: &dyn KvStore) {
    for key in [b"own/1", b"own/2", b"own/3", b"own/4"] {
        put(store, key, b"old").await;
    }
    let mut writer = begin(store).await;
    writer.set(b"own/0", b"new");
    writer.clear(b"own/1");
    writer.clear_range(KeyRange::new(&b"own/2"[..], &b"own/4"[..]));
    writer.set(b"own/3", b"new");
    for (key, expected) in [
        (&b"own/0"[..], Some("new")),
        (b"own/1", None),
        (b"own/2", None),
        (b"own/3", Some("new")),
        (b"own/4", Some("old")),
    ] {
        assert_eq!(get(writer.as_mut(), key).await, expected.map(Bytes::from), "own writes are seen by get");
    }
    let expected =
        [("own/0", "new"), ("own/3", "new"), ("own/4", "old")].map(|(k, v)| (Bytes::from(k), Bytes::from(v)));
    let seen = all(writer.as_mut(), b"own/").await;
    assert_eq!(seen, expected, "own writes are seen by range");
    committed(writer).await;
    assert_eq!(all(begin(store).await.as_mut(), b"own/").await, expected, "and are what the commit leaves");
}

/// Pages stay full and in order when the own writes hide whole stretches of the store, from either end.
async fn own_writes_in_pages(store: &dyn KvStore) {
    let mut load = begin(store).await;
    for n in 0..100_u8 {
        load.set(&[b"pages/", &[n][..]].concat(), b"old");
    }
    committed(load).await;
    for reverse in [false, true] {
        let mut writer = begin(store).await;
        writer.clear_range(KeyRange::new(&b"pages/\x0a"[..], &b"pages/\x5a"[..]));
        writer.set(b"pages/\x32", b"new");
        let options = RangeOptions { limit: 12, reverse, read: Read::Serializable };
        let page = writer.range(KeyRange::prefix(b"pages/"), options).await.expect("a page is read");
        let mut expected: Vec<u8> = (0..10).chain([0x32]).chain(90..100).collect();
        if reverse {
            expected.reverse();
        }
        let seen: Vec<u8> = page.entries.iter().map(|(key, _)| key[6]).collect();
        assert_eq!((seen.as_slice(), page.more), (&expected[..12], true));
    }
}

async fn adds(store: &dyn KvStore) {
    let number = |n: i64| Some(Bytes::copy_from_slice(&n.to_le_bytes()));
    let mut writer = begin(store).await;
    writer.add(b"add/n", 5);
    assert_eq!(get(writer.as_mut(), b"add/n").await, number(5), "a missing key counts as zero");
    committed(writer).await;
    let mut writer = begin(store).await;
    writer.add(b"add/n", -7);
    writer.add(b"add/n", 1);
    assert_eq!(all(writer.as_mut(), b"add/").await, [(Bytes::from("add/n"), number(-1).expect("a number"))]);
    let mut other = begin(store).await;
    other.add(b"add/n", 100);
    committed(other).await;
    // The reads above conflict; adds alone do not.
    assert_eq!(writer.commit().await, Err(StoreError::Conflict));
    let (mut left, mut right) = (begin(store).await, begin(store).await);
    left.add(b"add/n", 1);
    right.add(b"add/n", 10);
    committed(left).await;
    committed(right).await;
    assert_eq!(value(store, b"add/n").await, number(116), "no add is lost");
    put(store, b"add/short", &[1]).await;
    let mut writer = begin(store).await;
    writer.add(b"add/short", 256);
    committed(writer).await;
    assert_eq!(value(store, b"add/short").await, number(257), "a short value is filled with zeros");
}

async fn versionstamps(store: &dyn KvStore) {
    let mut keys = Vec::new();
    for n in 0..3_u8 {
        let mut writer = begin(store).await;
        writer.set_versionstamped_key(b"stamps/log/", &[n], &[n]);
        writer.set_versionstamped_key(b"stamps/log/", &[n + 100], &[n]);
        let value = VersionstampedValue { before: Bytes::from("v="), after: Bytes::from(";") };
        writer.set_versionstamped_value(b"stamps/head", value);
        let stamp = committed(writer).await;
        for suffix in [n, n + 100] {
            keys.push([b"stamps/log/", stamp.as_ref(), &[suffix]].concat());
        }
        let head = [b"v=", stamp.as_ref(), b";"].concat();
        assert_eq!(super::value(store, b"stamps/head").await, Some(head.into()), "the head holds its commit's stamp");
    }
    let log = all(begin(store).await.as_mut(), b"stamps/log/").await;
    let seen: Vec<&[u8]> = log.iter().map(|(key, _)| key.as_ref()).collect();
    assert_eq!(seen, keys, "stamped keys stand in commit order");
}

async fn unreadable(store: &dyn KvStore) {
    let mut writer = begin(store).await;
    writer.set_versionstamped_value(b"unreadable", VersionstampedValue::default());
    writer.set_versionstamped_key(b"unreadable/", b"", b"");
    let read = writer.get(b"unreadable", Read::Serializable).await;
    assert!(matches!(read, Err(StoreError::Misuse { .. })), "nobody knows the stamp before the commit");
    let read = writer.range(KeyRange::prefix(b"unreadable/"), RangeOptions::default()).await;
    assert!(matches!(read, Err(StoreError::Misuse { .. })), "nobody knows where a stamped key will stand");
    committed(writer).await;
}

async fn all(transaction: &mut dyn KvTransaction, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
    scan(transaction, KeyRange::prefix(prefix), Read::Serializable).await.expect("a range is read")
}
