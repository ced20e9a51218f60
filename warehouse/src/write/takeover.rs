//! How a task begins with streams that were granted to it: fences the log, adopts what the process before has logged, and
//! fetches on from there.
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | granted | no commit under an older epoch succeeds (I2) | granted again; the log still holds the older epoch's rows |
//! | fenced | no append under an older epoch | as above |
//! | adopted | visible again, and logged under the new epoch | replayed under the new epoch; the rest is fetched again |

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Granted, Offset, StreamId};
use vfs::{compute, planted};
use wal::{Durable, Record, Replay, WalError, WalPosition};

use super::batch::Batch;
use super::failpoint::crash_point;
use super::intake::IntakeCommand;
use super::memtable::Held;
use super::messages::{OwnedStream, StreamCondition, StreamReport};
use super::recovery::{Adoptable, adoptable};
use super::source::SourceStream;
use super::task::{Running, Stay, Stream, Task, TaskEnd};
use crate::memory::Charge;

/// An adopted batch on its way into the log again.
struct Relogging {
    batch: Batch,
    charge: Charge,
    /// Where the process before has logged it.
    position: WalPosition,
    durable: Result<Durable, WalError>,
}

impl Task {
    /// Takes granted streams. An older grant than is held, or the same once more, changes nothing (I2).
    pub(super) async fn own(
        &mut self,
        streams: Vec<OwnedStream>,
        replay: Option<Arc<Replay>>,
        running: &mut Running,
    ) -> Result<(), TaskEnd> {
        let (mut fresh, mut outdated) = (BTreeMap::new(), Vec::new());
        for owned in streams {
            let Granted { stream: id, owner, committed, .. } = &owned.granted;
            let is_held = running.streams.get(id).is_some_and(|stream| stream.report.epoch >= owner.epoch);
            if is_held && !planted::is("older-grant-taken") {
                continue;
            }
            crash_point("grant.after");
            running.asks.push_back(IntakeCommand::Remove(*id));
            self.wal.fence(id.0, owner.epoch.0);
            outdated.extend(self.wal.last_needed(id.0).map(|last| (*id, last)));
            self.memtable.open(*id, owner.epoch, *committed);
            running.streams.insert(*id, stream_of(&owned));
            fresh.insert(*id, owned);
        }
        // Before the log is read, which takes time: else the manager misses these streams and grants them again.
        self.tell(running);
        let positions = match replay {
            Some(replay) => {
                self.adopt(fresh.values().map(|owned| owned.granted.clone()).collect(), replay, running).await?
            }
            None => BTreeMap::new(),
        };
        self.release_outdated(outdated, running);
        for (id, owned) in fresh {
            let Some(stream) = running.streams.get(&id).filter(|of| of.report.condition == StreamCondition::Owned)
            else {
                continue;
            };
            let source = SourceStream {
                stream: id,
                topic: Arc::clone(&stream.report.topic),
                incarnation: Arc::clone(&stream.incarnation),
                partition: stream.report.partition,
                position: positions.get(&id).copied().unwrap_or(owned.granted.committed),
            };
            running.asks.push_back(IntakeCommand::Add(source, stream.report.epoch));
        }
        Ok(())
    }

    /// What was logged of these streams before they were granted, in this life of the process too, is adopted by now, or of no use to
    /// anybody. *(Else a stream that comes back to a log which it has filled waits for ever for room.)*
    fn release_outdated(&self, outdated: Vec<(StreamId, WalPosition)>, running: &mut Running) {
        for (id, last) in outdated {
            match running.streams.get_mut(&id) {
                // Some of it is shown, and not logged again yet.
                Some(stream) if stream.debris.is_some() => stream.debris = stream.debris.max(Some(last)),
                _ => self.wal.release(id.0, last),
            }
        }
    }

    /// Logs adopted batches again under the new epochs, and publishes them; returns where fetching goes on.
    async fn adopt(
        &self,
        grants: Vec<Granted>,
        replay: Arc<Replay>,
        running: &mut Running,
    ) -> Result<BTreeMap<StreamId, Offset>, TaskEnd> {
        crash_point("recover.before");
        let room = (self.budget.limit() / 2).saturating_sub(self.budget.used());
        let (node, pipeline, table) = (self.node.clone(), Arc::clone(&self.pipeline), Arc::clone(&self.table));
        let asked = grants.clone();
        let found =
            compute(&*self.world.compute, move || adoptable(&replay, &asked, &node, &pipeline, &table, room)).await;
        let mut found = found.map_err(|error| TaskEnd::WalLost(error.to_string()))?;
        let mut positions = BTreeMap::new();
        for granted in &grants {
            if let Some(adoptable) = found.remove(&granted.stream) {
                let end = self.adopt_stream(granted, adoptable, running).await?;
                positions.insert(granted.stream, end);
            }
        }
        crash_point("recover.after");
        Ok(positions)
    }

    async fn adopt_stream(
        &self,
        granted: &Granted,
        found: Adoptable,
        running: &mut Running,
    ) -> Result<Offset, TaskEnd> {
        let Adoptable { batches, last } = found;
        let (id, epoch) = (granted.stream, granted.owner.epoch);
        if !batches.is_empty() {
            tracing::info!(stream = id.0, batches = batches.len(), "adopting logged batches");
        }
        // All are appended before the first is awaited, so that they share their fsyncs.
        let mut relogging = Vec::with_capacity(batches.len());
        for (batch, position) in batches {
            let payload = batch.encode(self.pipeline.fence, self.table.schema);
            let durable = self.wal.append(Record { stream: id.0, epoch: epoch.0, payload }).await;
            let charge = self.budget.charge(batch.bytes());
            relogging.push(Relogging { batch, charge, position, durable });
        }
        let mut end = granted.committed;
        let mut all_logged = true;
        for Relogging { batch, charge, position, durable } in relogging {
            let outcome = match durable {
                Ok(durable) => durable.await,
                Err(error) => Err(error),
            };
            let position = match outcome {
                Ok(position) => position,
                // It is in the log already, though under the older epoch: it is shown, and committed soon, which makes room.
                // If the process dies before that, it is fetched again.
                Err(WalError::DiskFull) => {
                    (all_logged, running.flush_wanted) = (false, true);
                    position
                }
                Err(error @ WalError::Fenced { .. }) => {
                    self.lose(id, epoch, error.to_string(), running);
                    return Ok(end);
                }
                Err(error) => return Err(TaskEnd::WalLost(error.to_string())),
            };
            end = batch.range.end;
            self.memtable.publish(epoch, Held { batch, position, charge }, self.world.clock.now());
        }
        match running.streams.get_mut(&id) {
            Some(stream) if !all_logged => stream.debris = Some(last),
            _ => self.wal.release(id.0, last),
        }
        Ok(end)
    }
}

fn stream_of(owned: &OwnedStream) -> Stream {
    let (granted, identity) = (&owned.granted, owned.stream.partition());
    let report = StreamReport {
        stream: granted.stream,
        topic: Arc::from(identity.topic.as_str()),
        partition: identity.partition,
        epoch: granted.owner.epoch,
        committed: granted.committed,
        visible: granted.committed,
        high_watermark: None,
        visible_timestamp_ms: None,
        is_taken_over: granted
            .previous
            .as_ref()
            .is_some_and(|before| before.pipeline_fence == granted.owner.pipeline_fence),
        condition: StreamCondition::Owned,
    };
    let any = planted::is("recreated-topic-goes-on");
    let incarnation = Arc::from(if any { "" } else { identity.incarnation.as_str() });
    Stream { report, incarnation, stay: Stay::Kept, refetching: false, debris: None }
}
