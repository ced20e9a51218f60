//! What the wire knows of one connection's prepared statements: how many parameters each has, the types that were bound last,
//! and values that came in pieces. What a statement says is the session's.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use warehouse::memory::{MemoryBudget, QueryCharge};

use super::codec::CHARGED_TIMES;
use super::error::SqlError;
use super::fields::Fields;
use super::handler::Prepared;
use super::parameters::{self, Parameter, ParameterType, wrong};

/// MySQL's number for a statement that was never prepared.
const UNKNOWN_STATEMENT: u16 = 1243;
/// MySQL's number for a fetch where there is nothing to be fetched.
const NO_CURSOR: u16 = 1421;
/// The flag of an execution that asks for a cursor.
const CURSOR_READ_ONLY: u8 = 1;
/// MySQL's number for a value that is too long.
const TOO_LONG: u16 = 1153;

/// The prepared statements of one connection.
#[derive(Debug)]
pub(super) struct Statements {
    known: BTreeMap<u32, Statement>,
    /// Bytes of long data, of all statements.
    long_bytes: usize,
    /// For the long data, until the statement that it was sent for has ended.
    charge: QueryCharge,
}

#[derive(Debug, Default)]
struct Statement {
    parameters: u16,
    types: Vec<ParameterType>,
    long: BTreeMap<u16, BytesMut>,
    /// A cursor was asked for. It has no rows: if there were any, they came with the execution.
    cursor: bool,
    /// What was wrong with a piece of long data: told at the next execution, because a piece has no answer.
    fault: Option<SqlError>,
}

/// What is to be executed.
#[derive(Debug, PartialEq)]
pub(super) struct Execution {
    /// Which statement.
    pub(super) id: u32,
    /// With what.
    pub(super) parameters: Vec<Parameter>,
    /// Whether a cursor is asked for.
    pub(super) cursor: bool,
}

impl Statements {
    /// None yet; their long data is charged to `memory`.
    pub(super) fn charged_to(memory: &Arc<MemoryBudget>) -> Self {
        Self { known: BTreeMap::new(), long_bytes: 0, charge: memory.hold(0) }
    }

    pub(super) fn add(&mut self, prepared: &Prepared) {
        self.known.insert(prepared.id, Statement { parameters: prepared.parameters, ..Statement::default() });
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.reset(id);
        self.known.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.long_bytes = 0;
        self.give_back();
    }

    /// Keeps one more piece of a parameter. All pieces together have at most `limit` bytes.
    pub(super) fn add_long(&mut self, id: u32, parameter: u16, data: &[u8], limit: usize) {
        let total = self.long_bytes.saturating_add(data.len());
        let Some(statement) = self.known.get_mut(&id) else { return };
        if parameter >= statement.parameters {
            let cause = format!("it has {} parameters, and data came for number {parameter}", statement.parameters);
            statement.fault = Some(wrong(&cause));
        } else if total > limit {
            let message = format!(
                "Parameter {parameter} of a prepared statement is too long: the long data of a connection may have {limit} \
                 bytes together (max_allowed_packet)"
            );
            statement.fault = Some(SqlError::new(TOO_LONG, message));
        } else if !self.charge.try_resize(total as u64 * CHARGED_TIMES) {
            let message = format!(
                "Parameter {parameter} of a prepared statement takes more memory than ingest and other statements leave of memory.limit; \
                 try again when less runs"
            );
            statement.fault = Some(SqlError::out_of_memory(message));
        } else {
            statement.long.entry(parameter).or_default().extend_from_slice(data);
            self.long_bytes = total;
        }
    }

    /// Forgets the long data and the cursor of a statement; `false` where there is no such statement.
    pub(super) fn reset(&mut self, id: u32) -> bool {
        let known = self.forget_long(id);
        if let Some(statement) = self.known.get_mut(&id) {
            statement.cursor = false;
        }
        self.give_back();
        known
    }

    fn forget_long(&mut self, id: u32) -> bool {
        let Some(statement) = self.known.get_mut(&id) else { return false };
        let forgotten: usize = statement.long.values().map(BytesMut::len).sum();
        statement.long.clear();
        statement.fault = None;
        self.long_bytes -= forgotten;
        true
    }

    /// Long data that is used up is charged until here: a statement has its values until it ends.
    pub(super) fn give_back(&mut self) {
        self.charge.shrink_to(self.long_bytes as u64 * CHARGED_TIMES);
    }

    /// What a packet of COM_STMT_EXECUTE says. Its long data is used up, whatever comes of it; once the
    /// statement has ended, [`Statements::give_back`].
    pub(super) fn execution(&mut self, packet: &[u8]) -> Result<Execution, SqlError> {
        let mut fields = Fields::new(packet);
        let short = |_| wrong("its packet ends before its first value");
        let id = fields.u32().map_err(short)?;
        // The rows come at once all the same, as the protocol allows: a cursor would hold memory and pins for as long as its client
        // likes.
        let cursor = fields.u8().map_err(short)? & CURSOR_READ_ONLY != 0;
        fields.u32().map_err(short)?;
        let Some(statement) = self.known.get_mut(&id) else { return Err(unknown(id, "mysqld_stmt_execute")) };
        statement.cursor = cursor;
        let outcome = match statement.fault.take() {
            Some(fault) => Err(fault),
            None => {
                let long = std::mem::take(&mut statement.long);
                self.long_bytes -= long.values().map(BytesMut::len).sum::<usize>();
                let long: BTreeMap<u16, Bytes> = long.into_iter().map(|(at, bytes)| (at, bytes.freeze())).collect();
                let long = |at| long.get(&at).cloned();
                parameters::read(&mut fields, statement.parameters, &mut statement.types, long)
            }
        };
        self.forget_long(id);
        Ok(Execution { id, parameters: outcome?, cursor })
    }

