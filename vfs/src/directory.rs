//! Making directory entries durable. A file whose data is synced but whose name is not can be gone after a power loss.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Makes the names in `directory` durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates `directory` and its missing parents; the names of those that it made are durable when it returns.
pub(crate) fn create_all(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent_of(directory) {
        create_all(parent)?;
    }
    create(directory)
}

/// Creates `directory` if it is missing, and makes its name durable either way: whoever made it may have died before doing so.
pub(crate) fn create(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(parent_of(directory).unwrap_or(Path::new(".")))
}

fn parent_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}
