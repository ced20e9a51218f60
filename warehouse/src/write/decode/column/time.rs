//! Columns of dates and times: ISO text only. A number is no time until somebody declares its unit.

use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, DurationMicrosecondType, TimestampMicrosecondType};
use catalog::ColumnType;

use super::super::reason::{BadValue, ErrorReason, quoted};
use super::super::time::{Span, WallClock, Zone, date, date_time, span};
use super::buffer::Values;
use super::number::buffer;
use super::sink::{Sink, Written};
use crate::schema::{TIME_MICROS_MAX, mysql_type};

/// DATE: `YYYY-MM-DD`.
pub(in super::super) struct DateColumn {
    pub(super) values: Values<Date32Type>,
}

/// The days of a DATE's text.
pub(in super::super) fn date_value(text: &str) -> Result<i32, BadValue> {
    date(text).ok_or_else(|| {
        let message = format!("{} cannot become date: it is not a day written as YYYY-MM-DD", quoted(text));
        BadValue { reason: ErrorReason::WrongType, message }
    })
}

impl Sink for DateColumn {
    buffer!(values);

    fn name(&self) -> &str {
        "date"
    }

    fn text(&mut self, text: &str) -> Written {
        self.values.push(date_value(text)?);
        Ok(())
    }
}

/// What is read off a clock: the rules of a DATETIME, a TIMESTAMP or a TIME. TIMESTAMP is UTC, and a time with an offset is
/// converted; without one it is UTC already. DATETIME has no zone: `Z` is taken and means the clock of UTC, another offset is
/// refused rather than dropped.
#[derive(Clone, Debug)]
pub(in super::super) struct Clock {
    /// Whether it is a TIMESTAMP.
    zoned: bool,
    /// Digits of a second's fraction that values are rounded to. Without them all are kept, to the microsecond.
    digits: Option<u8>,
    name: String,
}

impl Clock {
    /// The rules of a column of that type.
    pub(in super::super) fn of(kind: &ColumnType) -> Self {
        let digits = match kind {
            ColumnType::Time { digits } | ColumnType::DateTime { digits } | ColumnType::Timestamp { digits } => *digits,
            _ => None,
        };
        Self { zoned: matches!(kind, ColumnType::Timestamp { .. }), digits, name: mysql_type(kind) }
    }

    fn wrong(&self, text: &str, why: &str) -> BadValue {
        let message = format!("{} cannot become {}: {why}", quoted(text), self.name);
        BadValue { reason: ErrorReason::WrongType, message }
    }

    /// The microseconds of a DATETIME's or a TIMESTAMP's text.
    pub(in super::super) fn micros(&self, text: &str) -> Result<i64, BadValue> {
        match date_time(text) {
            None => Err(self.wrong(text, "it is not a time written as YYYY-MM-DD HH:MM:SS")),
            Some(WallClock { zone: Zone::Offset(_), .. }) if !self.zoned => {
                Err(self.wrong(text, "it has an offset, and datetime has no zone; make the column a TIMESTAMP"))
            }
            Some(clock) => {
                // Only where six digits were asked for does the seventh say anything.
                let up = i64::from(clock.rounds_up && self.digits == Some(6));
                self.rounded(clock.utc_micros() + up).ok_or_else(|| BadValue::out_of_range(quoted(text), &self.name))
            }
        }
    }

    /// A moment as the column keeps it: a half goes up. `None` where that is beyond the year 9999.
    pub(in super::super) fn rounded(&self, micros: i64) -> Option<i64> {
        let Some(unit) = self.unit() else { return Some(micros) };
        let rounded = micros.checked_add(unit / 2)?.div_euclid(unit) * unit;
        (rounded <= MICROS_MAX || rounded <= micros).then_some(rounded)
    }

    /// The microseconds of a TIME's text.
    pub(in super::super) fn span(&self, text: &str) -> Result<i64, BadValue> {
        let Some(Span { micros, negative, rounds_up }) = span(text) else {
            return Err(self.wrong(text, "it is not a time written as HH:MM:SS"));
        };
        let up = i64::from(rounds_up && self.digits == Some(6)) * if negative { -1 } else { 1 };
        self.rounded_span(micros + up).ok_or_else(|| BadValue::out_of_range(quoted(text), &self.name))
    }

    /// A span as the column keeps it: a half goes away from zero. `None` where that is beyond 838:59:59.
    pub(in super::super) fn rounded_span(&self, micros: i64) -> Option<i64> {
        let rounded = match self.unit() {
            None => micros,
            Some(unit) => micros.checked_add(micros.signum() * (unit / 2))? / unit * unit,
        };
        (-TIME_MICROS_MAX..=TIME_MICROS_MAX).contains(&rounded).then_some(rounded)
    }

    /// The name of the type.
    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> Option<i64> {
        self.digits.map(|digits| 10_i64.pow(u32::from(6_u8.saturating_sub(digits))))
    }
}

/// 9999-12-31 23:59:59.999999.
const MICROS_MAX: i64 = 253_402_300_799_999_999;

/// DATETIME and TIMESTAMP.
pub(in super::super) struct MicrosColumn {
    pub(super) values: Values<TimestampMicrosecondType>,
    pub(super) clock: Clock,
}

impl Sink for MicrosColumn {
    buffer!(values);

    fn name(&self) -> &str {
        self.clock.name()
    }

    fn text(&mut self, text: &str) -> Written {
        self.values.push(self.clock.micros(text)?);
        Ok(())
    }
}

/// TIME: `HH:MM:SS`.
pub(in super::super) struct TimeColumn {
    pub(super) values: Values<DurationMicrosecondType>,
    pub(super) clock: Clock,
}

impl Sink for TimeColumn {
    buffer!(values);

    fn name(&self) -> &str {
        self.clock.name()
    }

    fn text(&mut self, text: &str) -> Written {
        self.values.push(self.clock.span(text)?);
        Ok(())
    }
}