    /// A client asks for rows of a cursor: there are none, and the cursor is closed.
    pub(super) fn close_cursor(&mut self, id: u32) -> Result<(), SqlError> {
        let Some(statement) = self.known.get_mut(&id) else { return Err(unknown(id, "mysqld_stmt_fetch")) };
        match std::mem::take(&mut statement.cursor) {
            true => Ok(()),
            false => {
                let message = format!("The statement ({id}) has no open cursor; its rows came with its execution");
                Err(SqlError::new(NO_CURSOR, message))
            }
        }
    }
}

/// 1243: a statement that was never prepared, or was closed.
pub(super) fn unknown(id: u32, given_to: &str) -> SqlError {
    let message =
        format!("Unknown prepared statement handler ({id}) given to {given_to}; prepare it on this connection");
    SqlError::new(UNKNOWN_STATEMENT, message)
}

#[cfg(test)]
mod tests {
    use warehouse::memory::MemoryLimits;

    use super::*;

    #[test]
    fn i8_long_data_is_charged_until_its_statement_has_ended_or_it_is_forgotten_and_refused_where_no_memory_is_left() {
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(1_000 * CHARGED_TIMES));
        let mut statements = Statements::charged_to(&memory);
        statements.add(&Prepared { id: 1, parameters: 1, columns: None });
        statements.add_long(1, 0, &[7; 600], 10_000);
        assert_eq!(memory.query_used(), 600 * CHARGED_TIMES);
        assert!(statements.execution(&all_long(1)).is_ok());
        assert_eq!(memory.query_used(), 600 * CHARGED_TIMES, "the statement has it");
        statements.give_back();
        assert_eq!(memory.query_used(), 0);
        for _ in 0..2 {
            statements.add_long(1, 0, &[7; 600], 10_000);
        }
        let refused = statements.execution(&all_long(1)).unwrap_err();
        assert!(refused.code == 1038 && refused.message.contains("memory.limit"), "{refused:?}");
        statements.give_back();
        assert_eq!(memory.query_used(), 0);
        let forget: [fn(&mut Statements); 3] = [|all| assert!(all.reset(1)), Statements::clear, |all| all.remove(1)];
        for forget in forget {
            statements.add(&Prepared { id: 1, parameters: 1, columns: None });
            statements.add_long(1, 0, &[7; 900], 10_000);
            assert_eq!(memory.query_used(), 900 * CHARGED_TIMES);
            forget(&mut statements);
            assert_eq!(memory.query_used(), 0);
        }
    }

    fn statements(parameters: u16) -> Statements {
        let mut statements = Statements::charged_to(&MemoryBudget::shared(MemoryLimits::of_queries(1 << 20)));
        statements.add(&Prepared { id: 1, parameters, columns: None });
        statements
    }

    /// The packet of an execution whose values are all long data, typed as text.
    fn all_long(count: usize) -> Vec<u8> {
        let types = [253, 0].repeat(count);
        [&[1, 0, 0, 0, 0, 1, 0, 0, 0][..], &vec![0; count.div_ceil(8)], &[1], &types].concat()
    }

    #[test]
    fn pieces_are_put_together_and_used_once() {
        let mut statements = statements(1);
        statements.add_long(1, 0, b"ab", 10);
        statements.add_long(1, 0, b"cd", 10);
        let packet = all_long(1);
        assert_eq!(statements.execution(&packet).unwrap().parameters, [Parameter::Text("abcd".into())]);
        assert_eq!(statements.long_bytes, 0);
        assert_eq!(statements.execution(&packet).unwrap_err().code, 1210, "the value is not there a second time");
    }

    #[test]
    fn too_much_long_data_fails_the_execution_and_the_one_after_it_is_free_of_it() {
        let mut statements = statements(2);
        statements.add_long(1, 0, b"123456", 8);
        statements.add_long(1, 1, b"789", 8);
        assert_eq!(statements.execution(&all_long(2)).unwrap_err().code, TOO_LONG);
        assert_eq!(statements.long_bytes, 0);
        for parameter in [0, 1] {
            statements.add_long(1, parameter, b"x", 8);
        }
        assert!(statements.execution(&all_long(2)).is_ok());
        statements.add_long(1, 2, b"x", 8);
        assert_eq!(statements.execution(&all_long(2)).unwrap_err().code, 1210);
        statements.add_long(9, 0, b"nobody's", 8);
        assert_eq!(statements.long_bytes, 0);
    }

    #[test]
    fn a_reset_and_a_close_let_go_of_long_data() {
        let mut statements = statements(1);
        statements.add_long(1, 0, b"x", 8);
        assert!(statements.reset(1) && statements.long_bytes == 0);
        statements.add_long(1, 0, b"x", 8);
        statements.remove(1);
        assert_eq!(statements.long_bytes, 0);
        assert!(!statements.reset(1));
        assert_eq!(statements.execution(&all_long(1)).unwrap_err().code, UNKNOWN_STATEMENT);
        assert_eq!(statements.close_cursor(1).unwrap_err().code, UNKNOWN_STATEMENT);
    }
}
