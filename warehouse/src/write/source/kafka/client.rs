//! What our librdkafka clients do with their own log lines and errors: into `tracing`, and the last error kept, because
//! librdkafka answers a question that fails with "timed out" and says why somewhere else.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The context of every client of ours.
#[derive(Debug, Default)]
pub(super) struct OurClient {
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl OurClient {
    /// The last error. It stays until a question is answered: librdkafka says an error that repeats itself only once.
    pub(super) fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the last error.
    pub(super) fn forget_error(&self) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for OurClient {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        trace_line(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows the reason that they are, and says less.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for OurClient {}

/// One line of librdkafka's log. What needs a person is told as an error by whoever asked; here it is for looking closer.
pub(super) fn trace_line(level: i32, facility: &str, text: &str) {
    if level >= RDKafkaLogLevel::Debug as i32 {
        tracing::trace!(target: "librdkafka", facility, "{text}");
    } else {
        tracing::debug!(target: "librdkafka", facility, level, "{text}");
    }
}
