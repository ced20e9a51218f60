//! The data directory of one process: who may use it, and what lies where.
//!
//! ```text
//! LOCK            held by the running process
//! node            this node's lasting name: by it the process knows its own write-ahead log again
//! catalog.redb    the embedded catalog
//! wal/            segments of the write-ahead log
//! objects/        parts
//! spill/          what queries spill; emptied at the start
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context;
use catalog::NodeId;
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
        self.path.join("catalog.redb")
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

/// Reads the node's name, or makes one. Written beside and renamed, so that a kill leaves a whole name or none.
fn node_id(path: &Path, random: &dyn Random) -> anyhow::Result<NodeId> {
    let file = path.join("node");
    match std::fs::read_to_string(&file) {
        Ok(name) if !name.trim().is_empty() => return Ok(NodeId(name.trim().to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
    let name = format!("node-{:016x}", random.next_u64());
    let beside = path.join("node.new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&beside, &name)?;
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(&beside, &file)?;
        std::fs::File::open(path)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))?;
    Ok(NodeId(name))
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
