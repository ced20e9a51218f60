//! The manager's lease: its epoch never falls, and one epoch has one holder (I2).

use std::collections::BTreeMap;

use catalog::{Epoch, Lease, NodeId};

use super::Violation;

/// The leases that were seen.
#[derive(Debug, Default)]
pub struct Leases {
    newest: Option<Epoch>,
    holders: BTreeMap<Epoch, NodeId>,
}

impl Leases {
    /// Looks at the lease as it is.
    ///
    /// # Errors
    /// If it went back, or two have led under one epoch.
    pub fn look(&mut self, lease: &Lease) -> Result<(), Violation> {
        if let Some(newest) = self.newest.filter(|newest| *newest > lease.epoch) {
            let text = format!("the lease of {} has epoch {}, after epoch {newest}", lease.holder, lease.epoch);
            return Err(Violation::new("I2", text));
        }
        self.newest = Some(lease.epoch);
        let holder = self.holders.entry(lease.epoch).or_insert_with(|| lease.holder.clone());
        if *holder != lease.holder {
            let text = format!("{holder} and {} have led under epoch {}", lease.holder, lease.epoch);
            return Err(Violation::new("I2", text));
        }
        Ok(())
    }
}
