//! "This commit must never happen": the other way to settle an unknown outcome (I6).

use futures::FutureExt;

use crate::keys;
use crate::store::Read;
use crate::{Catalog, CatalogError, CommitToken, VoidOutcome, WriterId};

impl Catalog {
    /// Writes the void, unless the commit is there. The commit reads the void and the void reads the commit's slot, so that
    /// of the two exactly one happens, in whichever order they arrive.
    ///
    /// Unknown outcome: run again. A void that is there already, mine or of an earlier attempt, says the same; and an
    /// attempt that is still on its way has read the slot, so that it cannot land after the commit has.
    pub(crate) async fn void_settled(&self, writer: WriterId, token: CommitToken) -> Result<VoidOutcome, CatalogError> {
        let slot = &keys::token::ser_key(writer);
        let void = &keys::void::ser_key(writer, token);
        let outcome = self
            .settled("voiding a commit", |transaction| {
                async move {
                    match keys::get(transaction, slot, keys::token::deser_value).await? {
                        Some((version, last)) if last == token => return Ok(VoidOutcome::Committed(version)),
                        _ => {}
                    }
                    if transaction.get(void, Read::Serializable).await?.is_none() {
                        transaction.set(void, &keys::void::ser_value());
                    }
                    Ok(VoidOutcome::Voided)
                }
                .boxed()
            })
            .await?;
        tracing::info!(%writer, %token, ?outcome, "voided a commit of unknown outcome");
        Ok(outcome)
    }
}
