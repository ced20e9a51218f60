//! The prepared statements of one session: by number, as the protocol has them, and by name, as PREPARE gives it. Each is kept
//! as its syntax tree, in which no name is resolved yet: so it outlives changes of the tables that it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::statement::Statement;
use crate::mysql::SqlError;

/// How many a session may have; `@@max_prepared_stmt_count` says so.
pub(crate) const COUNT_MAX: usize = 1_024;
/// Bytes of text that they may have together.
const BYTES_MAX: usize = 16 << 20;
/// MySQL's number for too many prepared statements.
const TOO_MANY: u16 = 1461;
/// MySQL's number for a statement that was never prepared.
const UNKNOWN_STATEMENT: u16 = 1243;

/// One of them.
#[derive(Debug)]
pub(crate) struct PreparedStatement {
    /// As it was typed.
    pub(crate) text: String,
    /// With its parameters in it.
    pub(crate) statement: Statement,
    /// How many.
    pub(crate) parameters: u16,
}

/// All of a session's.
#[derive(Debug, Default)]
pub(crate) struct PreparedStatements {
    by_id: BTreeMap<u32, Arc<PreparedStatement>>,
    by_name: BTreeMap<String, Arc<PreparedStatement>>,
    last_id: u32,
    bytes: usize,
}

impl PreparedStatements {
    /// Keeps a statement under a number of its own.
    pub(crate) fn add(&mut self, statement: PreparedStatement) -> Result<u32, SqlError> {
        self.make_room(&statement)?;
        // After four thousand million statements the numbers begin again, past those that are still in use.
        loop {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            if !self.by_id.contains_key(&self.last_id) {
                break;
            }
        }
        self.by_id.insert(self.last_id, Arc::new(statement));
        Ok(self.last_id)
    }

    /// Keeps a statement under a name, in the place of the one before.
    pub(crate) fn name(&mut self, name: &str, statement: PreparedStatement) -> Result<(), SqlError> {
        // As in MySQL, the one before is gone even if this one is refused.
        self.forget(name);
        self.make_room(&statement)?;
        self.by_name.insert(name.to_ascii_lowercase(), Arc::new(statement));
        Ok(())
    }

    pub(crate) fn get(&self, id: u32) -> Result<Arc<PreparedStatement>, SqlError> {
        self.by_id.get(&id).cloned().ok_or_else(|| unknown(&id.to_string(), "mysqld_stmt_execute"))
    }

    pub(crate) fn named(&self, name: &str) -> Result<Arc<PreparedStatement>, SqlError> {
        self.by_name.get(&name.to_ascii_lowercase()).cloned().ok_or_else(|| unknown(name, "EXECUTE"))
    }

    pub(crate) fn close(&mut self, id: u32) {
        let closed = self.by_id.remove(&id);
        self.bytes -= closed.map_or(0, |statement| statement.text.len());
    }

    /// DEALLOCATE.
    pub(crate) fn deallocate(&mut self, name: &str) -> Result<(), SqlError> {
        if self.forget(name) { Ok(()) } else { Err(unknown(name, "DEALLOCATE PREPARE")) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len() + self.by_name.len()
    }

    fn forget(&mut self, name: &str) -> bool {
        let Some(statement) = self.by_name.remove(&name.to_ascii_lowercase()) else { return false };
        self.bytes -= statement.text.len();
        true
    }

    fn make_room(&mut self, statement: &PreparedStatement) -> Result<(), SqlError> {
        let bytes = self.bytes + statement.text.len();
        let limit = if self.len() >= COUNT_MAX {
            format!("{COUNT_MAX} statements")
        } else if bytes > BYTES_MAX {
            format!("{BYTES_MAX} bytes of them")
        } else {
            self.bytes = bytes;
            return Ok(());
        };
        let message = format!(
            "Can't create more than max_prepared_stmt_count statements: a session may have {limit}; close those that are not \
             used any more"
        );
        Err(SqlError::new(TOO_MANY, message))
    }
}

fn unknown(which: &str, given_to: &str) -> SqlError {
    let message =
        format!("Unknown prepared statement handler ({which}) given to {given_to}; prepare it in this session");
    SqlError::new(UNKNOWN_STATEMENT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(bytes: usize) -> PreparedStatement {
        PreparedStatement { text: "x".repeat(bytes), statement: Statement::Nothing, parameters: 0 }
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_a_closed_one_makes_room() {
        let mut prepared = PreparedStatements::default();
        let ids: Vec<u32> = (0..COUNT_MAX).map(|_| prepared.add(statement(1)).unwrap()).collect();
        assert_eq!(prepared.add(statement(1)).unwrap_err().code, TOO_MANY);
        assert_eq!(prepared.name("s", statement(1)).unwrap_err().code, TOO_MANY);
        prepared.close(ids[7]);
        prepared.close(ids[7]);
        prepared.name("s", statement(1)).unwrap();
        prepared.name("S", statement(1)).unwrap();
        assert_eq!((prepared.len(), prepared.bytes), (COUNT_MAX, COUNT_MAX));
        assert!(prepared.get(ids[7]).is_err() && prepared.get(ids[8]).is_ok() && prepared.named("s").is_ok());
    }

    #[test]
    fn their_texts_are_bounded_together() {
        let mut prepared = PreparedStatements::default();
        let id = prepared.add(statement(BYTES_MAX - 1)).unwrap();
        assert_eq!(prepared.add(statement(2)).unwrap_err().code, TOO_MANY);
        prepared.close(id);
        prepared.name("big", statement(BYTES_MAX)).unwrap();
        prepared.deallocate("BIG").unwrap();
        assert_eq!(prepared.deallocate("big").unwrap_err().code, UNKNOWN_STATEMENT);
        assert_eq!(prepared.bytes, 0);
    }
}
