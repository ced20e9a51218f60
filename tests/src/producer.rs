//! Produces records, and keeps the ledger of what the broker acknowledged.

use anyhow::anyhow;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::Ledger;

/// One record to be produced.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// Where to.
    pub partition: i32,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its payload; `None` is a null payload.
    pub payload: Option<Vec<u8>>,
    /// Its time, in milliseconds since 1970; the broker's where there is none.
    pub timestamp_ms: Option<i64>,
}

/// A producer of one topic.
#[derive(Clone)]
pub struct Producer {
    /// The client, for transactions and the like.
    pub producer: FutureProducer,
    pub(crate) topic: String,
}

impl Producer {
    /// Produces one record; the offset that it was given.
    ///
    /// # Errors
    /// If the broker does not acknowledge it.
    pub async fn send(&self, partition: i32, payload: Option<&[u8]>) -> anyhow::Result<u64> {
        let payload = payload.map(<[u8]>::to_vec);
        self.send_record(&NewRecord { partition, payload, ..NewRecord::default() }).await
    }

    /// Produces one record with all that belongs to it; the offset that it was given.
    ///
    /// # Errors
    /// If the broker does not acknowledge it.
    pub async fn send_record(&self, new: &NewRecord) -> anyhow::Result<u64> {
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).partition(new.partition);
        record.payload = new.payload.as_deref();
        record.key = new.key.as_deref();
        record.timestamp = new.timestamp_ms;
        let delivery = self.producer.send(record, Timeout::Never).await.map_err(|(error, _)| anyhow!(error))?;
        Ok(u64::try_from(delivery.offset)?)
    }

    /// Produces all of `payloads`, each to the partition at its side, and notes them in `ledger`.
    ///
    /// # Errors
    /// If the broker does not acknowledge one of them.
    pub async fn send_all(&self, payloads: Vec<(i32, Vec<u8>)>, ledger: &mut Ledger) -> anyhow::Result<()> {
        let sent = payloads.iter().map(|(partition, payload)| self.send(*partition, Some(payload)));
        let offsets = futures::future::join_all(sent).await;
        for ((partition, payload), offset) in payloads.iter().zip(offsets) {
            ledger.add(*partition, offset?, payload);
        }
        Ok(())
    }
}
