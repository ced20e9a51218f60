//! A catalog, moved into another store of any kind (PROTOCOL, "Versions and the table log").
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | the target is empty, and is marked `copying` | nobody else fills it, and nobody opens it | the same copy, run again, begins anew |
//! | every key is written, byte for byte | | as above |
//! | the target is read again | it holds what was read of the source, by count and checksum | as above |
//! | the source is looked at again | nothing was written to it since the copy began | as above |
//! | `format` is written and `copying` removed, in one transaction | the target is a catalog | it is done |
//!
//! The copy keeps the catalog's id and raises its era: the stamps of the target begin again below those given out before, and the
//! era, which versions begin with, puts new versions above all old ones. Values that hold versions keep them. Not copied is
//! `server_lease`, which says who serves the source.
//!
//! **I6.** Each write of the copy compares the nonce in the mark, and is a set or a clear that can be done twice. So an unknown
//! outcome is run again, and what is still on its way from a copy that was given up conflicts with the mark of the next.
//!
//! A source that is written to while it is read would be copied half before and half after. Stamps count commits, so a source
//! that is read at one stamp from the first key to the last look was not written to. And one that a server serves without
//! writing is found by its lease, which it renews: the last look comes no sooner than the lease's duration after the first.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use sha2::{Digest, Sha256};
use vfs::World;

use super::reader::{Reader, everything};
use crate::keys::{self, Nonce, copying::CopyingRecord, format::FormatRecord};
use crate::store::{KeyRange, KvStore, KvTransaction, RangeOptions, Read};
use crate::transaction::{Failure, settle};
use crate::{CatalogError, CatalogId};

const OPERATION: &str = "copying the catalog";

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Keys written to the target.
    pub written: u64,
    /// Keys of the target read again.
    pub checked: u64,
    /// How long it now waits for the lease on the source to run out; zero before that.
    pub waits: Duration,
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// The catalog, which the target now is too.
    pub id: CatalogId,
    /// The target's era: that of the source, and one.
    pub era: u32,
    /// How many keys are the same on both sides: all but `format`, and the lease of the source's server.
    pub keys: u64,
    /// The bytes of these keys and their values.
    pub bytes: u64,
    /// The SHA-256 of these keys and their values, the same on both sides.
    pub checksum: String,
}

/// Copies the catalog in `from` to `to`, which must be empty, or hold what an earlier, unfinished copy of the same catalog left.
///
/// `Invalid` if the source holds no catalog or is written to meanwhile, and if the target holds anything else. After an error,
/// or if the returned future is dropped, the target cannot be opened, and the copy is to be run again.
pub async fn copy(
    from: &dyn KvStore,
    to: &dyn KvStore,
    world: &World,
    progress: &mut (dyn FnMut(CopyProgress) + Send),
) -> Result<CopyReport, CatalogError> {
    let begun = world.clock.now();
    let mut source = Reader::new(from, world, OPERATION);
    let (id, era) = next_era(&mut source).await?;
    let lease = server_lease_duration(&mut source).await?;
    let mark = CopyingRecord { id: id.clone(), nonce: Nonce(world.random.next_u64()) };
    let target = Target { store: to, world, mark: &mark };
    target.take().await?;
    target.clear().await?;

    let mut done = CopyProgress::default();
    let mut read = Sum::default();
    let mut rest = Some(everything());
    while let Some(page) = source.next(&mut rest).await? {
        let entries: Vec<_> = page.entries.into_iter().filter(|(key, _)| is_copied(key)).collect();
        entries.iter().for_each(|(key, value)| read.add(key, value));
        target.write(&entries).await?;
        done.written = read.keys;
        progress(done);
    }
    let mut written = Sum::default();
    let mut again = Reader::new(to, world, OPERATION);
    let mut rest = Some(everything());
    while let Some(page) = again.next(&mut rest).await? {
        page.entries.iter().filter(|(key, _)| is_copied(key)).for_each(|(key, value)| written.add(key, value));
        done.checked = written.keys;
        progress(done);
    }
    let (read, written) = (read.finish(), written.finish());
    if read != written {
        return Err(CatalogError::invalid(format!(
            "the target does not hold what was written to it: {} keys with the checksum {}, and read back were {} with {}; \
             look at what it lies on, then copy again",
            read.keys, read.checksum, written.keys, written.checksum
        )));
    }

    let left = lease.saturating_sub(world.clock.now().since(begun));
    if !left.is_zero() {
        progress(CopyProgress { waits: left, ..done });
        world.clock.sleep(left).await;
    }
    source.renew().await?;
    if !source.finish().await?.1 {
        return Err(CatalogError::invalid(
            "the source was written to while it was copied: stop the servers of the source first, then copy again",
        ));
    }
    target.finish(era).await?;
    let Summed { keys, bytes, checksum } = read;
    Ok(CopyReport { id, era, keys, bytes, checksum })
}

