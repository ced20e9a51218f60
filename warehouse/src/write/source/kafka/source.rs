//! The task's end of an open Kafka source. Never blocks: librdkafka is called from the reader's thread only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::StreamId;
use rdkafka::consumer::BaseConsumer;
use vfs::Clock;

use super::client::OurClient;
use super::errors::Place;
use super::mailbox::{Mailbox, partition_of};
use super::reader::Reader;
use crate::write::source::{Source, SourceError, SourceEvent, SourceOptions, SourceStream};

/// A call of `next` returns after this, if with nothing else then with [`SourceEvent::Idle`].
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// One open source: of one topic or several, through one client.
pub(super) struct KafkaTopicSource {
    place: Place,
    mailbox: Arc<Mailbox>,
    clock: Arc<dyn Clock>,
    queue_bytes: u64,
    told_reader_gone: bool,
}

impl KafkaTopicSource {
    /// Starts the thread that reads through `consumer`.
    ///
    /// # Errors
    /// If this machine gives no thread.
    pub(super) fn start(
        consumer: BaseConsumer<OurClient>,
        clock: Arc<dyn Clock>,
        options: SourceOptions,
        place: Place,
    ) -> Result<Self, SourceError> {
        let mailbox = Arc::new(Mailbox::default());
        let queue_bytes = options.queue_bytes;
        let (thread_mailbox, thread_clock, thread_place) = (Arc::clone(&mailbox), Arc::clone(&clock), place.clone());
        std::thread::Builder::new()
            .name(format!("read-{}", place.topic.chars().take(10).collect::<String>()))
            .spawn(move || Reader::new(consumer, thread_mailbox, thread_clock, options, thread_place).run())
            .map_err(|error| SourceError::Fatal {
                cause: format!("no thread could be started to read topic {:?}: {error}", place.topic),
                next_step: "raise the limit of threads of this process (ulimit -u)".to_owned(),
            })?;
        Ok(Self { place, mailbox, clock, queue_bytes, told_reader_gone: false })
    }
}

#[async_trait]
impl Source for KafkaTopicSource {
    async fn add(&mut self, stream: SourceStream) -> Result<(), SourceError> {
        let (topic, partition) = partition_of(&stream);
        self.mailbox.want(stream).map_err(|other| SourceError::Fatal {
            cause: format!("partition {partition} of topic {topic:?} is read for stream {other}"),
            next_step: "remove that stream first".to_owned(),
        })
    }

    async fn remove(&mut self, stream: StreamId) {
        self.mailbox.unwant(stream);
    }

    fn set_paused(&mut self, paused: bool) {
        self.mailbox.set_paused(paused);
    }

    async fn next(&mut self) -> SourceEvent {
        let deadline = self.clock.now().after(IDLE_AFTER);
        loop {
            if let Some(event) = self.mailbox.take() {
                return event;
            }
            if self.mailbox.is_reader_gone() && !self.told_reader_gone {
                self.told_reader_gone = true;
                return SourceEvent::Trouble(SourceError::Fatal {
                    cause: format!("reading of topic {:?} at {} has ended", self.place.topic, self.place.brokers),
                    next_step: "PAUSE and RESUME the pipeline, and report the log's last lines".to_owned(),
                });
            }
            tokio::select! {
                biased;
                () = self.mailbox.news() => {}
                () = self.clock.sleep_until(deadline) => return self.mailbox.take().unwrap_or(SourceEvent::Idle),
            }
        }
    }

    fn queue_bytes_max(&self) -> u64 {
        self.queue_bytes
    }

    fn queue_bytes(&self) -> u64 {
        self.mailbox.bytes()
    }
}

impl Drop for KafkaTopicSource {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl fmt::Debug for KafkaTopicSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTopicSource").field("place", &self.place).finish_non_exhaustive()
    }
}
