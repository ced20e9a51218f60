//! Functions of dates and times. A moment may be given as a DATE, a DATETIME, a TIMESTAMP or a text that holds one.

mod format;
mod parse;

pub(crate) use parse::parts;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::temporal_conversions::timestamp_us_to_datetime;
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime};
use datafusion::common::{DataFusionError, Result};

use super::week::Weeks;
use super::{Own, integer_at, integers, text_at, texts};

/// Days from the year 0 to 1970.
const DAYS_TO_1970: i64 = 719_528;
const MICROS: i64 = 1_000_000;
/// The last second that MySQL's FROM_UNIXTIME knows: the year 3001.
const LAST_SECOND: f64 = 32_536_771_199.999_999;

pub(super) fn all() -> Vec<Own> {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    vec![
        Own { name: "date_format", arguments: 2..=2, returns: DataType::Utf8, compute: date_format },
        Own { name: "str_to_date", arguments: 2..=2, returns: moment.clone(), compute: str_to_date },
        Own { name: "from_unixtime", arguments: 1..=1, returns: moment, compute: from_unixtime },
        Own { name: "datediff", arguments: 2..=2, returns: DataType::Int64, compute: datediff },
        Own { name: "timestampdiff", arguments: 3..=3, returns: DataType::Int64, compute: timestampdiff },
        Own { name: "last_day", arguments: 1..=1, returns: DataType::Date32, compute: last_day },
        Own { name: "to_days", arguments: 1..=1, returns: DataType::Int64, compute: to_days },
        Own { name: "week", arguments: 1..=2, returns: DataType::Int64, compute: week },
        Own { name: "yearweek", arguments: 1..=2, returns: DataType::Int64, compute: yearweek },
    ]
}

/// The moments of a column.
pub(super) struct Moments(TimestampMicrosecondArray);

impl Moments {
    pub(super) fn of(values: &ArrayRef) -> Result<Self> {
        let values = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        Ok(Self(values.as_primitive::<TimestampMicrosecondType>().clone()))
    }

    fn at(&self, row: usize) -> Option<NaiveDateTime> {
        self.0.is_valid(row).then(|| timestamp_us_to_datetime(self.0.value(row))).flatten()
    }

    /// What `of` makes of each.
    pub(super) fn map<T>(&self, of: impl Fn(NaiveDateTime) -> Option<T>) -> impl Iterator<Item = Option<T>> {
        (0..self.0.len()).map(move |row| self.at(row).and_then(&of))
    }
}

fn date_format(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (moments, formats) = (Moments::of(&arguments[0])?, texts(&arguments[1])?);
    let of = |row: usize| Some(format::formatted(moments.at(row)?, text_at(&formats, row)?));
    let values: StringArray = (0..formats.len()).map(of).collect();
    Ok(Arc::new(values))
}

fn str_to_date(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, formats) = (texts(&arguments[0])?, texts(&arguments[1])?);
    let of = |row: usize| {
        let moment = parse::parsed(text_at(&texts, row)?, text_at(&formats, row)?)?;
        Some(moment.and_utc().timestamp_micros())
    };
    let values: TimestampMicrosecondArray = (0..texts.len()).map(of).collect();
    Ok(Arc::new(values))
}

fn from_unixtime(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let seconds = &arguments[0];
    let values: TimestampMicrosecondArray = match seconds.data_type().is_integer() {
        true => {
            let within = |seconds: i64| (0..=LAST_SECOND as i64).contains(&seconds).then(|| seconds * MICROS);
            integers(seconds)?.iter().map(|seconds| seconds.and_then(within)).collect()
        }
        false => {
            let seconds = cast(seconds, &DataType::Float64)?;
            let within =
                |seconds: f64| (0.0..=LAST_SECOND).contains(&seconds).then(|| (seconds * MICROS as f64).round() as i64);
            seconds.as_primitive::<Float64Type>().iter().map(|seconds| seconds.and_then(within)).collect()
        }
    };
    Ok(Arc::new(values))
}