/// Whether a key of the source is one of the target too.
fn is_copied(key: &[u8]) -> bool {
    ![keys::format::ser_key(), keys::server_lease::ser_key(), keys::copying::ser_key()].iter().any(|it| it == key)
}

/// The source's id, and the era of its copy.
async fn next_era(source: &mut Reader<'_>) -> Result<(CatalogId, u32), CatalogError> {
    if source.get(&keys::copying::ser_key()).await?.is_some() {
        return Err(CatalogError::invalid("the source is itself a copy that was not finished: name a whole catalog"));
    }
    let key = keys::format::ser_key();
    let Some(value) = source.get(&key).await? else {
        return Err(CatalogError::invalid("the source holds no catalog: name another store"));
    };
    let FormatRecord { id, era, .. } = keys::format::deser_value(&key, &value)?;
    let id = id.ok_or_else(|| {
        CatalogError::invalid("the source is of an earlier program, and has no id yet: start a server on it once")
    })?;
    let era = era.checked_add(1).ok_or_else(|| CatalogError::invalid("the source is of the last era that there is"))?;
    Ok((id, era))
}

/// How long a server that serves the source may go without writing to it.
async fn server_lease_duration(source: &mut Reader<'_>) -> Result<Duration, CatalogError> {
    let key = keys::server_lease::ser_key();
    let Some(value) = source.get(&key).await? else { return Ok(Duration::ZERO) };
    let record = keys::server_lease::deser_value(&key, &value)?;
    Ok(Duration::from_millis(record.lease.duration_ms))
}

/// The store that becomes a catalog.
#[derive(Clone, Copy)]
struct Target<'a> {
    store: &'a dyn KvStore,
    world: &'a World,
    mark: &'a CopyingRecord,
}

