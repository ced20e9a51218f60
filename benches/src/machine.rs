//! What the machine is, and how fast it was at that moment: a probe of memory and of the disk stands beside each result, so
//! that two of them can be compared, or one thrown out.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use serde_json::{Value, json};

use crate::report::quantile;

const COPY_BYTES: usize = 64 << 20;
const COPIES: u32 = 8;
const SYNCS: usize = 50;

/// The machine, at one moment.
pub(crate) struct Machine {
    model: String,
    cores: usize,
    load: String,
    memcpy_ns: f64,
    sync_p50: Duration,
    sync_p99: Duration,
}

impl Machine {
    /// Looks at it, and at the disk of `directory`.
    pub(crate) fn probe(directory: &Path) -> anyhow::Result<Self> {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let info = text("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
        let mut syncs = syncs(directory)?;
        syncs.sort_unstable();
        Ok(Self {
            model: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: text("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            memcpy_ns: memcpy(),
            sync_p50: quantile(&syncs, 0.5),
            sync_p99: quantile(&syncs, 0.99),
        })
    }

    /// One line.
    pub(crate) fn describe(&self) -> String {
        format!(
            "machine: {}, {} cores, load {}; memcpy {:.2} ns/byte; fdatasync p50 {:.1} ms, p99 {:.1} ms",
            self.model,
            self.cores,
            self.load,
            self.memcpy_ns,
            self.sync_p50.as_secs_f64() * 1e3,
            self.sync_p99.as_secs_f64() * 1e3
        )
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "model": self.model,
            "cores": self.cores,
            "load": self.load,
            "memcpy_ns_per_byte": self.memcpy_ns,
            "fdatasync_p50_ms": self.sync_p50.as_secs_f64() * 1e3,
            "fdatasync_p99_ms": self.sync_p99.as_secs_f64() * 1e3,
        })
    }
}

fn memcpy() -> f64 {
    let (from, mut to) = (vec![1_u8; COPY_BYTES], vec![0_u8; COPY_BYTES]);
    let start = ThreadTime::now();
    for _ in 0..COPIES {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
    start.elapsed().as_nanos() as f64 / (f64::from(COPIES) * COPY_BYTES as f64)
}

fn syncs(directory: &Path) -> anyhow::Result<Vec<Duration>> {
    let path = directory.join("probe");
    let mut file = File::create(&path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(took)
}
