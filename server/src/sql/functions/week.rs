//! Which week of which year a day is in, by each of MySQL's eight ways to count. Pure.

use chrono::{Datelike, NaiveDate};

/// How weeks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weeks {
    /// They begin on Monday, else on Sunday.
    pub(super) from_monday: bool,
    /// The first has most of its days in the year, as in ISO 8601; else its first day is the year's first such day.
    pub(super) by_most_days: bool,
    /// Days before the first week are in the last one of the year before, and the last days may be in the first one of the next;
    /// else the former are in week 0.
    pub(super) whole: bool,
}

impl Weeks {
    /// Those of `WEEK(day, mode)`.
    pub(super) fn of_mode(mode: i64) -> Self {
        let from_monday = mode & 1 == 1;
        Self { from_monday, by_most_days: (mode & 4 == 4) != from_monday, whole: mode & 2 == 2 }
    }

    /// The year and the week of `day`.
    pub(super) fn of(self, day: NaiveDate) -> Option<(i32, i64)> {
        let year = day.year();
        if day < self.first(year)? {
            return match self.whole {
                true => Some((year - 1, self.number(day, year - 1)?)),
                false => Some((year, 0)),
            };
        }
        if self.whole && day >= self.first(year + 1)? {
            return Some((year + 1, 1));
        }
        Some((year, self.number(day, year)?))
    }

    fn number(self, day: NaiveDate, year: i32) -> Option<i64> {
        Some((day - self.first(year)?).num_days() / 7 + 1)
    }

    /// The first day of the first week of `year`.
    fn first(self, year: i32) -> Option<NaiveDate> {
        // A week that has the fourth of January has most of its days in the year; one that ends on the seventh begins in it.
        let within = NaiveDate::from_ymd_opt(year, 1, if self.by_most_days { 4 } else { 7 })?;
        let days = match self.from_monday {
            true => within.weekday().num_days_from_monday(),
            false => within.weekday().num_days_from_sunday(),
        };
        within.checked_sub_days(chrono::Days::new(u64::from(days)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_counted_in_eight_ways() {
        // Those of 2008 under modes 0 to 3, and the last line, are the manual's; the others follow from what it says of the modes.
        for (day, weeks) in [
            ("2008-01-01", [0, 1, 52, 1, 1, 0, 1, 53]),
            ("2008-02-20", [7, 8, 7, 8, 8, 7, 8, 7]),
            ("2008-12-31", [52, 53, 52, 1, 53, 52, 53, 52]),
            ("2010-01-02", [0, 0, 52, 53, 0, 0, 52, 52]),
            ("2012-01-01", [1, 0, 1, 52, 1, 0, 1, 52]),
        ] {
            let date: NaiveDate = day.parse().unwrap();
            let found = [0, 1, 2, 3, 4, 5, 6, 7].map(|mode| Weeks::of_mode(mode).of(date).unwrap().1);
            assert_eq!(found, weeks, "{day}");
        }
        let last: NaiveDate = "2000-01-01".parse().unwrap();
        assert_eq!(Weeks::of_mode(2).of(last), Some((1999, 52)));
    }
}
