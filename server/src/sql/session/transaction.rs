//! What a session has to know of transactions although there are none: each INSERT is committed by itself, and a ROLLBACK that
//! would take one back says that it did not, as MySQL says it of tables without transactions.

use super::super::diagnostics::Diagnostics;
use super::super::statement::Transaction;

/// MySQL's number for rows that a ROLLBACK leaves.
const NOT_ROLLED_BACK: u16 = 1196;

/// Where a session is.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Between BEGIN and its end.
    is_open: bool,
    /// Whether rows were inserted since it began.
    has_inserted: bool,
}

impl Transactions {
    /// Rows were inserted. By themselves, under autocommit and outside of a transaction, there is nothing to take back.
    pub(super) fn inserted(&mut self, autocommit: bool) {
        self.has_inserted |= self.is_open || !autocommit;
    }

    /// BEGIN and the like.
    pub(super) fn step(&mut self, step: Transaction, diagnostics: &mut Diagnostics) {
        if matches!(step, Transaction::Rollback | Transaction::RollbackTo) && self.has_inserted {
            let message =
                "Some non-transactional changed tables couldn't be rolled back: each INSERT is committed by itself";
            diagnostics.warn(NOT_ROLLED_BACK, message);
        }
        match step {
            // What was inserted before is behind it, as after a COMMIT.
            Transaction::Begin => *self = Self { is_open: true, has_inserted: false },
            Transaction::Commit | Transaction::Rollback => *self = Self::default(),
            Transaction::RollbackTo => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rollback_of_inserted_rows_warns() {
        let warnings = |autocommit: bool, steps: &[Option<Transaction>]| {
            let (mut transactions, mut diagnostics) = (Transactions::default(), Diagnostics::default());
            for step in steps {
                match step {
                    Some(step) => transactions.step(*step, &mut diagnostics),
                    None => transactions.inserted(autocommit),
                }
            }
            diagnostics.count()
        };
        use Transaction::{Begin, Commit, Rollback, RollbackTo};
        for (autocommit, steps, expected) in [
            (true, &[Some(Begin), None, Some(Rollback)][..], 1),
            (true, &[Some(Begin), None, Some(RollbackTo), Some(Rollback)], 2),
            (true, &[Some(Begin), None, Some(Commit), Some(Rollback)], 0),
            (true, &[None, Some(Rollback)], 0),
            (true, &[Some(Begin), Some(Rollback), None, Some(Rollback)], 0),
            (false, &[None, Some(Rollback), Some(Rollback)], 1),
            (false, &[None, Some(Begin), Some(Rollback)], 0),
        ] {
            assert_eq!(warnings(autocommit, steps), expected, "{steps:?}");
        }
    }
}
