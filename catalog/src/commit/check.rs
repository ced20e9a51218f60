//! Whether a commit request adds up, before anything is read: I1 as a ledger. A pure function of the request.
//!
//! A request that does not is a defect of its writer. It is answered as `Invalid`, because it may have come over a wire, and
//! nothing of it is committed.

use std::collections::{BTreeMap, BTreeSet};

use vfs::planted;

use crate::{CommitRequest, GapKind, Ledger, Part, PartKind, StreamAdvance, StreamId, WriterId, labels};

/// Rows of one stream in the parts of a request, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    rows: u128,
    errors: u128,
}

/// Checks that each offset that the request advances over is accounted for exactly once (I1). The error is a sentence
/// without the request's name.
pub(super) fn check(request: &CommitRequest) -> Result<(), String> {
    check_writer(request)?;
    check_labels(request)?;
    if request.streams.is_empty() {
        return Err("it advances no stream".to_owned());
    }
    if let Some(pair) = request.streams.windows(2).find(|pair| pair[0].stream >= pair[1].stream) {
        return Err(format!("stream {} does not stand before stream {}", pair[0].stream, pair[1].stream));
    }
    request.streams.iter().try_for_each(check_advance)?;
    let counted = count_parts(request)?;
    if planted::is("streams-committed-partially") || planted::is("parts-committed-partially") {
        return Ok(());
    }
    for advance in &request.streams {
        let in_parts = counted.get(&advance.stream).copied().unwrap_or_default();
        let said = Counted { rows: advance.ledger.rows.into(), errors: advance.ledger.errors.into() };
        if in_parts != said {
            return Err(format!(
                "stream {} is said to have {} rows and {} errors, and its parts hold {} and {}",
                advance.stream, said.rows, said.errors, in_parts.rows, in_parts.errors
            ));
        }
    }
    Ok(())
}

fn check_writer(request: &CommitRequest) -> Result<(), String> {
    match (request.writer, request.pipeline) {
        (WriterId::Task(writer, _), Some((pipeline, _))) if writer == pipeline => Ok(()),
        (WriterId::Channel(_), None) => Ok(()),
        (writer, pipeline) => Err(format!("writer {writer} names pipeline {:?}", pipeline.map(|(id, _)| id.0))),
    }
}

fn check_labels(request: &CommitRequest) -> Result<(), String> {
    if !request.labels.is_empty() && !matches!(request.writer, WriterId::Channel(_)) {
        return Err("it leaves labels, and is no insert channel's".to_owned());
    }
    if let Some(pair) = request.labels.windows(2).find(|pair| pair[0].label >= pair[1].label) {
        return Err(format!("label {:?} does not stand before label {:?}", pair[0].label, pair[1].label));
    }
    request.labels.iter().find_map(|it| labels::fault(&it.label)).map_or(Ok(()), Err)
}

/// The offsets of one stream: not none, each with its fate, the lost ones also as ranges.
pub(crate) fn check_advance(advance: &StreamAdvance) -> Result<(), String> {
    let StreamAdvance { stream, range, ledger, .. } = advance;
    if range.start >= range.end {
        return Err(format!("stream {stream} is advanced over {range}, which holds no offset"));
    }
    if accounted(ledger) != u128::from(range.offsets()) {
        return Err(format!(
            "stream {stream} is advanced over {range}, and its ledger accounts for {} offsets",
            accounted(ledger)
        ));
    }
    let mut lost = Ledger::default();
    let mut after = range.start;
    for gap in &advance.gaps {
        if gap.range.start < after || gap.range.end <= gap.range.start || range.end < gap.range.end {
            return Err(format!("the gap {} of stream {stream} is empty, out of order, or outside {range}", gap.range));
        }
        after = gap.range.end;
        match gap.kind {
            GapKind::Expired => lost.expired += gap.range.offsets(),
            GapKind::Truncated => lost.truncated += gap.range.offsets(),
            GapKind::Skipped => return Err(format!("stream {stream} names a skipped range; those are only counted")),
        }
    }
    if (lost.expired, lost.truncated) != (ledger.expired, ledger.truncated) {
        return Err(format!("the gaps of stream {stream} are not those of its ledger"));
    }
    Ok(())
}

/// [`Ledger::offsets`], for numbers that nobody has vouched for.
fn accounted(ledger: &Ledger) -> u128 {
    let Ledger { rows, errors, filtered, skipped, expired, truncated } = *ledger;
    [rows, errors, filtered, skipped, expired, truncated].into_iter().map(u128::from).sum()
}

/// The rows of each stream in all parts, each part being whole in itself.
fn count_parts(request: &CommitRequest) -> Result<BTreeMap<StreamId, Counted>, String> {
    let mut counted: BTreeMap<StreamId, Counted> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for part in &request.parts {
        if !ids.insert(part.id) {
            return Err(format!("part {} is there twice", part.id));
        }
        check_part(request, part)?;
        for covered in &part.streams {
            let counted = counted.entry(covered.stream).or_default();
            match part.kind {
                PartKind::Rows => counted.rows += u128::from(covered.rows),
                PartKind::Errors => counted.errors += u128::from(covered.rows),
            }
        }
    }
    Ok(counted)
}

