//! When all faults are over: lag returns to zero by itself (I9), and every record that the broker kept was taken in.

use catalog::{StartPosition, StreamView};

use super::{Commits, Violation};
use crate::sim::script::{Partition, Script};

/// What is not committed yet, in a sentence; nothing if all is.
pub fn lag(commits: &Commits, script: &Script) -> Option<String> {
    let incarnation = script.incarnation();
    for (number, partition) in script.current() {
        let newest = streams_of(commits, &incarnation, number).max_by_key(|view| view.stream.partition().generation);
        match newest {
            None => return Some(format!("partition {number} has no stream")),
            Some(view) if view.committed.0 != partition.high => {
                return Some(format!(
                    "stream {} of partition {number} is committed up to {}, and the broker has {}..{}",
                    view.stream.id, view.committed, partition.low, partition.high
                ));
            }
            Some(_) => {}
        }
    }
    None
}

fn streams_of<'a>(
    commits: &'a Commits,
    incarnation: &'a str,
    partition: i32,
) -> impl Iterator<Item = &'a StreamView> + 'a {
    commits.views().filter(move |view| {
        let identity = view.stream.identity.partition();
        identity.is_some_and(|it| it.incarnation == incarnation && it.partition == partition)
    })
}

/// That each offset that the broker never lost is covered by a stream of its partition. After a SEEK (`has_sought`) there may be some
/// between the end of a stream and the start of the next one.
///
/// # Errors
/// If one was passed over by all.
pub fn check_end(commits: &Commits, script: &Script, start: &StartPosition, has_sought: bool) -> Result<(), Violation> {
    let incarnation = script.incarnation();
    for (number, partition) in script.current() {
        let from = first_wanted(partition, commits, &incarnation, number, start);
        for offset in from..partition.high {
            let slot = &partition.slots[offset as usize];
            if slot.expired || slot.truncated || slot.held.len() > 1 {
                continue;
            }
            let covers = |view: &StreamView| (view.stream.start.0..view.committed.0).contains(&offset);
            let is_passed_over = has_sought && passed_over(commits, &incarnation, number, offset);
            if !is_passed_over && !streams_of(commits, &incarnation, number).any(covers) {
                let text = format!(
                    "offset {offset} of partition {number} of {incarnation} is in no stream, and was never lost"
                );
                return Err(Violation::new("I1", text));
            }
        }
    }
    Ok(())
}

/// Whether the offset lies between the end of a stream of the partition and the start of the one after it. A stream that nothing was
/// committed to, and that came and went between two looks, was never seen: what lies before the next one's start may be its.
fn passed_over(commits: &Commits, incarnation: &str, number: i32, offset: u64) -> bool {
    let generation = |view: &StreamView| view.stream.partition().generation;
    let mut sought = streams_of(commits, incarnation, number).filter(|view| generation(view) > 0);
    sought.any(|next| {
        let before = streams_of(commits, incarnation, number).find(|view| generation(view) + 1 == generation(next));
        let from = before.map_or(0, |before| before.committed.0);
        (from..next.stream.start.0).contains(&offset)
    })
}

/// Under `start = latest`, the first partitions begin where they were when the pipeline began; all found later at their first
/// record.
fn first_wanted(
    partition: &Partition,
    commits: &Commits,
    incarnation: &str,
    number: i32,
    start: &StartPosition,
) -> u64 {
    if *start == StartPosition::Earliest || partition.later {
        return partition.low;
    }
    let starts = streams_of(commits, incarnation, number).map(|view| view.stream.start.0);
    starts.min().unwrap_or(0)
}
