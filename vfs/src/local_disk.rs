//! A directory of the operating system behind the [`Disk`] seam. Every blocking call runs on tokio's blocking threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Disk, DiskEntry, DiskError, DiskFile, FileView, directory};

/// One directory of the local file system.
#[derive(Clone, Debug)]
pub struct LocalDisk {
    directory: Arc<Path>,
}

impl LocalDisk {
    /// The disk in `directory`, which is created, durably, if it is missing.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, DiskError> {
        let directory: PathBuf = directory.into();
        blocking("create the directory", directory.clone(), directory::create_all).await?;
        Ok(Self { directory: directory.into() })
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path_of(&self, name: &str) -> PathBuf {
        debug_assert!(!name.is_empty() && !name.contains('/') && name != ".." && name != ".", "a flat name: {name:?}");
        self.directory.join(name)
    }
}

#[async_trait]
impl Disk for LocalDisk {
    async fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        let path = self.path_of(name);
        let directory = self.directory.clone();
        let file = blocking("create", path.clone(), move |path| {
            let file = OpenOptions::new().append(true).create_new(true).open(path)?;
            directory::sync(&directory)?;
            Ok(file)
        })
        .await?;
        Ok(Arc::new(LocalFile { path, file: Arc::new(file) }))
    }

    async fn view(&self, name: &str) -> Result<FileView, DiskError> {
        blocking("open", self.path_of(name), |path| FileView::map(&File::open(path)?)).await
    }

    async fn list(&self) -> Result<Vec<DiskEntry>, DiskError> {
        blocking("list", self.directory.to_path_buf(), list_files).await
    }

    async fn truncate(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        blocking("truncate", self.path_of(name), move |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(bytes)?;
            file.sync_all()
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        let directory = self.directory.clone();
        blocking("remove", self.path_of(name), move |path| {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // Also after NotFound: an earlier attempt may have removed the name and died before this.
            directory::sync(&directory)
        })
        .await
    }

    async fn free_bytes(&self) -> Result<u64, DiskError> {
        blocking("ask the free space of", self.directory.to_path_buf(), |path| {
            let answer = rustix::fs::statvfs(path)?;
            Ok(answer.f_bavail.saturating_mul(answer.f_frsize)) // Not f_bfree: that counts what is kept for root.
        })
        .await
    }
}

fn list_files(directory: &Path) -> io::Result<Vec<DiskEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // Removed while we were listing.
            other => other?,
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            entries.push(DiskEntry { name, bytes: metadata.len() });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

#[derive(Debug)]
struct LocalFile {
    path: PathBuf,
    // Opened for appending, so that the kernel writes at the end as it is then, also after a truncation by name.
    file: Arc<File>,
}

#[async_trait]
impl DiskFile for LocalFile {
    async fn append(&self, bytes: Bytes) -> Result<(), DiskError> {
        let file = self.file.clone();
        blocking("append to", self.path.clone(), move |_| (&*file).write_all(&bytes)).await
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let file = self.file.clone();
        blocking("sync", self.path.clone(), move |_| file.sync_data()).await
    }
}

/// Runs `work` on a blocking thread, and gives its error the place and the name of the operation.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, DiskError> {
    let task = tokio::task::spawn_blocking(move || work(&path).map_err(|source| DiskError { operation, path, source }));
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down and did not start the work.
        Err(error) => Err(DiskError { operation, path: PathBuf::new(), source: io::Error::other(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_local_directory_keeps_the_contract() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = LocalDisk::open(directory.path().join("made/on/opening")).await.expect("it can be made");
        crate::contract::check_disk(&disk).await;
    }

    #[tokio::test]
    async fn an_error_names_the_operation_and_the_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = LocalDisk::open(directory.path()).await.expect("it is there");
        let error = disk.view("absent").await.expect_err("there is no such file");
        assert!(error.to_string().starts_with("open ") && error.to_string().contains("absent"), "{error}");
    }
}
