//! The data directory of one process: who may use it, and what lies where.
//!
//! ```text
//! LOCK            held by the running process
//! node            this node's lasting name: by it the process knows its own write-ahead log again
//! catalog         which catalog the write-ahead log is of
//! catalog.redb    the embedded catalog, unless another is named
//! wal/            segments of the write-ahead log
//! wal-of-era-N/   those of before the catalog was copied or restored
//! objects/        parts, unless another object store is named
//! spill/          what queries spill; emptied at the start
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context;
use catalog::{CatalogIdentity, NodeId};
use vfs::{DirectoryLock, Random};

/// A data directory that this process has to itself.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// This node's lasting name.
    pub node: NodeId,
    _lock: DirectoryLock,
}

impl DataDir {
    /// Makes the directory if it is not there, and takes it.
    ///
    /// # Errors
    /// If another process has it, or it cannot be made or read.
    pub fn open(path: &Path, random: &dyn Random) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make the data directory {}", path.display()))?;
        let lock = DirectoryLock::acquire(path)?;
        let data_dir = Self { path: path.to_owned(), node: node_id(path, random)?, _lock: lock };
        let spill = data_dir.spill();
        if spill.exists() {
            std::fs::remove_dir_all(&spill).with_context(|| format!("cannot empty {}", spill.display()))?;
        }
        std::fs::create_dir_all(&spill).with_context(|| format!("cannot make {}", spill.display()))?;
        Ok(data_dir)
    }

    /// The embedded catalog's file.
    pub fn catalog(&self) -> PathBuf {
        Self::catalog_in(&self.path)
    }

    /// The embedded catalog's file in a data directory that nobody needs to have.
    pub fn catalog_in(path: &Path) -> PathBuf {
        path.join("catalog.redb")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which catalog its write-ahead log is of; `None` where nobody has noted it.
    ///
    /// # Errors
    /// If the note cannot be read.
    pub fn belongs_to(&self) -> anyhow::Result<Option<CatalogIdentity>> {
        let file = self.path.join("catalog");
        let Some(text) = read_line(&file)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("cannot understand {}", file.display()))
    }

    /// Notes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn belong_to(&self, catalog: &CatalogIdentity) -> anyhow::Result<()> {
        write_line(&self.path.join("catalog"), &serde_json::to_string(catalog)?)
    }

    /// Whether a server has worked in it.
    pub fn is_used(&self) -> bool {
        let has_segments = std::fs::read_dir(self.wal()).is_ok_and(|mut entries| entries.next().is_some());
        has_segments || self.catalog().exists()
    }

    /// Puts a write-ahead log where nobody replays it.
    ///
    /// # Errors
    /// If it cannot be moved; the message says what to do.
    pub fn set_log_aside(&self, era: u32) -> anyhow::Result<()> {
        let name = |number: u32| match number {
            1 => self.path.join(format!("wal-of-era-{era}")),
            _ => self.path.join(format!("wal-of-era-{era}.{number}")),
        };
        let aside = (1..).map(name).find(|path| !path.exists()).context("every name is taken")?;
        match std::fs::rename(self.wal(), &aside) {
            Ok(()) => {
                tracing::warn!(
                    "the catalog was copied or restored: the write-ahead log of before is set aside as {}. What it held beyond the last \
                     commit is fetched from Kafka again; it may be deleted",
                    aside.display()
                );
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "the catalog was copied or restored, and the write-ahead log of before cannot be set aside: empty {} by hand",
                    self.wal().display()
                )
            }),
        }
    }

    /// The write-ahead log's directory.
    pub fn wal(&self) -> PathBuf {
        self.path.join("wal")
    }

    /// The parts' directory.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Where queries spill.
    pub fn spill(&self) -> PathBuf {
        self.path.join("spill")
    }
}

/// Reads the node's name, or makes one.
fn node_id(path: &Path, random: &dyn Random) -> anyhow::Result<NodeId> {
    let file = path.join("node");
    if let Some(name) = read_line(&file)? {
        return Ok(NodeId(name));
    }
    let name = format!("node-{:016x}", random.next_u64());
    write_line(&file, &name)?;
    Ok(NodeId(name))
}

/// The text of a small file; `None` where there is none.
fn read_line(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes a small file beside its place and renames it, so that a kill leaves a whole text or none.
fn write_line(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&beside, text)?;
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(&beside, file)?;
        std::fs::File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use vfs::SeededRandom;

    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_a_second_process_is_told_who_has_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let random = SeededRandom::new(1);
        let first = DataDir::open(directory.path(), &random).unwrap();
        let error = DataDir::open(directory.path(), &random).unwrap_err().to_string();
        assert!(error.contains("in use by another process"), "{error}");
        let name = first.node.clone();
        drop(first);
        assert_eq!(DataDir::open(directory.path(), &random).unwrap().node, name);
    }
}
