//! The measures: CPU time of this process and of the calling thread, wall time, and resident memory.

use std::time::{Duration, Instant};

use anyhow::Context;
use cpu_time::ProcessTime;

/// What something took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// CPU time of this process.
    pub(crate) cpu: Duration,
    /// Wall time.
    pub(crate) wall: Duration,
}

impl Cost {
    /// Nanoseconds of CPU for each of `bytes`.
    pub(crate) fn ns_per_byte(&self, bytes: u64) -> f64 {
        self.cpu.as_nanos() as f64 / bytes as f64
    }

    /// `bytes` by wall time, in millions a second.
    pub(crate) fn wall_mb(&self, bytes: u64) -> f64 {
        bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }
}

/// A running measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    cpu: ProcessTime,
    wall: Instant,
}

impl Meter {
    /// From now on.
    pub(crate) fn start() -> Self {
        Self { cpu: ProcessTime::now(), wall: Instant::now() }
    }

    /// What was taken since.
    pub(crate) fn read(&self) -> Cost {
        Cost { cpu: self.cpu.elapsed(), wall: self.wall.elapsed() }
    }
}

/// Resident memory of this process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// At this moment.
    pub(crate) now: u64,
    /// The most since the last [`forget_peak`].
    pub(crate) peak: u64,
}

/// Reads it.
pub(crate) fn resident() -> anyhow::Result<Resident> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read this process's memory")?;
    let kilobytes = |name: &str| -> anyhow::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.split_whitespace().next().context("a number")?.parse::<u64>()? * 1024)
    };
    Ok(Resident { now: kilobytes("VmRSS:")?, peak: kilobytes("VmHWM:")? })
}

/// Begins to look for the peak anew.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak of this process's memory")
}
