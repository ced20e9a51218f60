//! The file: its tables, its format, how it is opened and checked, and what `redb`'s errors mean to a caller.

use std::fs::File;
use std::path::Path;

use ::redb::backends::FileBackend;
use ::redb::{Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableDefinition, TableHandle};
use rustix::fs::{FallocateFlags, fallocate};

use super::super::StoreError;
use super::patient::{Patience, Patient};

/// Every entry of the store.
pub(super) const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// Facts about the file itself, as numbers.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// In [`META`]: how many commits there have been, which is the last one's version.
pub(super) const COMMITS: &str = "commits";
/// In [`META`]: which version of these tables' meaning the file has.
const FORMAT: &str = "format";
/// The one that this program writes.
const FORMAT_VERSION: u64 = 1;
/// How much of the file is kept in memory.
const CACHE_BYTES: usize = 64 << 20;
/// Room on the disk that the file takes for itself beyond what it has, in bytes.
const ROOM_BYTES: u64 = 8 << 20;

/// Opens or makes the file at `path`, and checks that its content is what was written.
pub(super) fn open(path: &Path, patience: &Patience) -> Result<(Database, Option<Room>), StoreError> {
    let place = path.display().to_string();
    let made = !path.exists();
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file =
        file.map_err(DatabaseError::from).and_then(FileBackend::new).map_err(|error| from_open(&place, error))?;
    let database = open_on(file, &place, patience)?;
    let room = Room::of(path);
    if made {
        sync_directory(path)
            .map_err(|error| StoreError::Unavailable { cause: format!("sync the directory of {place}: {error}") })?;
    }
    Ok((database, room))
}

/// The same on any storage.
pub(super) fn open_on(storage: impl StorageBackend, place: &str, patience: &Patience) -> Result<Database, StoreError> {
    let storage = Patient::new(storage, patience);
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(storage);
    prepare(opened.map_err(|error| from_open(place, error))?, place)
}

/// Room on the disk ahead of what is written. Intake stops before a disk is full, but what is in memory then is still to be committed,
/// and other programs fill disks too: without it every commit would wait until there is room again.
#[derive(Debug)]
pub(super) struct Room {
    file: File,
    /// How far the file has room, in bytes.
    until: u64,
}

impl Room {
    fn of(path: &Path) -> Option<Self> {
        let opened = File::options().write(true).open(path);
        let file =
            opened.inspect_err(|error| tracing::debug!(store = %path.display(), %error, "no room is taken ahead"));
        let mut room = Self { file: file.ok()?, until: 0 };
        room.keep();
        Some(room)
    }

    /// Takes more where the file has grown into what it had. A disk that is full then has none to give: the file goes on with what is left.
    pub(super) fn keep(&mut self) {
        let Ok(bytes) = self.file.metadata().map(|of| of.len()) else { return };
        if self.until >= bytes + ROOM_BYTES / 2 {
            return;
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, bytes + ROOM_BYTES) {
            Ok(()) => self.until = bytes + ROOM_BYTES,
            Err(error) => tracing::debug!(%error, "no room was taken ahead for the catalog's file"),
        }
    }
}

/// The file's name must outlive a power cut as its content does.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn prepare(mut database: Database, place: &str) -> Result<Database, StoreError> {
    let commits_before = commits(&database);
    // Reads the whole file: a damaged page is found here and named, rather than met in the middle of a query.
    let intact = database.check_integrity().map_err(|error| from_open(place, error))?;
    if !intact && commits_before.ok() != commits(&database).ok() {
        let detail = "its newest commits were lost, and an older state was found in their place".to_owned();
        return Err(StoreError::Damaged { place: place.to_owned(), detail });
    }
    if !intact {
        tracing::warn!(
            store = place,
            "the bookkeeping of free pages was wrong and has been rebuilt; no entry was lost"
        );
    }
    let failed = |error: ::redb::Error| from_redb(place, error);
    let write = database.begin_write().map_err(|error| failed(error.into()))?;
    let tables: Vec<String> =
        write.list_tables().map_err(|error| failed(error.into()))?.map(|table| table.name().to_owned()).collect();
    if tables.is_empty() {
        let mut meta = write.open_table(META).map_err(|error| failed(error.into()))?;
        meta.insert(FORMAT, FORMAT_VERSION).map_err(|error| failed(error.into()))?;
        meta.insert(COMMITS, 0).map_err(|error| failed(error.into()))?;
        drop(meta);
        write.open_table(ENTRIES).map_err(|error| failed(error.into()))?;
        write.commit().map_err(|error| failed(error.into()))?;
        return Ok(database);
    }
    write.abort().map_err(|error| failed(error.into()))?;
    match number(&database, FORMAT) {
        Ok(Some(FORMAT_VERSION)) => Ok(database),
        Ok(Some(other)) => Err(StoreError::Damaged {
            place: place.to_owned(),
            detail: format!("its format is {other}, and this program knows format {FORMAT_VERSION}"),
        }),
        Ok(None) | Err(_) => {
            let detail = "it is a redb file of another program".to_owned();
            Err(StoreError::Damaged { place: place.to_owned(), detail })
        }
    }
}

/// The version of the last commit in the file.
pub(super) fn commits(database: &Database) -> Result<u64, ::redb::Error> {
    Ok(number(database, COMMITS)?.unwrap_or(0))
}

fn number(database: &Database, name: &str) -> Result<Option<u64>, ::redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(name)?.map(|number| number.value())),
        Err(::redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn from_open(place: &str, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { place: place.to_owned() },
        DatabaseError::UpgradeRequired(version) => StoreError::Damaged {
            place: place.to_owned(),
            detail: format!("it was written in the old file format {version}"),
        },
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Damaged { place: place.to_owned(), detail: error.to_string() }
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            StoreError::Damaged { place: place.to_owned(), detail: "it ends too early".to_owned() }
        }
        other => from_redb(place, other.into()),
    }
}

/// What an error of an open file means, as long as no commit is at stake.
pub(super) fn from_redb(place: &str, error: ::redb::Error) -> StoreError {
    match error {
        ::redb::Error::Corrupted(detail) => StoreError::Damaged { place: place.to_owned(), detail },
        ::redb::Error::DatabaseClosed => StoreError::Closed { cause: "it was closed in good order".to_owned() },
        ::redb::Error::PreviousIo => StoreError::Closed { cause: format!("an earlier operation on {place} failed") },
        other => StoreError::Unavailable { cause: format!("{place}: {other}") },
    }
}
