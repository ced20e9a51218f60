//! The values of a prepared statement's parameters, as COM_STMT_EXECUTE carries them. Every read is checked; what a value means
//! to a statement is SQL's.
//!
//! ```text
//!   NULL bitmap │ types follow? │ [type, sign] × n │ value, value, …
//! ```
//! Types may be left out when they are those of the execution before; a value that came as long data is not there a second time.

use bytes::Bytes;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::column::type_code;
use super::error::SqlError;
use super::fields::Fields;

/// MySQL's number for parameters that do not fit their statement.
pub const WRONG_ARGUMENTS: u16 = 1210;
/// MySQL's number for a value that is no date or time.
const WRONG_VALUE: u16 = 1292;
/// The bit beside a type that says that its numbers have no sign.
const UNSIGNED: u8 = 0x80;

/// One value.
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
    /// The digits of a decimal number.
    Decimal(String),
    /// Text.
    Text(String),
    /// What is not UTF-8.
    Bytes(Bytes),
    /// A day.
    Date(NaiveDate),
    /// A day and a time, in microseconds.
    DateTime(NaiveDateTime),
    /// `[-]HH:MM:SS[.ffffff]`.
    Time(String),
}

impl Parameter {
    /// Text where it is UTF-8, else bytes: drivers send both under the same types.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// The type of one parameter, as the client binds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterType {
    code: u8,
    unsigned: bool,
}

/// Reads the parameters of one execution from `fields`, which stands behind the iteration count. `types` are those of the
/// execution before and become those of this one; `long` are the values that came before by COM_STMT_SEND_LONG_DATA.
///
/// # Errors
/// 1210 where the packet does not fit, 1292 where a value is no date or time.
pub fn read(
    fields: &mut Fields<'_>,
    count: u16,
    types: &mut Vec<ParameterType>,
    long: impl Fn(u16) -> Option<Bytes>,
) -> Result<Vec<Parameter>, SqlError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let nulls = fields.bytes(usize::from(count).div_ceil(8)).map_err(|_| cut())?;
    if fields.u8().map_err(|_| cut())? == 1 {
        let mut bound = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let [code, flags] = fields.array().map_err(|_| cut())?;
            bound.push(ParameterType { code, unsigned: flags & UNSIGNED != 0 });
        }
        *types = bound;
    }
    if types.len() != usize::from(count) {
        return Err(wrong("the types of its parameters were never sent"));
    }
    let mut values = Vec::with_capacity(usize::from(count));
    for (at, of) in (0..count).zip(types.iter()) {
        values.push(match long(at) {
            Some(bytes) => Parameter::of_bytes(&bytes),
            None if is_null(nulls, at) => Parameter::Null,
            None => value(fields, *of).map_err(|error| of_parameter(error, at))?,
        });
    }
    Ok(values)
}

fn is_null(nulls: &[u8], at: u16) -> bool {
    nulls[usize::from(at / 8)] & (1 << (at % 8)) != 0
}

