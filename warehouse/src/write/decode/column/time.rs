//! Columns of dates and times: ISO text only. A number is no time until somebody declares its unit.

use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};

use super::super::reason::{BadValue, ErrorReason, quoted};
use super::super::time::{WallClock, Zone, date, date_time};
use super::buffer::Values;
use super::number::buffer;
use super::sink::{Sink, Written};

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

/// DATETIME and TIMESTAMP. TIMESTAMP is UTC, and a time with an offset is converted; without one it is UTC already.
/// DATETIME has no zone: `Z` is taken and means the clock of UTC, another offset is refused rather than dropped.
pub(in super::super) struct MicrosColumn {
    pub(super) values: Values<TimestampMicrosecondType>,
    /// Whether it is a TIMESTAMP.
    pub(super) zoned: bool,
    pub(super) name: String,
}

/// The microseconds of a DATETIME's or, if `zoned`, a TIMESTAMP's text.
pub(in super::super) fn micros_value(text: &str, zoned: bool, kind: &str) -> Result<i64, BadValue> {
    let wrong = |why: &str| BadValue {
        reason: ErrorReason::WrongType,
        message: format!("{} cannot become {kind}: {why}", quoted(text)),
    };
    match date_time(text) {
        None => Err(wrong("it is not a time written as YYYY-MM-DD HH:MM:SS")),
        Some(WallClock { zone: Zone::Offset(_), .. }) if !zoned => {
            Err(wrong("it has an offset, and datetime has no zone; make the column a TIMESTAMP"))
        }
        Some(clock) => Ok(clock.utc_micros()),
    }
}

impl Sink for MicrosColumn {
    buffer!(values);

    fn name(&self) -> &str {
        &self.name
    }

    fn text(&mut self, text: &str) -> Written {
        self.values.push(micros_value(text, self.zoned, &self.name)?);
        Ok(())
    }
}
