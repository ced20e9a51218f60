//! Each limit, at its edge: the largest that passes and the smallest that does not.

use std::time::Duration;

use super::{ManualClock, begin, commits, get, put, value};
use crate::store::{
    KEY_BYTES_LIMIT, KeyRange, KvStore, KvTransaction, Read, StoreError, TRANSACTION_AGE_LIMIT,
    TRANSACTION_BYTES_LIMIT, VALUE_BYTES_LIMIT, VersionstampedValue,
};

pub(super) async fn check_sizes(store: &dyn KvStore) {
    keys_and_values(store).await;
    transactions(store).await;
    reserved_keys(store).await;
}

async fn keys_and_values(store: &dyn KvStore) {
    let (key, value_bytes) = (vec![b'k'; KEY_BYTES_LIMIT + 1], vec![b'v'; VALUE_BYTES_LIMIT + 1]);
    let longest = &key[..KEY_BYTES_LIMIT];
    put(store, longest, b"").await;
    put(store, b"limit/v", &value_bytes[..VALUE_BYTES_LIMIT]).await;
    assert_eq!(value(store, longest).await.as_deref(), Some(&b""[..]));
    assert_eq!(value(store, b"limit/v").await.map(|value| value.len()), Some(VALUE_BYTES_LIMIT));

    let mut clearing = begin(store).await;
    clearing.clear_range(KeyRange::single(longest));
    commits(clearing, "the range of the longest key").await;

    type Write = fn(&mut dyn KvTransaction, &[u8], &[u8]);
    let too_large: [(&str, Write); 6] = [
        ("key", |writer, key, _| writer.set(key, b"")),
        ("key", |writer, key, _| writer.clear(key)),
        ("key", |writer, key, _| writer.add(key, 1)),
        ("key", |writer, key, _| writer.set_versionstamped_key(&key[..KEY_BYTES_LIMIT - 9], b"", b"")),
        ("value", |writer, _, value| writer.set(b"k", value)),
        ("value", |writer, _, value| {
            let before = value[..VALUE_BYTES_LIMIT - 9].to_vec().into();
            writer.set_versionstamped_value(b"k", VersionstampedValue { before, ..Default::default() });
        }),
    ];
    for (what, write) in too_large {
        let mut writer = begin(store).await;
        writer.set(b"limit/other", b"");
        write(writer.as_mut(), &key, &value_bytes);
        refused(writer, what).await;
    }
    assert_eq!(value(store, b"limit/other").await, None, "what is too large leaves nothing behind");
    let read = begin(store).await.get(&key, Read::Serializable).await;
    assert!(matches!(read, Err(StoreError::TooLarge { what: "key", .. })));
}

/// A transaction filled to the last byte commits; one byte more does not.
async fn transactions(store: &dyn KvStore) {
    const KEY_BYTES: usize = 4;
    // A set counts its key and value, and its conflict range: the key, and the key with one byte more.
    const SET_OVERHEAD: usize = 3 * KEY_BYTES + 1;
    let full_sets = TRANSACTION_BYTES_LIMIT / (VALUE_BYTES_LIMIT + SET_OVERHEAD);
    let rest = TRANSACTION_BYTES_LIMIT - full_sets * (VALUE_BYTES_LIMIT + SET_OVERHEAD) - SET_OVERHEAD;
    for (last_value, fits) in [(rest, true), (rest + 1, false)] {
        let mut writer = begin(store).await;
        for n in 0..full_sets {
            let key = u32::try_from(n).expect("a small number").to_be_bytes();
            writer.set(&key, &vec![b'v'; VALUE_BYTES_LIMIT]);
        }
        writer.set(b"last", &vec![b'v'; last_value]);
        if fits {
            commits(writer, "a full transaction").await;
        } else {
            refused(writer, "transaction").await;
        }
    }
    let mut tidy = begin(store).await;
    tidy.clear_range(KeyRange::prefix(b""));
    commits(tidy, "a clear of everything").await;
    assert_eq!(value(store, b"last").await, None);
}

async fn reserved_keys(store: &dyn KvStore) {
    let mut writer = begin(store).await;
    writer.set(b"\xff\xff", b"");
    assert!(matches!(writer.commit().await, Err(StoreError::Misuse { .. })), "keys from 0xff on belong to the store");
    put(store, b"\xfe\xff", b"").await;
}

async fn refused(writer: Box<dyn KvTransaction>, part: &str) {
    match writer.commit().await {
        Err(StoreError::TooLarge { what, bytes, limit }) => {
            assert_eq!(what, part);
            assert!(bytes > limit);
        }
        other => panic!("a {part} over its limit was answered {other:?}"),
    }
}

pub(super) async fn check_age(store: &dyn KvStore, clock: &ManualClock) {
    put(store, b"age/k", b"1").await;
    let (mut in_time, mut late) = (begin(store).await, begin(store).await);
    let mut late_reader = begin(store).await;
    get(late_reader.as_mut(), b"age/k").await;
    clock.advance(TRANSACTION_AGE_LIMIT);
    get(in_time.as_mut(), b"age/k").await;
    in_time.set(b"age/in_time", b"");
    commits(in_time, "at the age limit").await;
    clock.advance(Duration::from_millis(1));
    assert_eq!(late.get(b"age/k", Read::Snapshot).await, Err(StoreError::TooOld));
    late.set(b"age/late", b"");
    assert_eq!(late.commit().await, Err(StoreError::TooOld));
    assert_eq!(value(store, b"age/late").await, None);
    commits(late_reader, "a transaction without writes, at any age").await;
}