fn value(fields: &mut Fields<'_>, of: ParameterType) -> Result<Parameter, SqlError> {
    use type_code as code;
    let fixed = |read: Result<Parameter, super::codec::CodecError>| read.map_err(|_| cut());
    match (of.code, of.unsigned) {
        (code::NULL, _) => Ok(Parameter::Null),
        (code::TINY, true) => fixed(fields.u8().map(|value| Parameter::Unsigned(value.into()))),
        (code::TINY, false) => fixed(fields.array().map(|value| Parameter::Int(i8::from_le_bytes(value).into()))),
        (code::SHORT | code::YEAR, true) => fixed(fields.u16().map(|value| Parameter::Unsigned(value.into()))),
        (code::SHORT | code::YEAR, false) => {
            fixed(fields.array().map(|value| Parameter::Int(i16::from_le_bytes(value).into())))
        }
        (code::LONG | code::INT24, true) => fixed(fields.u32().map(|value| Parameter::Unsigned(value.into()))),
        (code::LONG | code::INT24, false) => {
            fixed(fields.array().map(|value| Parameter::Int(i32::from_le_bytes(value).into())))
        }
        (code::LONGLONG, true) => fixed(fields.array().map(|value| Parameter::Unsigned(u64::from_le_bytes(value)))),
        (code::LONGLONG, false) => fixed(fields.array().map(|value| Parameter::Int(i64::from_le_bytes(value)))),
        (code::FLOAT, _) => fixed(fields.array().map(|value| Parameter::Double(f32::from_le_bytes(value).into()))),
        (code::DOUBLE, _) => fixed(fields.array().map(|value| Parameter::Double(f64::from_le_bytes(value)))),
        (code::DATE, _) => match moment(fields)? {
            Some(moment) => Ok(Parameter::Date(moment.date())),
            None => Err(zero_date()),
        },
        (code::DATETIME | code::TIMESTAMP, _) => match moment(fields)? {
            Some(moment) => Ok(Parameter::DateTime(moment)),
            None => Err(zero_date()),
        },
        (code::TIME, _) => time(fields),
        (code::DECIMAL | code::NEWDECIMAL, _) => decimal(fields.string().map_err(|_| cut())?),
        (
            code::VARCHAR
            | code::BIT
            | code::JSON
            | code::ENUM
            | code::SET
            | code::TINY_BLOB
            | code::MEDIUM_BLOB
            | code::LONG_BLOB
            | code::BLOB
            | code::VAR_STRING
            | code::STRING
            | code::GEOMETRY,
            _,
        ) => Ok(Parameter::of_bytes(fields.string().map_err(|_| cut())?)),
        (other, _) => Err(wrong(&format!("there is no type {other}"))),
    }
}

/// A day, perhaps with a time; nothing for MySQL's day zero.
fn moment(fields: &mut Fields<'_>) -> Result<Option<NaiveDateTime>, SqlError> {
    let length = fields.u8().map_err(|_| cut())?;
    let body = fields.bytes(length.into()).map_err(|_| cut())?;
    let mut body = Fields::new(body);
    let (mut clock, mut micros) = ([0; 3], 0);
    if !matches!(length, 0 | 4 | 7 | 11) {
        return Err(wrong("a date or time has a wrong length"));
    }
    if length == 0 {
        return Ok(None);
    }
    let year = body.u16().map_err(|_| cut())?;
    let [month, day] = body.array().map_err(|_| cut())?;
    if length >= 7 {
        clock = body.array().map_err(|_| cut())?;
    }
    if length == 11 {
        micros = body.u32().map_err(|_| cut())?;
    }
    if (year, month, day) == (0, 0, 0) {
        return Ok(None);
    }
    let date = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into());
    let time = NaiveTime::from_hms_micro_opt(clock[0].into(), clock[1].into(), clock[2].into(), micros);
    match (date, time) {
        (Some(date), Some(time)) => Ok(Some(date.and_time(time))),
        _ => {
            let [hour, minute, second] = clock;
            let message = format!(
                "Incorrect datetime value: '{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}'"
            );
            Err(SqlError::new(WRONG_VALUE, message))
        }
    }
}

