//! What processes tell each other of their commits: the rows of the table `commits`, and how they are read without missing one.
//! A row tells of a group of commits as of one: nobody can have read between two of them.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::super::KeyRange;
use super::super::range::successor;
use super::schema::LEARN;
use super::session::{Call, Param, PgError, Session};

/// One group of commits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The version of its last commit.
    pub(super) last: u64,
    /// What its commits wrote.
    pub(super) written: Vec<KeyRange>,
}

/// What was learned of the commits after some version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// All of them, in the order of versions.
    All(Vec<Told>),
    /// Some are no longer told.
    Gap,
}

/// Reads what the commits after version `after`, up to and with `through`, wrote.
pub(super) async fn learn(session: &Session, after: u64, through: u64) -> Result<Learned, PgError> {
    let mut groups: Vec<Told> = Vec::new();
    let mut known = after;
    while known < through {
        let rows = session.call(Call::new(LEARN, [number(known)])).await?.rows;
        if rows.is_empty() {
            return Ok(Learned::Gap);
        }
        for row in rows {
            let read =
                || -> Result<_, tokio_postgres::Error> { Ok((version(&row, 0)?, version(&row, 1)?, ranges(&row)?)) };
            let (first, last, written) =
                read().map_err(|error| PgError::Damaged(format!("its table commits: {error}")))?;
            if first != known + 1 || last < first {
                return Ok(Learned::Gap);
            }
            known = last;
            groups.push(Told { last, written });
        }
    }
    Ok(Learned::All(groups))
}

fn version(row: &tokio_postgres::Row, column: usize) -> Result<u64, tokio_postgres::Error> {
    row.try_get::<_, i64>(column).map(i64::cast_unsigned)
}

fn ranges(row: &tokio_postgres::Row) -> Result<Vec<KeyRange>, tokio_postgres::Error> {
    let (starts, ends): (Vec<&[u8]>, Vec<&[u8]>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(starts.into_iter().zip(ends).map(|(start, end)| range(start, end)).collect())
}

fn range(start: &[u8], end: &[u8]) -> KeyRange {
    let end = if end.is_empty() { successor(start) } else { Bytes::copy_from_slice(end) };
    KeyRange { start: Bytes::copy_from_slice(start), end }
}

/// A version as Postgres counts.
pub(super) fn number(version: u64) -> Param {
    Param::Number(i64::try_from(version).expect("fewer commits than 2^63"))
}

/// What a group wrote, as two lists: where its ranges start, and where they end. An end that is empty stands for a range that
/// holds its start alone, as most do.
pub(super) fn tell(written: impl IntoIterator<Item = KeyRange>) -> [Param; 2] {
    let ranges: BTreeSet<KeyRange> = written.into_iter().filter(|range| !range.is_empty()).collect();
    let end = |range: &KeyRange| if range.end == successor(&range.start) { Bytes::new() } else { range.end.clone() };
    let ends = ranges.iter().map(end).collect();
    [Param::List(ranges.into_iter().map(|range| range.start).collect()), Param::List(ends)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_as_it_was() {
        let written = vec![KeyRange::new(&b"a"[..], &b"bc"[..]), KeyRange::single(b""), KeyRange::single(b"k")];
        let empty = KeyRange::new(&b"b"[..], &b"a"[..]);
        let [Param::List(starts), Param::List(ends)] = tell(written.iter().cloned().chain([empty])) else {
            panic!("two lists");
        };
        assert_eq!(ends.iter().filter(|end| end.is_empty()).count(), 2);
        let read: BTreeSet<KeyRange> = starts.iter().zip(&ends).map(|(start, end)| range(start, end)).collect();
        assert_eq!(read, written.into_iter().collect());
    }
}