impl Target<'_> {
    /// Marks it as ours, provided that it is empty or was filled by an unfinished copy of the same catalog.
    async fn take(self) -> Result<(), CatalogError> {
        let mark = self.mark;
        self.settle(|transaction| {
            async move {
                match read_mark(transaction).await? {
                    Some(found) if found.id != mark.id => {
                        return Err(CatalogError::invalid(format!(
                            "the target holds an unfinished copy of another catalog, {}: name an empty one",
                            found.id
                        ))
                        .into());
                    }
                    Some(_) => {}
                    None => {
                        let key = keys::format::ser_key();
                        let whole = keys::get(transaction, &key, keys::format::deser_value).await?;
                        if let Some(whole) = whole.filter(|whole| whole.id.as_ref() == Some(&mark.id)) {
                            return Err(CatalogError::invalid(format!(
                                "the target is not empty, it holds a finished copy of this catalog, of era {}: verify it, or name an \
                                 empty one",
                                whole.era
                            ))
                            .into());
                        }
                        let options = RangeOptions { limit: 1, ..RangeOptions::default() };
                        let page = transaction.range(everything(), options).await?;
                        if let Some((key, _)) = page.entries.first() {
                            return Err(CatalogError::invalid(format!(
                                "the target is not empty, it holds {}: name an empty one",
                                keys::kind::readable(key)
                            ))
                            .into());
                        }
                    }
                }
                transaction.set(&keys::copying::ser_key(), &keys::copying::ser_value(mark));
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Removes what an earlier copy left, all but the mark, some keys at a time.
    async fn clear(self) -> Result<(), CatalogError> {
        let mark = keys::copying::ser_key();
        let (before, after) =
            (KeyRange::new(&b""[..], mark.clone()), KeyRange::new([&mark[..], b"\0"].concat(), everything().end));
        for range in [&before, &after] {
            let mut more = true;
            while more {
                more = self
                    .settle(|transaction| {
                        async move {
                            self.require_mark(transaction).await?;
                            let options = RangeOptions { read: Read::Snapshot, ..RangeOptions::default() };
                            let page = transaction.range(range.clone(), options).await?;
                            if let Some((last, _)) = page.entries.last() {
                                transaction.clear_range(KeyRange::new(range.start.clone(), KeyRange::single(last).end));
                            }
                            Ok(page.more)
                        }
                        .boxed()
                    })
                    .await?;
            }
        }
        Ok(())
    }

    /// Writes entries that a page of a store held, which is well within a transaction.
    async fn write(self, entries: &[(Bytes, Bytes)]) -> Result<(), CatalogError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.settle(|transaction| {
            async move {
                self.require_mark(transaction).await?;
                entries.iter().for_each(|(key, value)| transaction.set(key, value));
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Makes it a catalog.
    async fn finish(self, era: u32) -> Result<(), CatalogError> {
        let format = FormatRecord { id: Some(self.mark.id.clone()), era, copy: Some(self.mark.nonce) };
        let format = &keys::format::ser_value(&format);
        self.settle(|transaction| {
            async move {
                let key = keys::format::ser_key();
                let found = transaction.get(&key, Read::Serializable).await?;
                // An attempt before this one landed. A server may have opened the catalog since.
                if found.is_some_and(|found| found[..] == format[..]) && read_mark(transaction).await?.is_none() {
                    return Ok(());
                }
                self.require_mark(transaction).await?;
                transaction.set(&key, format);
                transaction.clear(&keys::copying::ser_key());
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Conflicts with whoever takes the target after us.
    async fn require_mark(self, transaction: &mut dyn KvTransaction) -> Result<(), Failure> {
        match read_mark(transaction).await? {
            Some(found) if found == *self.mark => Ok(()),
            _ => Err(CatalogError::invalid("another copy to the same target has begun: this one ends").into()),
        }
    }

    async fn settle<'env, T>(
        self,
        body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> futures::future::BoxFuture<'t, Result<T, Failure>>
        + Send,
    ) -> Result<T, CatalogError> {
        settle(self.store, self.world, OPERATION, body).await.map(|(done, _)| done)
    }
}

async fn read_mark(transaction: &mut dyn KvTransaction) -> Result<Option<CopyingRecord>, Failure> {
    keys::get(transaction, &keys::copying::ser_key(), keys::copying::deser_value).await
}

/// Entries, in key order, as one number.
#[derive(Default)]
struct Sum {
    keys: u64,
    bytes: u64,
    hash: Sha256,
}

/// The number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Summed {
    keys: u64,
    bytes: u64,
    checksum: String,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.keys += 1;
        for text in [key, value] {
            self.bytes += text.len() as u64;
            // With its length, so that what stands at the end of a key is not taken for the beginning of its value.
            self.hash.update((text.len() as u64).to_be_bytes());
            self.hash.update(text);
        }
    }

    fn finish(self) -> Summed {
        Summed { keys: self.keys, bytes: self.bytes, checksum: hex::encode(self.hash.finalize()) }
    }
}
