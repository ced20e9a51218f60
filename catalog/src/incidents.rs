//! Incidents: what needs a person. Opening one pauses its pipeline in the same transaction, so that neither is seen
//! without the other.

use bytes::Bytes;
use futures::FutureExt;

use crate::ddl;
use crate::keys;
use crate::store::{KeyRange, KvTransaction, Read, scan};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, Incident, PipelineId, PipelineState};

impl Catalog {
    /// Opens an incident and pauses its pipeline. `number`, `opened` and `settled` are set here. One of the same kind, stream
    /// and gap that is not settled yet is answered instead of a second.
    ///
    /// Unknown outcome: run again; the incident itself, open, is found.
    pub async fn open_incident(&self, incident: Incident) -> Result<Incident, CatalogError> {
        let opened = self.wall();
        let new = &incident;
        let incident = self
            .settled("opening an incident", |transaction| self.attempt_open(transaction, new, opened).boxed())
            .await?;
        tracing::error!(pipeline = %incident.pipeline, number = incident.number, cause = incident.cause, "incident");
        Ok(incident)
    }

    async fn attempt_open(
        &self,
        transaction: &mut dyn KvTransaction,
        new: &Incident,
        opened: i64,
    ) -> Result<Incident, Failure> {
        let mut record = ddl::pipeline::require_record(transaction, new.pipeline).await?;
        if record.pipeline.state != PipelineState::PausedByIncident {
            record.pipeline.state = PipelineState::PausedByIncident;
            self.write_pipeline(transaction, &record)?;
        }
        let known = read(transaction, keys::incident::of_pipeline(new.pipeline), Read::Serializable).await?;
        if let Some(same) = known.iter().find(|known| is_same(known, new)) {
            return Ok(same.clone());
        }
        let number = known.last().map_or(0, |last| last.number) + 1;
        let incident = Incident { number, opened, settled: None, settled_by: None, ..new.clone() };
        write(transaction, &incident);
        Ok(incident)
    }

    /// Marks all of a pipeline's incidents as settled, and answers those that were open. The pipeline's state is set apart.
    ///
    /// Unknown outcome: run again; those that an earlier attempt settled are no longer open, and not answered again.
    pub async fn settle_incidents(&self, pipeline: PipelineId) -> Result<Vec<Incident>, CatalogError> {
        self.settle_incidents_by(pipeline, None).await
    }

    /// The same, with who did it by which statement.
    pub async fn settle_incidents_by(
        &self,
        pipeline: PipelineId,
        by: Option<&str>,
    ) -> Result<Vec<Incident>, CatalogError> {
        let now = self.wall();
        self.settled("settling incidents", |transaction| {
            async move {
                let known = read(transaction, keys::incident::of_pipeline(pipeline), Read::Serializable).await?;
                let open = known.into_iter().filter(|incident| incident.settled.is_none());
                let settle = |incident| Incident { settled: Some(now), settled_by: by.map(str::to_owned), ..incident };
                let settled: Vec<Incident> = open.map(settle).collect();
                settled.iter().for_each(|incident| write(transaction, incident));
                Ok(settled)
            }
            .boxed()
        })
        .await
    }

    /// All incidents, by pipeline and number, also the settled ones.
    pub async fn incidents(&self) -> Result<Vec<Incident>, CatalogError> {
        self.once("listing incidents", |transaction| {
            async move { read(transaction, keys::incident::all(), Read::Snapshot).await }.boxed()
        })
        .await
    }
}

fn is_same(known: &Incident, new: &Incident) -> bool {
    known.settled.is_none() && (known.kind, known.stream, known.gap) == (new.kind, new.stream, new.gap)
}

async fn read(transaction: &mut dyn KvTransaction, range: KeyRange, read: Read) -> Result<Vec<Incident>, Failure> {
    let entries = scan(transaction, range, read).await?;
    let incident = |(key, value): &(Bytes, Bytes)| keys::incident::deser_value(key, value);
    Ok(entries.iter().map(incident).collect::<Result<Vec<_>, _>>()?)
}

fn write(transaction: &mut dyn KvTransaction, incident: &Incident) {
    let key = keys::incident::ser_key(incident.pipeline, incident.number);
    transaction.set(&key, &keys::incident::ser_value(incident));
}
