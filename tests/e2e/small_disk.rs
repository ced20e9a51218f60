//! A disk so small that it can be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use millrace_tests::{ServerOptions, ServerProcess};
use tempfile::TempDir;

use crate::stage::{BINARY, Stage};

/// A file system in memory, so small that it can be filled.
pub struct SmallDisk {
    pub path: PathBuf,
}

impl SmallDisk {
    /// `None`, and the reason is printed, where this process may not mount one.
    pub fn mount(directory: &Path) -> Option<Self> {
        let path = directory.join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { path });
        }
        println!("skipped: no small disk (this process may not mount a tmpfs)");
        None
    }

    /// Writes until this many bytes are left, or none; what is removed to make room again.
    pub fn fill(&self, left: usize) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        let block = vec![1; 64 << 10];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left as u64)).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a killed server's files may still be open for a moment.
        drop(Command::new("umount").arg("-l").arg(&self.path).output());
    }
}

/// A server on it, with limits that fit it.
pub async fn stage_on(disk: &SmallDisk, directory: TempDir) -> Stage {
    let mut options = ServerOptions::new(BINARY, &disk.path.join("data"))
        .with("wal.segment_bytes", "1MiB")
        .with("wal.bytes_max", "8MiB")
        .with("wal.disk_reserve", "8MiB");
    options.log = disk.path.with_extension("log");
    let server = ServerProcess::start(&options).await.unwrap();
    let sql = server.sql().await.unwrap();
    Stage { options, server, sql, directory }
}
