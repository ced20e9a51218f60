//! Who may touch a key: readers together, a writer alone. Without it the files' check of a condition and their writing are two steps.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::faults::S3Op;

/// Keys share this many locks: enough that two are seldom in each other's way, and none is ever forgotten.
const STRIPES: usize = 1_024;

/// The locks of one server. Each request holds one of a key under a shared one of the whole, or the whole alone: so none waits for another
/// in a circle.
#[derive(Debug)]
pub(super) struct Locks {
    whole: RwLock<()>,
    keys: Vec<RwLock<()>>,
}

/// Held while a request is served.
#[expect(dead_code, reason = "guards are held, not looked at")]
pub(super) enum Held<'a> {
    Whole(RwLockWriteGuard<'a, ()>),
    Reading(RwLockReadGuard<'a, ()>, RwLockReadGuard<'a, ()>),
    Writing(RwLockReadGuard<'a, ()>, RwLockWriteGuard<'a, ()>),
}

impl Locks {
    pub(super) fn new() -> Self {
        Self { whole: RwLock::default(), keys: (0..STRIPES).map(|_| RwLock::default()).collect() }
    }

    /// What a request for `path` needs.
    pub(super) async fn hold(&self, op: S3Op, path: &str) -> Held<'_> {
        match op {
            // These touch many keys: of a deletion in bulk they are in the body, and of a listing they are all.
            S3Op::Delete | S3Op::Copy | S3Op::List | S3Op::Other => Held::Whole(self.whole.write().await),
            S3Op::Put | S3Op::Complete => Held::Writing(self.whole.read().await, self.key(path).write().await),
            // Pieces are files of their own, and only the end of their upload makes them a key.
            S3Op::Get | S3Op::Head | S3Op::CreateUpload | S3Op::PutPiece | S3Op::Abort => {
                Held::Reading(self.whole.read().await, self.key(path).read().await)
            }
        }
    }

    fn key(&self, path: &str) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let stripe = hasher.finish() % self.keys.len() as u64;
        &self.keys[usize::try_from(stripe).expect("there are fewer")]
    }
}
