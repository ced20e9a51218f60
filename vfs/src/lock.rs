//! One process per data directory: an advisory lock that the kernel drops when its holder dies, however it dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{LockError, directory};

const FILE_NAME: &str = "LOCK";

/// The right to use a data directory, held until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: PathBuf,
    // Closing the file lets the lock go. The file itself stays: removing it would let two processes lock two files of one name.
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `directory`, which is created if it is missing.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: directory.to_owned(), source };
        directory::create_all(directory).map_err(failed)?;
        let path = directory.join(FILE_NAME);
        // Not truncated on opening: until the lock is ours, what is written there is its holder's.
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path: directory.to_owned(), holder: holder_of(&path) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { directory: directory.to_owned(), _file: file })
    }

    /// The directory that is locked.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The process id in the lock file: a courtesy to the reader of the error, absent while the holder is still writing it.
fn holder_of(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_has_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lock = DirectoryLock::acquire(&directory.path().join("data")).expect("nobody has it");
        let refused = DirectoryLock::acquire(lock.directory()).expect_err("it is held");
        let message = refused.to_string();
        assert!(matches!(refused, LockError::Held { holder: Some(pid), .. } if pid == std::process::id()), "{message}");
        assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
    }

    #[test]
    fn dropping_the_lock_lets_the_next_one_in() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        drop(DirectoryLock::acquire(directory.path()).expect("nobody has it"));
        DirectoryLock::acquire(directory.path()).expect("it was let go");
    }
}
