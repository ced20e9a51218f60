//! Ranges, page by page, both ways, and many keys.

use bytes::Bytes;
use vfs::{Random, SeededRandom};

use super::{begin, committed, put};
use crate::store::{KEY_BYTES_LIMIT, KeyRange, KvStore, RangeOptions, Read, scan};

pub(super) async fn check_pages(store: &dyn KvStore) {
    for n in 0..10_u8 {
        put(store, &[b"page/", &[n][..]].concat(), &[n]).await;
    }
    let mut reader = begin(store).await;
    for (limit, reverse, more) in [(3, false, true), (3, true, true), (10, false, false), (11, true, false)] {
        let options = RangeOptions { limit, reverse, read: Read::Serializable };
        let page = reader.range(KeyRange::prefix(b"page/"), options).await.expect("a page is read");
        let mut expected: Vec<u8> = (0..10).collect();
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit);
        let seen: Vec<u8> = page.entries.iter().map(|(_, value)| value[0]).collect();
        assert_eq!((seen, page.more), (expected, more), "limit {limit}, reverse {reverse}");
    }
    let inner = KeyRange::new(&b"page/\x03"[..], &b"page/\x05"[..]);
    let inside = scan(reader.as_mut(), inner, Read::Serializable).await.expect("a range is read");
    assert_eq!(inside.len(), 2, "a range holds its start and not its end");
    let inverted = KeyRange::new(&b"b"[..], &b"a"[..]);
    let page = reader.range(inverted, RangeOptions::default()).await.expect("an empty range is read");
    assert!(page.entries.is_empty() && !page.more);
}

/// Keys of the greatest length that differ at their very end stand in order, and each is found, read and cleared by itself.
pub(super) async fn check_long_keys(store: &dyn KvStore) {
    let key = |last: u8| {
        // Bytes that do not compress: what a store keeps of a key must not depend on what is in it.
        let random = SeededRandom::new(1);
        let mut key: Vec<u8> = (0..KEY_BYTES_LIMIT).map(|_| (random.next_u64() >> 57) as u8).collect();
        key[KEY_BYTES_LIMIT - 1] = last;
        key
    };
    for last in [7, 1, 5, 3] {
        put(store, &key(last), &[last]).await;
    }
    put(store, &key(0)[..KEY_BYTES_LIMIT - 1], b"shorter").await;
    put(store, &key(5), b"again").await;
    let mut reader = begin(store).await;
    for (reverse, expected) in [(false, ["shorter", "\x01", "\x03"]), (true, ["\x07", "again", "\x03"])] {
        let options = RangeOptions { limit: 3, reverse, read: Read::Serializable };
        let page = reader.range(KeyRange::prefix(b""), options).await.expect("a page is read");
        let seen: Vec<&[u8]> = page.entries.iter().map(|(_, value)| value.as_ref()).collect();
        assert_eq!((seen, page.more), (expected.map(str::as_bytes).to_vec(), true), "reverse {reverse}");
    }
    let mut clearing = begin(store).await;
    clearing.clear(&key(1));
    clearing.clear_range(KeyRange::new(key(4), key(7)));
    committed(clearing).await;
    let left = scan(begin(store).await.as_mut(), KeyRange::prefix(b""), Read::Snapshot).await.expect("a range is read");
    let left: Vec<&[u8]> = left.iter().map(|(_, value)| value.as_ref()).collect();
    assert_eq!(left, [&b"shorter"[..], &[3], &[7]]);
}

/// A hundred thousand keys, read whole by pages while others write: the scan sees the version of its begin.
pub(super) async fn check_many_keys(store: &dyn KvStore) {
    const KEYS: u32 = 100_000;
    let key = |n: u32| [b"many/", n.to_be_bytes().as_slice()].concat();
    for start in (0..KEYS).step_by(25_000) {
        let mut load = begin(store).await;
        (start..start + 25_000).for_each(|n| load.set(&key(n), &[b'v'; 100]));
        committed(load).await;
    }
    let mut reader = begin(store).await;
    put(store, &key(7), b"changed").await;
    let mut clearing = begin(store).await;
    clearing.clear_range(KeyRange::new(key(50_000), key(60_000)));
    committed(clearing).await;
    for reverse in [false, true] {
        let mut seen = 0;
        let mut rest = KeyRange::prefix(b"many/");
        loop {
            let options = RangeOptions { limit: 30_000, reverse, read: Read::Snapshot };
            let page = reader.range(rest.clone(), options).await.expect("a page is read");
            for (found, value) in &page.entries {
                let expected = if reverse { KEYS - 1 - seen } else { seen };
                assert_eq!((found.as_ref(), value.len()), (key(expected).as_slice(), 100));
                seen += 1;
            }
            let Some((last, _)) = page.entries.last().filter(|_| page.more) else { break };
            if reverse {
                rest.end = last.clone();
            } else {
                rest.start = Bytes::from([last.as_ref(), &[0]].concat());
            }
        }
        assert_eq!(seen, KEYS);
    }
    drop(reader);
    let mut reader = begin(store).await;
    let left = scan(reader.as_mut(), KeyRange::prefix(b"many/"), Read::Snapshot).await.expect("a range is read");
    assert_eq!(left.len(), 90_000);
}
