//! Draws from a seed. Every choice of a history comes from here, so that a history follows from its seed alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// A sequence of draws. Clones go on in the same sequence.
#[derive(Clone, Debug)]
pub struct Draw(Arc<Mutex<StdRng>>);

impl Draw {
    /// The sequence of a seed and of what it is for: what one part of a history draws does not shift what another does.
    pub fn new(seed: u64, of: &str) -> Self {
        let mixed = of.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        });
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(mixed))))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// 64 random bits.
    pub fn bits(&self) -> u64 {
        self.with(|random| random.next_u64())
    }

    /// A number of `from..to`.
    pub fn number(&self, from: u64, to: u64) -> u64 {
        self.with(|random| random.random_range(from..to))
    }

    /// An index below `length`.
    pub fn index(&self, length: usize) -> usize {
        self.with(|random| random.random_range(0..length))
    }

    /// Whether something happens that happens `permille` times in a thousand.
    pub fn happens(&self, permille: u32) -> bool {
        permille > 0 && self.with(|random| random.random_range(0..1_000) < permille)
    }

    /// One of these.
    pub fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// A time of `from..to` milliseconds, to the microsecond.
    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.number(from * 1_000, to * 1_000))
    }
}
