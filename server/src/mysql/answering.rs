//! The answer to one command: apart from the connection's reader, which meanwhile watches whether the client is still there.

use tokio::net::tcp::OwnedWriteHalf;

use super::capabilities::{Capabilities, STATUS_LAST_ROW_SENT};
use super::codec::{CodecError, PacketWriter};
use super::column::ColumnDefinition;
use super::commands::{Command, Several};
use super::error::SqlError;
use super::handler::{Answer, Prepared, SqlSession};
use super::reply::{Done, OK, Place, encode_cursor_end, encode_end, encode_error};
use super::resultset::{Shape, Values, put_columns, put_end_of_columns, put_field_list, send_rows};
use super::statements::{Execution, Statements, unknown};

/// What follows a command.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Listen,
    Close,
}

/// What an answer needs and changes.
pub(super) struct Answering<'a> {
    pub(super) session: &'a mut dyn SqlSession,
    pub(super) writer: &'a mut PacketWriter<OwnedWriteHalf>,
    pub(super) statements: &'a mut Statements,
    pub(super) capabilities: &'a mut Capabilities,
    /// Bytes of long data that a client may send before it executes a statement.
    pub(super) long_data_max: usize,
}

impl Answering<'_> {
    pub(super) async fn run(mut self, packet: &[u8]) -> Result<Next, CodecError> {
        match Command::parse(packet) {
            Command::Quit => return Ok(Next::Close),
            Command::Ignored => return Ok(Next::Listen),
            Command::Query(sql) => self.query(sql).await?,
            Command::InitDatabase(name) => {
                let outcome = self.session.use_database(name).await;
                self.put_outcome(outcome);
            }
            Command::FieldList { table } => self.field_list(table).await,
            Command::Statistics => {
                let line = self.session.statistics();
                self.writer.packet(|out| out.extend_from_slice(line.as_bytes()));
            }
            Command::Ping => self.put_outcome(Ok(())),
            Command::Reset => {
                self.session.reset().await;
                self.statements.clear();
                self.put_outcome(Ok(()));
            }
            Command::MultiStatements(several) => {
                *self.capabilities = match several {
                    Several::Allowed => self.capabilities.with(Capabilities::MULTI_STATEMENTS),
                    Several::Refused => self.capabilities.without(Capabilities::MULTI_STATEMENTS),
                };
                self.writer.packet(|out| encode_end(*self.capabilities, Place::Last, out));
            }
            Command::Kill(connection) => {
                let outcome = self.session.execute(&format!("KILL {connection}")).await;
                self.put_outcome(outcome.map(|_| ()));
            }
            Command::Prepare(sql) => self.prepare(sql).await,
            Command::Execute(packet) => self.execute(packet).await?,
            Command::SendLongData { statement, parameter, data } => {
                self.statements.add_long(statement, parameter, data, self.long_data_max);
                return Ok(Next::Listen);
            }
            Command::Close(id) => {
                self.statements.remove(id);
                self.session.close_prepared(id);
                return Ok(Next::Listen);
            }
            Command::ResetStatement(id) => {
                let known = self.statements.reset(id);
                self.put_outcome(if known { Ok(()) } else { Err(unknown(id, "mysqld_stmt_reset")) });
            }
            Command::Fetch(id) => match self.statements.close_cursor(id) {
                Ok(()) => {
                    let capabilities = *self.capabilities;
                    self.writer.packet(|out| encode_cursor_end(STATUS_LAST_ROW_SENT, capabilities, out));
                }
                Err(error) => self.put_outcome(Err(error)),
            },
            Command::ChangeUser(_) => unreachable!("it is an exchange of its own, not an answer"),
            Command::Refused(error) => self.put_outcome(Err(error)),
        }
        self.writer.flush().await?;
        Ok(Next::Listen)
    }

    fn shape(&self, values: Values, place: Place) -> Shape {
        Shape { capabilities: *self.capabilities, values, place, cursor: false }
    }

    /// Each statement of the text has its answer; the first that fails ends them.
    async fn query(&mut self, sql: &str) -> Result<(), CodecError> {
        let may_be_several = self.capabilities.contains(Capabilities::MULTI_STATEMENTS)
            && sql.trim_end_matches(|letter: char| letter == ';' || letter.is_whitespace()).contains(';');
        let whole = 0..sql.len();
        let statements = if may_be_several { self.session.statements(sql) } else { vec![whole] };
        let last = statements.len().saturating_sub(1);
        for (at, range) in statements.into_iter().enumerate() {
            let place = if at < last { Place::Followed } else { Place::Last };
            let answer = self.session.execute(&sql[range]).await;
            if self.put_answer(answer, self.shape(Values::Text, place)).await?.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn put_answer(
        &mut self,
        answer: Result<Answer, SqlError>,
        shape: Shape,
    ) -> Result<Result<(), SqlError>, CodecError> {
        match answer {
            Ok(Answer::Rows { schema, stream }) => send_rows(self.writer, shape, schema, stream).await,
            Ok(Answer::Done { affected_rows, warnings, info }) => {
                self.writer.packet(|out| Done { affected_rows, warnings, info }.encode(shape.place, out));
                Ok(Ok(()))
            }
            Err(error) => {
                self.writer.packet(|out| encode_error(&error, out));
                Ok(Err(error))
            }
        }
    }

    async fn prepare(&mut self, sql: &str) {
        let shape = self.shape(Values::Binary, Place::Last);
        match self.session.prepare(sql).await {
            Ok(prepared) => {
                self.statements.add(&prepared);
                put_prepared(self.writer, shape, &prepared);
            }
            Err(error) => self.put_outcome(Err(error)),
        }
    }

    async fn execute(&mut self, packet: &[u8]) -> Result<(), CodecError> {
        let (answer, cursor) = match self.statements.execution(packet) {
            Ok(Execution { id, parameters, cursor }) => (self.session.execute_prepared(id, parameters).await, cursor),
            Err(error) => (Err(error), false),
        };
        let shape = Shape { cursor, ..self.shape(Values::Binary, Place::Last) };
        let outcome = self.put_answer(answer, shape).await;
        self.statements.give_back();
        outcome.map(drop)
    }

    /// The columns of a table are those of a query on it that yields no rows.
    async fn field_list(&mut self, table: &str) {
        let sql = format!("SELECT * FROM `{}` LIMIT 0", table.replace('`', "``"));
        match self.session.execute(&sql).await {
            Ok(Answer::Rows { schema, .. }) => put_field_list(self.writer, *self.capabilities, &schema),
            Ok(Answer::Done { .. }) => self.writer.packet(|out| encode_end(*self.capabilities, Place::Last, out)),
            Err(error) => self.put_outcome(Err(error)),
        }
    }

    fn put_outcome(&mut self, outcome: Result<(), SqlError>) {
        self.writer.packet(|out| match &outcome {
            Ok(()) => Done::default().encode(Place::Last, out),
            Err(error) => encode_error(error, out),
        });
    }
}

/// The statement's number and the numbers of its parameters and columns; then the definitions of both.
fn put_prepared(writer: &mut PacketWriter<OwnedWriteHalf>, shape: Shape, prepared: &Prepared) {
    use bytes::BufMut;
    let columns = prepared.columns.as_ref().filter(|schema| !schema.fields().is_empty());
    writer.packet(|out| {
        out.put_u8(OK);
        out.put_u32_le(prepared.id);
        out.put_u16_le(columns.map_or(0, |schema| u16::try_from(schema.fields().len()).unwrap_or(u16::MAX)));
        out.put_u16_le(prepared.parameters);
        out.put_u8(0);
        out.put_u16_le(0);
    });
    if prepared.parameters > 0 {
        for _ in 0..prepared.parameters {
            writer.packet(|out| ColumnDefinition::of_parameter().encode(out));
        }
        put_end_of_columns(writer, shape);
    }
    if let Some(schema) = columns {
        put_columns(writer, shape, schema);
    }
}
