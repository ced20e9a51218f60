//! The three seams that nearly everything needs, passed as one value.

use std::sync::Arc;

use crate::{Clock, Compute, OsRandom, Random, SystemClock, ThreadPool};

/// Clock, randomness and threads of one process.
#[derive(Clone, Debug)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Threads for heavy computing.
    pub compute: Arc<dyn Compute>,
}

impl World {
    /// The real world.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(OsRandom), compute: Arc::new(ThreadPool) }
    }
}
