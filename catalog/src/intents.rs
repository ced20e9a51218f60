//! Upload intents, and the sweeper's side of them (PROTOCOL, "Sweeper"): the intent goes first, by compare-and-set, and the
//! object afterwards. Age decides only when the sweeper tries. *(Else a stalled task commits a deleted file.)* I7.

use futures::FutureExt;
use vfs::planted;

use crate::keys::{self, garbage::GarbageRecord};
use crate::store::{Read, scan};
use crate::{Catalog, CatalogError, PartId, UploadIntent};

/// How many intents go into one transaction: well within its size and age.
const INTENTS_IN_A_TRANSACTION: usize = 1_000;

impl Catalog {
    /// Announces objects before they are uploaded; returns once all intents are there.
    ///
    /// Unknown outcome: looked into, never run again. An intent that is not there may not have landed yet; or it has, and the
    /// sweeper has taken it: written once more, it would let a commit show an object that is garbage (I7). So `MaybeCommitted` means
    /// that the uploads need other part ids; what lands late is the sweeper's.
    pub(crate) async fn stage_settled(&self, intents: &[UploadIntent]) -> Result<(), CatalogError> {
        for intents in intents.chunks(INTENTS_IN_A_TRANSACTION) {
            match self.stage_once(intents).await {
                Err(unknown @ CatalogError::MaybeCommitted { .. }) => {
                    if !self.are_staged(intents).await? {
                        return Err(unknown);
                    }
                }
                done => done?,
            }
        }
        Ok(())
    }

    async fn stage_once(&self, intents: &[UploadIntent]) -> Result<(), CatalogError> {
        self.once("staging uploads", |transaction| {
            async move {
                for intent in intents {
                    let key = keys::intent::ser_key(intent.part);
                    if transaction.get(&key, Read::Serializable).await?.is_none() {
                        transaction.set(&key, &keys::intent::ser_value(intent));
                    }
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn are_staged(&self, intents: &[UploadIntent]) -> Result<bool, CatalogError> {
        self.once("looking for staged uploads", |transaction| {
            async move {
                for intent in intents {
                    let key = keys::intent::ser_key(intent.part);
                    if transaction.get(&key, Read::Serializable).await?.is_none() {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    /// Writes the intents of these parts anew, as of now. A sweeper that judged them by their age before finds them changed.
    ///
    /// Unknown outcome: run again; only intents that are there are written.
    pub(crate) async fn renew_intents(&self, parts: &[PartId]) -> Result<(), CatalogError> {
        let created = self.wall();
        for parts in parts.chunks(INTENTS_IN_A_TRANSACTION) {
            self.settled("renewing upload intents", |transaction| {
                async move {
                    for part in parts {
                        let key = keys::intent::ser_key(*part);
                        if let Some(intent) = keys::get(transaction, &key, keys::intent::deser_value).await? {
                            transaction.set(&key, &keys::intent::ser_value(&UploadIntent { created, ..intent }));
                        }
                    }
                    Ok(())
                }
                .boxed()
            })
            .await?;
        }
        Ok(())
    }

    /// All intents, for the sweeper to judge by age.
    pub async fn intents(&self) -> Result<Vec<UploadIntent>, CatalogError> {
        self.once("listing upload intents", |transaction| {
            async move {
                let entries = scan(transaction, keys::intent::all(), Read::Snapshot).await?;
                let intent = |(key, value): &(bytes::Bytes, bytes::Bytes)| keys::intent::deser_value(key, value);
                Ok(entries.iter().map(intent).collect::<Result<Vec<_>, _>>()?)
            }
            .boxed()
        })
        .await
    }

    /// Takes an intent away, so that its part can no longer be committed. With `true` the object is garbage: it may be
    /// deleted now, and then forgotten by [`Catalog::forget_garbage`]; if this process dies first, [`Catalog::garbage`]
    /// names it again. With `false` the object is none of the sweeper's business: the part was committed.
    ///
    /// Unknown outcome: run again; the garbage record, written in the same transaction, tells who took the intent.
    pub async fn claim_intent(&self, intent: &UploadIntent) -> Result<bool, CatalogError> {
        // A part that is visible stays, whatever brought its intent back (I7). As of here: a commit that comes after takes
        // the intent away itself, and the transaction below finds it gone.
        let visible = self.is_visible(intent).await?
            && !planted::is("sweeper-ignores-what-is-visible")
            && !planted::is("sweeper-without-compare");
        let since = self.wall();
        let key = &keys::intent::ser_key(intent.part);
        let garbage = &keys::garbage::ser_key(&intent.path);
        self.settled("claiming an upload intent", |transaction| {
            async move {
                let found = keys::get(transaction, key, keys::intent::deser_value).await?;
                if found.as_ref() != Some(intent) && !planted::is("sweeper-without-compare") {
                    return Ok(!visible && transaction.get(garbage, Read::Serializable).await?.is_some());
                }
                transaction.clear(key);
                if !visible {
                    transaction.set(garbage, &keys::garbage::ser_value(&GarbageRecord { since }));
                }
                Ok(!visible)
            }
            .boxed()
        })
        .await
    }

    async fn is_visible(&self, intent: &UploadIntent) -> Result<bool, CatalogError> {
        match self.snapshot_at_head(intent.table).await {
            Ok(snapshot) => Ok(snapshot.parts.iter().any(|part| part.id == intent.part)),
            Err(CatalogError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
