//! Stamps order commits as readers see them.

use futures::future::join_all;

use super::{begin, committed, get, put, value};
use crate::store::{KeyRange, KvStore, Read, Stamp, scan};

pub(super) async fn check(store: &dyn KvStore) {
    one_after_another(store).await;
    at_once(store).await;
}

async fn one_after_another(store: &dyn KvStore) {
    let mut last = begin(store).await.commit().await.expect("an empty transaction commits");
    for n in 0..20_u8 {
        let stamp = put(store, b"order/k", &[n]).await;
        assert!(last < stamp, "stamps rise");
        let mut reader = begin(store).await;
        assert_eq!(get(reader.as_mut(), b"order/k").await.as_deref(), Some(&[n][..]), "a commit is seen once answered");
        assert_eq!(committed(reader).await, stamp, "a reader's stamp is that of the last commit it sees");
        last = stamp;
    }
}

/// Of many blind commits at once, the one with the highest stamp is the one whose value stays, and the log of stamped keys
/// has each in its place.
async fn at_once(store: &dyn KvStore) {
    let write = async |n: u8| {
        let mut writer = begin(store).await;
        writer.set(b"order/last", &[n]);
        writer.set_versionstamped_key(b"order/log/", b"", &[n]);
        (committed(writer).await, n)
    };
    let mut commits: Vec<(Stamp, u8)> = join_all((0..32).map(write)).await;
    commits.sort_unstable();
    assert!(commits.windows(2).all(|pair| pair[0].0 < pair[1].0), "no two commits share a stamp");
    let (_, last) = commits.last().expect("there were commits");
    assert_eq!(
        value(store, b"order/last").await.as_deref(),
        Some(&[*last][..]),
        "the order of stamps is the order of writes"
    );
    let mut reader = begin(store).await;
    let log =
        scan(reader.as_mut(), KeyRange::prefix(b"order/log/"), Read::Serializable).await.expect("the log is read");
    let written: Vec<&[u8]> = log.iter().map(|(_, value)| value.as_ref()).collect();
    let expected: Vec<&[u8]> = commits.iter().map(|(_, n)| std::slice::from_ref(n)).collect();
    assert_eq!(written, expected);
}
