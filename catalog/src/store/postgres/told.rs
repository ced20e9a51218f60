//! What processes tell each other of their commits: the rows of the table `commits`, and how they are read without missing one.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::super::KeyRange;
use super::super::range::successor;
use super::schema::LEARN;
use super::wire::{Call, Connection, Param, PgError, number};

/// In place of the length of a range's end: the range holds its start alone.
const SINGLE: u32 = u32::MAX;

/// What was learned of the commits after some version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// All of them: what each wrote, in the order of versions.
    All(Vec<Vec<KeyRange>>),
    /// Some are no longer told.
    Gap,
}

/// Reads what the commits after version `after`, up to and with `through`, wrote.
pub(super) async fn learn(connection: &mut Connection, after: u64, through: u64) -> Result<Learned, PgError> {
    let mut commits: Vec<Vec<KeyRange>> = Vec::new();
    loop {
        let known = after + commits.len() as u64;
        if known >= through {
            return Ok(Learned::All(commits));
        }
        let known = i64::try_from(known).expect("fewer commits than 2^63");
        let rows = connection.call(Call::new(LEARN, [Param::Number(known)])).await?.rows;
        if rows.is_empty() {
            return Ok(Learned::Gap);
        }
        for row in rows {
            let expected = i64::try_from(after).expect("fewer commits than 2^63") + commits.len() as i64 + 1;
            let (first, last) = (row.first().and_then(number), row.get(1).and_then(number));
            let group = row.get(2).cloned().and_then(read);
            match (first, last, group) {
                (Some(first), Some(last), Some(group))
                    if first == expected && last - first + 1 == group.len() as i64 =>
                {
                    commits.extend(group);
                }
                _ => return Ok(Learned::Gap),
            }
        }
    }
}

/// What each commit of a group wrote, as bytes: for each commit the number of its ranges, for each range its start and its end,
/// each with its length before it.
pub(super) fn write(commits: &[Vec<KeyRange>]) -> Bytes {
    let mut bytes = BytesMut::new();
    let size = |length: usize| u32::try_from(length).expect("a commit's size is limited far below");
    for ranges in commits {
        bytes.put_u32(size(ranges.len()));
        for KeyRange { start, end } in ranges {
            bytes.put_u32(size(start.len()));
            bytes.put_slice(start);
            if *end == successor(start) {
                bytes.put_u32(SINGLE);
            } else {
                bytes.put_u32(size(end.len()));
                bytes.put_slice(end);
            }
        }
    }
    bytes.freeze()
}

fn read(mut bytes: Bytes) -> Option<Vec<Vec<KeyRange>>> {
    let mut commits = Vec::new();
    while !bytes.is_empty() {
        let ranges = (0..bytes.try_get_u32().ok()?).map(|_| read_range(&mut bytes));
        commits.push(ranges.collect::<Option<Vec<KeyRange>>>()?);
    }
    Some(commits)
}

fn read_range(bytes: &mut Bytes) -> Option<KeyRange> {
    let take = |bytes: &mut Bytes, length: u32| {
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len())?;
        Some(bytes.split_to(length))
    };
    let length = bytes.try_get_u32().ok()?;
    let start = take(bytes, length)?;
    let end = match bytes.try_get_u32().ok()? {
        SINGLE => successor(&start),
        length => take(bytes, length)?,
    };
    Some(KeyRange { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_as_it_was_and_its_bytes_stay_what_they_are() {
        let commits = vec![vec![KeyRange::single(b"k"), KeyRange::new(&b"a"[..], &b"bc"[..])], vec![]];
        let bytes = write(&commits);
        assert_eq!(hex::encode(&bytes), "00000002000000016bffffffff0000000161000000026263".to_owned() + "00000000");
        assert_eq!(read(bytes.clone()), Some(commits));
        assert_eq!(read(bytes.slice(..bytes.len() - 1)), None);
        assert_eq!(read(Bytes::from_static(b"\0\0\0\x01\xff\0\0\0")), None);
    }
}