fn day_number(moment: NaiveDateTime) -> i64 {
    moment.date().signed_duration_since(NaiveDate::default()).num_days()
}

fn datediff(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (later, earlier) = (Moments::of(&arguments[0])?, Moments::of(&arguments[1])?);
    let of = |row: usize| Some(day_number(later.at(row)?) - day_number(earlier.at(row)?));
    let values: Int64Array = (0..later.0.len()).map(of).collect();
    Ok(Arc::new(values))
}

fn last_day(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let last = |moment: NaiveDateTime| {
        let next = moment.date().with_day(1)?.checked_add_months(Months::new(1))?;
        let days = next.checked_sub_days(Days::new(1))?.signed_duration_since(NaiveDate::default()).num_days();
        i32::try_from(days).ok()
    };
    let values: Date32Array = Moments::of(&arguments[0])?.map(last).collect();
    Ok(Arc::new(values))
}

fn to_days(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let values: Int64Array =
        Moments::of(&arguments[0])?.map(|moment| Some(day_number(moment) + DAYS_TO_1970)).collect();
    Ok(Arc::new(values))
}

/// What `of` makes of each moment, and of how weeks are counted.
fn of_weeks(arguments: &[ArrayRef], of: impl Fn(NaiveDate, i64) -> Option<i64>) -> Result<ArrayRef> {
    let moments = Moments::of(&arguments[0])?;
    let modes = arguments.get(1).map(integers).transpose()?;
    let of = |row: usize| {
        let mode = match &modes {
            Some(modes) => integer_at(modes, row)?,
            None => 0,
        };
        of(moments.at(row)?.date(), mode)
    };
    let values: Int64Array = (0..moments.0.len()).map(of).collect();
    Ok(Arc::new(values))
}

fn week(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    of_weeks(arguments, |date, mode| Weeks::of_mode(mode).of(date).map(|(_, week)| week))
}

fn yearweek(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    of_weeks(arguments, |date, mode| {
        let (year, week) = Weeks { whole: true, ..Weeks::of_mode(mode) }.of(date)?;
        Some(i64::from(year) * 100 + week)
    })
}

/// `TIMESTAMPDIFF('unit', from, to)`: how many whole ones lie between.
fn timestampdiff(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (units, from, to) = (texts(&arguments[0])?, Moments::of(&arguments[1])?, Moments::of(&arguments[2])?);
    let mut values = Vec::with_capacity(units.len());
    for row in 0..units.len() {
        let (Some(unit), Some(from), Some(to)) = (text_at(&units, row), from.at(row), to.at(row)) else {
            values.push(None);
            continue;
        };
        let count = between(&unit.to_ascii_lowercase(), from, to).ok_or_else(|| {
            DataFusionError::Execution(format!(
                "TIMESTAMPDIFF has no unit {unit}; it has MICROSECOND, SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR"
            ))
        })?;
        values.push(Some(count));
    }
    Ok(Arc::new(Int64Array::from(values)))
}

fn between(unit: &str, from: NaiveDateTime, to: NaiveDateTime) -> Option<i64> {
    let unit = unit.trim_start_matches("sql_tsi_");
    let micros = to.and_utc().timestamp_micros() - from.and_utc().timestamp_micros();
    let of_seconds = |seconds: i64| Some(micros / (seconds * MICROS));
    match unit {
        "microsecond" => Some(micros),
        "second" => of_seconds(1),
        "minute" => of_seconds(60),
        "hour" => of_seconds(3_600),
        "day" => of_seconds(86_400),
        "week" => of_seconds(7 * 86_400),
        "month" => Some(months(from, to)),
        "quarter" => Some(months(from, to) / 3),
        "year" => Some(months(from, to) / 12),
        _ => None,
    }
}

/// Whole months: one is whole when its day and time of the day have come again.
fn months(from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    if to < from {
        return -months(to, from);
    }
    let count = |moment: NaiveDateTime| i64::from(moment.year()) * 12 + i64::from(moment.month());
    let is_cut = (to.day(), to.time()) < (from.day(), from.time());
    count(to) - count(from) - i64::from(is_cut)
}
