//! Labels: what an INSERT left for its retry. Written by its commit; here they are looked up and, long after, forgotten.

use futures::FutureExt;
use vfs::planted;

use crate::keys::{self, label::LabelRecord};
use crate::store::{RangeOptions, Read};
use crate::{Catalog, CatalogError, LabelOutcome, TableId};

/// How many labels are forgotten in one transaction: well within its size and age.
const LABELS_IN_A_TRANSACTION: usize = 1_000;
/// The longest label, in bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 128;

/// What is wrong with a label, if anything is.
pub(crate) fn fault(label: &str) -> Option<String> {
    match label.len() {
        0 => Some("a label has at least one character".to_owned()),
        bytes if bytes > LABEL_BYTES_MAX => {
            Some(format!("the label has {bytes} bytes, and may have {LABEL_BYTES_MAX}: shorten it"))
        }
        _ => None,
    }
}

impl Catalog {
    /// How the INSERT into the table ended that left this label; `None` if none did.
    ///
    /// `Invalid` if no INSERT can leave it.
    pub(crate) async fn label_outcome(
        &self,
        table: TableId,
        label: &str,
    ) -> Result<Option<LabelOutcome>, CatalogError> {
        if let Some(fault) = fault(label) {
            return Err(CatalogError::invalid(fault));
        }
        let key = &keys::label::ser_key(table, label);
        self.once("looking up a label", |transaction| {
            async move {
                let found = keys::get(transaction, key, keys::label::deser_value).await?;
                let found = found.filter(|_| !planted::is("label-not-checked"));
                Ok(found.map(|(version, LabelRecord { rows, .. })| LabelOutcome { version, rows }))
            }
            .boxed()
        })
        .await
    }

    /// Forgets labels that were left before `wall`, some at a time; answers how many. None is forgotten before: until then a retry
    /// is known, whatever clocks say.
    ///
    /// Unknown outcome: run again; what is forgotten is gone.
    pub async fn forget_labels(&self, wall: i64) -> Result<usize, CatalogError> {
        self.settled("forgetting labels", |transaction| {
            async move {
                let options = RangeOptions { limit: LABELS_IN_A_TRANSACTION, ..RangeOptions::default() };
                let page = transaction.range(keys::label_age::until(wall), options).await?;
                for (key, _) in &page.entries {
                    let (left, table, label) = keys::label_age::deser_key(key)?;
                    let by_name = keys::label::ser_key(table, &label);
                    let found = transaction.get(&by_name, Read::Serializable).await?;
                    let found = found.map(|value| keys::label::deser_value(&by_name, &value)).transpose()?;
                    // A label that was forgotten before, and left anew, stays.
                    if found.is_some_and(|(_, record)| record.wall == left) {
                        transaction.clear(&by_name);
                    }
                    transaction.clear(key);
                }
                Ok(page.entries.len())
            }
            .boxed()
        })
        .await
    }
}
