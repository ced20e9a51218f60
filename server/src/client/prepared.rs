//! Prepared statements as a client sees them: parameters on their way in, and rows in the protocol's binary form, each value as
//! the text that it would have had.

use bytes::{BufMut, Bytes, BytesMut};

use super::connection::{Connection, Row};
use super::error::ClientError;
use crate::mysql::capabilities::Capabilities;
use crate::mysql::codec::CodecError;
use crate::mysql::column::{ColumnDefinition, type_code};
use crate::mysql::fields::{Fields, put_string};
use crate::mysql::reply::{OK, is_end};

const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;
/// The bits of a binary row's NULL bitmap before the first column's.
const BITMAP_OFFSET: usize = 2;
/// The bit beside a parameter's type that says that it has no sign.
const UNSIGNED: u8 = 0x80;

/// A statement that the server has prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    id: u32,
    /// How many parameters it has.
    pub parameters: u16,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// One that has no sign.
    Unsigned(u64),
    /// A number in floating point.
    Double(f64),
    /// A decimal number, by its digits.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Bytes that go ahead of the execution, in these pieces.
    Long(Vec<Vec<u8>>),
    /// A day.
    Date(Day),
    /// A moment of a day.
    DateTime(Day, Clock),
    /// A span of time.
    Time {
        /// Whether it goes back.
        negative: bool,
        /// Its length; its hours may be more than a day has.
        clock: Clock,
    },
}

/// A day of the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// The year.
    pub year: u16,
    /// The month, from 1 on.
    pub month: u8,
    /// The day of the month, from 1 on.
    pub day: u8,
}

impl Parameter {
    fn type_code(&self) -> [u8; 2] {
        match self {
            Self::Null => [type_code::NULL, 0],
            Self::Int(_) => [type_code::LONGLONG, 0],
            Self::Unsigned(_) => [type_code::LONGLONG, UNSIGNED],
            Self::Double(_) => [type_code::DOUBLE, 0],
            Self::Decimal(_) => [type_code::NEWDECIMAL, 0],
            Self::Text(_) => [type_code::VAR_STRING, 0],
            Self::Bytes(_) | Self::Long(_) => [type_code::BLOB, 0],
            Self::Date(_) => [type_code::DATE, 0],
            Self::DateTime(..) => [type_code::DATETIME, 0],
            Self::Time { .. } => [type_code::TIME, 0],
        }
    }

    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Null | Self::Long(_) => {}
            Self::Int(value) => out.put_i64_le(*value),
            Self::Unsigned(value) => out.put_u64_le(*value),
            Self::Double(value) => out.put_f64_le(*value),
            Self::Decimal(text) | Self::Text(text) => put_string(out, text.as_bytes()),
            Self::Bytes(bytes) => put_string(out, bytes),
            Self::Date(day) => {
                out.put_u8(4);
                day.put(out);
            }
            Self::DateTime(day, clock) => {
                out.put_u8(11);
                day.put(out);
                // A moment's hours are fewer than 24.
                clock.put(u8::try_from(clock.hours).unwrap_or(u8::MAX), out);
            }
            Self::Time { negative, clock } => {
                out.put_u8(12);
                out.put_u8(u8::from(*negative));
                out.put_u32_le(clock.hours / 24);
                clock.put((clock.hours % 24) as u8, out);
            }
        }
    }
}

impl Day {
    fn put(self, out: &mut BytesMut) {
        out.put_u16_le(self.year);
        out.put_slice(&[self.month, self.day]);
    }
}

/// All rows of an execution.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The columns; none where the statement yields no rows.
    pub columns: Vec<ColumnDefinition>,
    /// The rows, each value as text, or nothing for NULL.
    pub rows: Vec<Row>,
}

impl Connection {
    /// Prepares a statement.
    ///
    /// # Errors
    /// If the server refuses it, or the connection is lost.
    pub async fn prepare(&mut self, sql: &str) -> Result<Prepared, ClientError> {
        let first = self.command(COM_STMT_PREPARE, sql.as_bytes()).await?;
        let mut fields = Fields::new(&first);
        fields.u8()?;
        let (id, columns, parameters) = (fields.u32()?, fields.u16()?, fields.u16()?);
        for count in [parameters, columns] {
            self.pass_definitions(count.into()).await?;
        }
        Ok(Prepared { id, parameters })
    }

    /// Executes a prepared statement.
    ///
    /// # Errors
    /// If the server answers with an error, or the connection is lost.
    pub async fn execute(&mut self, prepared: Prepared, values: &[Parameter]) -> Result<Answer, ClientError> {
        for (at, value) in values.iter().enumerate() {
            if let Parameter::Long(pieces) = value {
                self.send_long(prepared, at as u16, pieces).await?;
            }
        }
        let mut body = BytesMut::new();
        body.put_u32_le(prepared.id);
        body.put_u8(0);
        body.put_u32_le(1);
        if !values.is_empty() {
            let mut nulls = vec![0_u8; values.len().div_ceil(8)];
            let is_null = values.iter().enumerate().filter(|(_, value)| **value == Parameter::Null);
            is_null.for_each(|(at, _)| nulls[at / 8] |= 1 << (at % 8));
            body.put_slice(&nulls);
            body.put_u8(1);
            values.iter().for_each(|value| body.put_slice(&value.type_code()));
            values.iter().for_each(|value| value.put(&mut body));
        }
        let first = self.command(COM_STMT_EXECUTE, &body).await?;
        if first.first() == Some(&OK) {
            return Ok(Answer { columns: Vec::new(), rows: Vec::new() });
        }
        let count = Fields::new(&first).integer()?;
        let columns = self.pass_definitions(count).await?;
        let mut rows = Vec::new();
        loop {
            let packet = self.packet().await?;
            if is_end(&packet) {
                return Ok(Answer { columns, rows });
            }
            rows.push(row(&columns, &packet)?);
        }
    }

