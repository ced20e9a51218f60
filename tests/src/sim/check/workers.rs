//! What workers report, from one look to the next: the epoch of a stream never falls in one life of a worker (I2), what is shown
//! under an epoch never shrinks, and a task that ends because its pipeline pauses has committed what it had shown (I5).

use std::collections::BTreeMap;

use catalog::{Epoch, Offset, PipelineState, StreamId, StreamView};
use warehouse::write::messages::{Heartbeat, StreamCondition};

use super::Violation;

/// What was reported so far.
#[derive(Debug, Default)]
pub struct Workers(BTreeMap<String, Reported>);

#[derive(Debug, Default)]
struct Reported {
    life: u64,
    epochs: BTreeMap<StreamId, Epoch>,
    /// What streams that are held were shown up to.
    shown: BTreeMap<StreamId, (Epoch, Offset)>,
}

impl Workers {
    /// Looks at a worker, in its so-manieth life. `lost_logs`: its disk has failed before, and what it had shown may have been given up with its log.
    /// `settled` answers the pipeline's state and its streams, and is asked only when it matters.
    ///
    /// # Errors
    /// On the first invariant that does not hold.
    pub fn look(
        &mut self,
        heartbeat: &Heartbeat,
        life: u64,
        lost_logs: bool,
        settled: impl FnOnce() -> Option<(PipelineState, Vec<StreamView>)>,
    ) -> Result<(), Violation> {
        let who = &heartbeat.address;
        let reported = self.0.entry(who.clone()).or_default();
        if reported.life != life {
            *reported = Reported { life, ..Reported::default() };
        }
        // For a moment two of its tasks may report a stream: what counts is the newer grant.
        let mut shown: BTreeMap<StreamId, (Epoch, Offset)> = BTreeMap::new();
        for report in heartbeat.tasks.iter().flat_map(|task| &task.streams) {
            let newest = reported.epochs.entry(report.stream).or_insert(report.epoch);
            *newest = (*newest).max(report.epoch);
            if report.condition == StreamCondition::Owned {
                let of_it = shown.entry(report.stream).or_insert((report.epoch, report.visible));
                *of_it = (*of_it).max((report.epoch, report.visible));
            }
        }
        for (stream, (epoch, _)) in &shown {
            let newest = reported.epochs[stream];
            if *epoch < newest {
                let text = format!("{who} holds stream {stream} under epoch {epoch}, and had held it under {newest}");
                return Err(Violation::new("I2", text));
            }
        }
        let back = |(stream, (epoch, end)): &(&StreamId, &(Epoch, Offset))| {
            reported.shown.get(stream).is_some_and(|(before, shown)| before == epoch && shown > end)
        };
        if let Some((stream, (epoch, end))) = shown.iter().find(back) {
            let text = format!("{who} shows stream {stream} under epoch {epoch} up to {end}, and had shown more of it");
            return Err(Violation::new("I5", text));
        }
        let before = std::mem::replace(&mut reported.shown, shown);
        if lost_logs || !heartbeat.tasks.is_empty() || before.is_empty() {
            return Ok(());
        }
        match settled() {
            Some((PipelineState::Paused | PipelineState::PausedByIncident, streams)) => {
                committed(who, &before, &streams)
            }
            _ => Ok(()),
        }
    }
}

fn committed(who: &str, before: &BTreeMap<StreamId, (Epoch, Offset)>, streams: &[StreamView]) -> Result<(), Violation> {
    for (stream, (epoch, shown)) in before {
        let Some(view) = streams.iter().find(|view| view.stream.id == *stream) else { continue };
        if view.owner.as_ref().map(|owner| owner.epoch) == Some(*epoch) && view.committed < *shown {
            let text = format!(
                "{who} had shown stream {stream} up to {shown}, and ended for a pause with {} committed",
                view.committed
            );
            return Err(Violation::new("I5", text));
        }
    }
    Ok(())
}