fn time(fields: &mut Fields<'_>) -> Result<Parameter, SqlError> {
    let length = fields.u8().map_err(|_| cut())?;
    let body = fields.bytes(length.into()).map_err(|_| cut())?;
    let mut body = Fields::new(body);
    if !matches!(length, 0 | 8 | 12) {
        return Err(wrong("a time has a wrong length"));
    }
    if length == 0 {
        return Ok(Parameter::Time("00:00:00".to_owned()));
    }
    let negative = body.u8().map_err(|_| cut())? != 0;
    let days = body.u32().map_err(|_| cut())?;
    let [hours, minutes, seconds] = body.array().map_err(|_| cut())?;
    let micros = if length == 12 { body.u32().map_err(|_| cut())? } else { 0 };
    if hours > 23 || minutes > 59 || seconds > 59 || micros > 999_999 {
        let message = format!("Incorrect time value: '{days} {hours:02}:{minutes:02}:{seconds:02}.{micros:06}'");
        return Err(SqlError::new(WRONG_VALUE, message));
    }
    let sign = if negative { "-" } else { "" };
    let hours = u64::from(days) * 24 + u64::from(hours);
    let fraction = if micros > 0 { format!(".{micros:06}") } else { String::new() };
    Ok(Parameter::Time(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}")))
}

/// Digits with a sign and a point, and nothing else: it will stand in a statement as a number.
fn decimal(bytes: &[u8]) -> Result<Parameter, SqlError> {
    let text = String::from_utf8_lossy(bytes);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits || whole.len() + fraction.len() == 0 {
        return Err(SqlError::new(WRONG_VALUE, format!("Incorrect DECIMAL value: '{text}'")));
    }
    Ok(Parameter::Decimal(text.into_owned()))
}

/// A value that is none of its type never reaches a column: the error names the parameter, counted from 1.
fn of_parameter(mut error: SqlError, at: u16) -> SqlError {
    if error.code == WRONG_VALUE {
        error.message = format!("{} (parameter {})", error.message, u32::from(at) + 1);
    }
    error
}

fn zero_date() -> SqlError {
    SqlError::new(WRONG_VALUE, "Incorrect datetime value: '0000-00-00 00:00:00'; send NULL where there is no day")
}

fn cut() -> SqlError {
    wrong("its packet ends before its last value")
}

/// 1210: the execution does not fit its statement.
pub fn wrong(cause: &str) -> SqlError {
    SqlError::new(WRONG_ARGUMENTS, format!("Incorrect arguments to mysqld_stmt_execute: {cause}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(types: &[(u8, u8)], values: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0; types.len().div_ceil(8)];
        packet.push(1);
        packet.extend(types.iter().flat_map(|(code, flags)| [*code, *flags]));
        packet.extend(values.concat());
        packet
    }

    fn one(code: u8, flags: u8, value: &[u8]) -> Result<Parameter, SqlError> {
        let packet = bound(&[(code, flags)], &[value]);
        read(&mut Fields::new(&packet), 1, &mut Vec::new(), |_| None).map(|mut values| values.remove(0))
    }

    #[test]
    fn numbers_have_the_width_and_the_sign_of_their_type() {
        for (code, flags, value, expected) in [
            (1, 0, &[0xFF][..], Parameter::Int(-1)),
            (1, 0x80, &[0xFF], Parameter::Unsigned(255)),
            (2, 0, &[0, 0x80], Parameter::Int(-32_768)),
            (3, 0x80, &[0xFF; 4], Parameter::Unsigned(u32::MAX.into())),
            (8, 0, &[0, 0, 0, 0, 0, 0, 0, 0x80], Parameter::Int(i64::MIN)),
            (8, 0x80, &[0xFF; 8], Parameter::Unsigned(u64::MAX)),
            (5, 0, &1.5_f64.to_le_bytes(), Parameter::Double(1.5)),
            (4, 0, &1.5_f32.to_le_bytes(), Parameter::Double(1.5)),
            (246, 0, b"\x05-1.50", Parameter::Decimal("-1.50".into())),
            (6, 0, b"", Parameter::Null),
        ] {
            assert_eq!(one(code, flags, value).unwrap(), expected);
        }
        assert_eq!(one(246, 0, b"\x08'; DROP '").unwrap_err().code, WRONG_VALUE);
        assert_eq!(one(200, 0, b"").unwrap_err().code, WRONG_ARGUMENTS);
    }

    #[test]
    fn text_is_text_and_what_is_not_utf8_is_bytes() {
        assert_eq!(one(253, 0, "\x07grüße".as_bytes()).unwrap(), Parameter::Text("grüße".into()));
        assert_eq!(one(252, 0, b"\x02\xFF\0").unwrap(), Parameter::Bytes(Bytes::from_static(b"\xFF\0")));
    }

    #[test]
    fn days_and_times_are_as_long_as_they_need_to_be() {
        let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
        assert_eq!(one(10, 0, &[4, 0xE8, 7, 2, 29]).unwrap(), Parameter::Date(day));
        let expected = Parameter::DateTime(day.and_hms_micro_opt(23, 59, 58, 1).unwrap());
        assert_eq!(one(12, 0, &[11, 0xE8, 7, 2, 29, 23, 59, 58, 1, 0, 0, 0]).unwrap(), expected);
        let expected = Parameter::DateTime(day.and_hms_opt(0, 0, 0).unwrap());
        assert_eq!(one(7, 0, &[4, 0xE8, 7, 2, 29]).unwrap(), expected);
        assert_eq!(one(11, 0, &[8, 1, 1, 0, 0, 0, 2, 3, 4]).unwrap(), Parameter::Time("-26:03:04".into()));
        assert_eq!(one(11, 0, &[0]).unwrap(), Parameter::Time("00:00:00".into()));
        for wrong in [&[0][..], &[4, 0, 0, 0, 0], &[4, 0xE8, 7, 2, 30], &[7, 0xE8, 7, 2, 29, 24, 0, 0]] {
            assert_eq!(one(12, 0, wrong).unwrap_err().code, WRONG_VALUE, "{wrong:?}");
        }
        assert_eq!(one(12, 0, &[5, 0, 0, 0, 0, 0]).unwrap_err().code, WRONG_ARGUMENTS);
    }

    #[test]
    fn a_value_that_is_none_of_its_type_is_told_with_its_parameter() {
        let packet = bound(&[(1, 0), (10, 0)], &[&[7], &[4, 0xE8, 7, 2, 30]]);
        let error = read(&mut Fields::new(&packet), 2, &mut Vec::new(), |_| None).unwrap_err();
        assert_eq!(error.message, "Incorrect datetime value: '2024-02-30 00:00:00.000000' (parameter 2)");
    }

    #[test]
    fn types_are_kept_for_the_executions_that_send_none() {
        let mut types = Vec::new();
        let again = [0, 0, 7, 0, 0, 0];
        let unbound = read(&mut Fields::new(&again), 1, &mut types, |_| None).unwrap_err();
        assert_eq!((unbound.code, unbound.message.contains("never sent")), (WRONG_ARGUMENTS, true));
        let first = bound(&[(3, 0)], &[&[1, 0, 0, 0]]);
        assert_eq!(read(&mut Fields::new(&first), 1, &mut types, |_| None).unwrap(), [Parameter::Int(1)]);
        assert_eq!(read(&mut Fields::new(&again), 1, &mut types, |_| None).unwrap(), [Parameter::Int(7)]);
    }

    #[test]
    fn the_bitmap_says_what_is_null_and_long_data_stands_for_its_value() {
        let mut packet = vec![0b0000_0010, 0b0000_0010, 1];
        packet.extend([8, 0].repeat(10));
        for value in [0_u64, 2, 4, 5, 6, 7, 8] {
            packet.extend(value.to_le_bytes());
        }
        let long = |at| (at == 3).then(|| Bytes::from_static(b"long"));
        let values = read(&mut Fields::new(&packet), 10, &mut Vec::new(), long).unwrap();
        let expected: Vec<Parameter> = (0..10)
            .map(|at| match at {
                1 | 9 => Parameter::Null,
                3 => Parameter::Text("long".into()),
                at => Parameter::Int(at),
            })
            .collect();
        assert_eq!(values, expected);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0_u16..20) {
            let _ = read(&mut Fields::new(&bytes), count, &mut Vec::new(), |_| None);
        }
    }
}