    /// A piece has no answer.
    async fn send_long(&mut self, prepared: Prepared, at: u16, pieces: &[Vec<u8>]) -> Result<(), ClientError> {
        for piece in pieces {
            let mut body = BytesMut::new();
            body.put_u32_le(prepared.id);
            body.put_u16_le(at);
            body.put_slice(piece);
            self.send_command(COM_STMT_SEND_LONG_DATA, &body).await?;
        }
        Ok(())
    }

    async fn pass_definitions(&mut self, count: u64) -> Result<Vec<ColumnDefinition>, ClientError> {
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(ColumnDefinition::parse(&self.packet().await?)?);
        }
        if count > 0 && !self.capabilities().contains(Capabilities::DEPRECATE_EOF) {
            self.packet().await?;
        }
        Ok(columns)
    }
}

fn row(columns: &[ColumnDefinition], packet: &[u8]) -> Result<Row, CodecError> {
    let mut fields = Fields::new(packet);
    fields.u8()?;
    let nulls = fields.bytes((columns.len() + BITMAP_OFFSET).div_ceil(8))?;
    let is_null = |at: usize| nulls[(at + BITMAP_OFFSET) / 8] & (1 << ((at + BITMAP_OFFSET) % 8)) != 0;
    let value = |(at, column): (usize, &ColumnDefinition)| match is_null(at) {
        true => Ok(None),
        false => text(column, &mut fields).map(Some),
    };
    columns.iter().enumerate().map(value).collect()
}

/// The next value as the text of it.
fn text(column: &ColumnDefinition, fields: &mut Fields<'_>) -> Result<Bytes, CodecError> {
    use type_code as code;
    let unsigned = column.is_unsigned();
    let text = match (column.type_code, unsigned) {
        (code::TINY, true) => fields.u8()?.to_string(),
        (code::TINY, false) => i8::from_le_bytes(fields.array()?).to_string(),
        (code::YEAR, _) => format!("{:04}", fields.u16()?),
        (code::SHORT, true) => fields.u16()?.to_string(),
        (code::SHORT, false) => i16::from_le_bytes(fields.array()?).to_string(),
        (code::LONG | code::INT24, true) => fields.u32()?.to_string(),
        (code::LONG | code::INT24, false) => i32::from_le_bytes(fields.array()?).to_string(),
        (code::LONGLONG, true) => u64::from_le_bytes(fields.array()?).to_string(),
        (code::LONGLONG, false) => i64::from_le_bytes(fields.array()?).to_string(),
        (code::FLOAT, _) => float(format!("{:?}", f32::from_le_bytes(fields.array()?))),
        (code::DOUBLE, _) => float(format!("{:?}", f64::from_le_bytes(fields.array()?))),
        (code::DATE, _) => day(fields)?.0,
        (code::DATETIME | code::TIMESTAMP, _) => {
            let (day, clock) = day(fields)?;
            format!("{day} {}", clock.text(column.decimals))
        }
        (code::TIME, _) => span(fields, column.decimals)?,
        _ => return Ok(Bytes::copy_from_slice(fields.string()?)),
    };
    Ok(Bytes::from(text))
}

fn float(text: String) -> String {
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// What a clock shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Hours; more than 23 only in a span.
    pub hours: u32,
    /// Minutes.
    pub minute: u8,
    /// Seconds.
    pub second: u8,
    /// Millionths of a second.
    pub micros: u32,
}

impl Clock {
    /// With these hours; the rest as it is.
    fn put(self, hours: u8, out: &mut BytesMut) {
        out.put_slice(&[hours, self.minute, self.second]);
        out.put_u32_le(self.micros);
    }

    fn text(self, digits: u8) -> String {
        let digits = usize::from(digits.min(6));
        let whole = format!("{:02}:{:02}:{:02}", self.hours, self.minute, self.second);
        if digits == 0 { whole } else { format!("{whole}.{}", &format!("{:06}", self.micros)[..digits]) }
    }
}

fn day(fields: &mut Fields<'_>) -> Result<(String, Clock), CodecError> {
    let length = fields.u8()?;
    let mut body = Fields::new(fields.bytes(length.into())?);
    let (year, [month, day]) = if length >= 4 { (body.u16()?, body.array()?) } else { (0, [0, 0]) };
    let mut clock = Clock::default();
    if length >= 7 {
        let [hour, minute, second] = body.array()?;
        clock = Clock { hours: hour.into(), minute, second, micros: 0 };
    }
    if length >= 11 {
        clock.micros = body.u32()?;
    }
    Ok((format!("{year:04}-{month:02}-{day:02}"), clock))
}

fn span(fields: &mut Fields<'_>, digits: u8) -> Result<String, CodecError> {
    let length = fields.u8()?;
    let mut body = Fields::new(fields.bytes(length.into())?);
    if length < 8 {
        return Ok(Clock::default().text(digits));
    }
    let (negative, days) = (body.u8()? != 0, body.u32()?);
    let [hour, minute, second] = body.array()?;
    let micros = if length >= 12 { body.u32()? } else { 0 };
    let clock = Clock { hours: days.saturating_mul(24).saturating_add(hour.into()), minute, second, micros };
    Ok(format!("{}{}", if negative { "-" } else { "" }, clock.text(digits)))
}