fn check_part(request: &CommitRequest, part: &Part) -> Result<(), String> {
    let id = part.id;
    if part.table != request.table {
        return Err(format!("part {id} is of table {}, and the commit of table {}", part.table, request.table));
    }
    // Error rows have columns of their own, the same for every table.
    if part.kind == PartKind::Rows && part.schema != request.schema {
        return Err(format!("part {id} has schema {}, and the commit schema {}", part.schema, request.schema));
    }
    let mut seen = BTreeSet::new();
    for covered in &part.streams {
        let range = covered.range;
        let Ok(found) = request.streams.binary_search_by_key(&covered.stream, |advance| advance.stream) else {
            if planted::is("streams-committed-partially") {
                continue;
            }
            return Err(format!("part {id} covers stream {}, which the commit does not advance", covered.stream));
        };
        let advance = &request.streams[found];
        let inside = advance.range.start <= range.start && range.end <= advance.range.end && range.start < range.end;
        if !inside || covered.rows == 0 || covered.rows > range.offsets() || !seen.insert(covered.stream) {
            return Err(format!(
                "part {id} covers {range} of stream {} with {} rows, and the commit advances it over {}",
                covered.stream, covered.rows, advance.range
            ));
        }
    }
    let rows: u128 = part.streams.iter().map(|covered| u128::from(covered.rows)).sum();
    if rows != u128::from(part.rows) || rows == 0 {
        return Err(format!("part {id} has {} rows, and those of its streams are {rows}", part.rows));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::commit::sample;
    use crate::{CommitLabel, Gap, Offset, OffsetRange, PartStream};

    fn broken(breaking: impl FnOnce(&mut CommitRequest)) -> String {
        let mut request = sample::request();
        check(&request).unwrap();
        breaking(&mut request);
        check(&request).unwrap_err()
    }

    #[test]
    fn i1_every_way_in_which_a_request_does_not_add_up_is_refused() {
        let faults = [
            broken(|request| request.pipeline = None),
            broken(|request| request.writer = WriterId::Channel(StreamId(1))),
            broken(|request| request.labels = vec![CommitLabel { label: "a".into(), rows: 1 }]),
            broken(|request| request.streams.clear()),
            broken(|request| request.streams.reverse()),
            broken(|request| request.streams[1] = request.streams[0].clone()),
            broken(|request| request.streams[0].range.end = request.streams[0].range.start),
            broken(|request| request.streams[0].range.end.0 += 1),
            broken(|request| request.streams[0].ledger.filtered += 1),
            broken(|request| request.streams[0].ledger.rows = u64::MAX),
            broken(|request| request.streams[0].gaps.clear()),
            broken(|request| request.streams[0].gaps[0].kind = GapKind::Truncated),
            broken(|request| request.streams[0].gaps[0].range.start.0 -= 1),
            broken(|request| request.parts.truncate(1)),
            broken(|request| request.parts[1] = request.parts[0].clone()),
            broken(|request| request.parts[0].kind = PartKind::Errors),
            broken(|request| request.parts[0].rows += 1),
            broken(|request| request.parts[0].table.0 += 1),
            broken(|request| request.parts[0].schema.0 += 1),
            broken(|request| request.parts[0].streams[0].stream.0 += 7),
            broken(|request| request.parts[0].streams[0].range.end.0 += 100),
            broken(|request| request.parts[0].streams[0].rows = 0),
            broken(|request| request.parts[0].streams.clear()),
        ];
        assert!(faults.iter().all(|fault| fault.len() > 10), "{faults:?}");
    }

    #[test]
    fn an_insert_channel_leaves_each_label_once_and_none_that_is_too_long() {
        let labelled = |labels: &[&str]| {
            let mut request = sample::request();
            (request.writer, request.pipeline) = (WriterId::Channel(StreamId(11)), None);
            request.labels = labels.iter().map(|it| CommitLabel { label: (*it).to_owned(), rows: 1 }).collect();
            check(&request)
        };
        assert_eq!(labelled(&["a", "b"]), Ok(()));
        assert!(labelled(&["a", "a"]).is_err() && labelled(&["b", "a"]).is_err() && labelled(&[""]).is_err());
        assert!(labelled(&[&"x".repeat(129)]).unwrap_err().contains("128"));
    }

    proptest! {
        #[test]
        fn i1_a_ledger_adds_up_to_its_range_or_is_refused(
            start in 0..1_000_u64,
            fates in prop::array::uniform4(0..50_u64),
            wrong in -2..=2_i64,
        ) {
            let [rows, errors, filtered, expired] = fates;
            let offsets = (rows + errors + filtered + expired).saturating_add_signed(wrong);
            let range = OffsetRange::new(Offset(start), Offset(start + offsets));
            let mut request = sample::request();
            request.streams.truncate(1);
            let advance = &mut request.streams[0];
            advance.range = range;
            advance.ledger = Ledger { rows, errors, filtered, expired, ..Ledger::default() };
            let gap = |end: u64| Gap { kind: GapKind::Expired, range: OffsetRange::new(Offset(end - expired), Offset(end)) };
            advance.gaps = (expired > 0 && offsets >= expired).then(|| gap(start + offsets)).into_iter().collect();
            let stream = advance.stream;
            let covered = |rows| PartStream { stream, range, rows };
            request.parts.truncate(2);
            for (part, rows) in request.parts.iter_mut().zip([rows, errors]) {
                (part.rows, part.streams) = (rows, vec![covered(rows)]);
            }
            request.parts.retain(|part| part.rows > 0);
            prop_assert_eq!(check(&request).is_ok(), wrong == 0 && offsets > 0, "{:?}", check(&request));
        }
    }
}
