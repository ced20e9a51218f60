//! A disk in memory with the vices of a real one: it forgets what was not synced, tears, fills up, and fails. For tests and
//! the simulation; the vices are scripted, never random by themselves.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::sync::watch;

use crate::{Disk, DiskEntry, DiskError, DiskFile, FileView};

/// What a crash leaves of the bytes that were appended to each file and not yet synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing.
    Lost,
    /// All of them: the kernel happened to have written them.
    Kept,
    /// The first so many.
    Torn(usize),
    /// All of them but for the first so many, which read as zeros: pages are not written in order.
    Hole(usize),
    /// Their number, with bytes drawn from the seed.
    Garbage(u64),
}

/// A [`Disk`] in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, StoredFile>,
    /// Raised by each crash, so that what ran before it can no longer reach the disk.
    life: u64,
    steps: u64,
    steps_left: Option<u64>,
    syncs: u64,
    failing_sync: Option<u64>,
    capacity: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct StoredFile {
    bytes: Vec<u8>,
    synced: usize,
    /// From here on a failed sync has lost bytes; a later sync that reports success does not bring them back.
    lost_from: Option<usize>,
}

/// Holds syncs back, so that a test can look at what happens meanwhile.
#[derive(Debug, Default)]
struct Gate {
    closed: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl MemoryDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The power fails and comes back: of unsynced bytes only `unsynced` is left, all scripted faults are over, and file
    /// handles from before fail.
    pub fn crash(&self, unsynced: Unsynced) {
        let mut state = self.state();
        state.life += 1;
        (state.steps_left, state.failing_sync) = (None, None);
        for file in state.files.values_mut() {
            file.lose(unsynced);
        }
        drop(state);
        self.release_syncs();
    }

    /// What a power loss now would leave, with no unsynced byte, as a disk of its own; this one goes on.
    pub fn after_power_loss(&self) -> Self {
        let files = self.state().files.clone();
        let left = Self { state: Arc::new(Mutex::new(State { files, ..State::default() })), gate: Arc::default() };
        left.crash(Unsynced::Lost);
        left
    }

    /// Lets `steps` more operations happen; all after them fail without effect, as if the power were gone, until a
    /// [`MemoryDisk::crash`].
    pub fn stop_after(&self, steps: u64) {
        self.state().steps_left = Some(steps);
    }

    /// Lets the `nth` sync from now on (1 is the next) fail and lose the bytes that it should have made durable.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state();
        state.failing_sync = Some(state.syncs + nth);
    }

    /// Limits the bytes of all files together. An append that does not fit leaves the part that did, and fails.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Holds every sync until [`MemoryDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.gate.closed.send_replace(true);
    }

    /// Lets the held syncs, and all later ones, go on.
    pub fn release_syncs(&self) {
        self.gate.closed.send_replace(false);
    }

    /// Returns once a sync is being held.
    pub async fn sync_is_held(&self) {
        let mut waiting = self.gate.waiting.subscribe();
        waiting.wait_for(|count| *count > 0).await.expect("the gate lives as long as the disk");
    }

    /// How many syncs of files there were.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How many operations there were that change the disk.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// A file's bytes, synced or not.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.state().files.get(name).map(|file| file.bytes.clone())
    }

    /// Puts a durable file there, in place of any of that name: for damage and fixtures.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let file = StoredFile { synced: bytes.len(), bytes, lost_from: None };
        self.state().files.insert(name.to_owned(), file);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One operation that changes the disk: fails once the power is gone.
    fn step(&mut self) -> io::Result<()> {
        match &mut self.steps_left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.steps += 1;
        Ok(())
    }

    fn free(&self) -> u64 {
        let used: u64 = self.files.values().map(|file| file.bytes.len() as u64).sum();
        self.capacity.unwrap_or(1 << 40).saturating_sub(used)
    }

    fn file(&mut self, name: &str) -> io::Result<&mut StoredFile> {
        self.files.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str) -> io::Result<u64> {
        self.step()?;
        if self.files.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if self.free() == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.files.insert(name.to_owned(), StoredFile::default());
        Ok(self.life)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let room = usize::try_from(self.free()).unwrap_or(usize::MAX).min(bytes.len());
        self.file(name)?.bytes.extend_from_slice(&bytes[..room]);
        if room < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, name: &str, bytes: usize) -> io::Result<()> {
        self.step()?;
        let file = self.file(name)?;
        file.bytes.resize(bytes, 0);
        file.synced = bytes;
        Ok(())
    }

    fn finish_sync(&mut self, name: &str, through: usize) -> io::Result<()> {
        self.step()?;
        self.syncs += 1;
        let fails = self.failing_sync == Some(self.syncs);
        let file = self.file(name)?;
        if fails {
            file.lost_from.get_or_insert(file.synced);
            return Err(io::Error::other("the device lost a write"));
        }
        file.synced = file.synced.max(through.min(file.lost_from.unwrap_or(usize::MAX)).min(file.bytes.len()));
        Ok(())
    }
}

impl StoredFile {
    fn lose(&mut self, unsynced: Unsynced) {
        let tail = self.bytes.len() - self.synced;
        match unsynced {
            Unsynced::Lost => self.bytes.truncate(self.synced),
            Unsynced::Kept => {}
            Unsynced::Torn(kept) => self.bytes.truncate(self.synced + kept.min(tail)),
            Unsynced::Hole(lost) => self.bytes[self.synced..][..lost.min(tail)].fill(0),
            Unsynced::Garbage(seed) => StdRng::seed_from_u64(seed).fill_bytes(&mut self.bytes[self.synced..]),
        }
        (self.synced, self.lost_from) = (self.bytes.len(), None);
    }
}

#[async_trait]
impl Disk for MemoryDisk {
    async fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        let life = self.state().create(name).map_err(|source| failed("create", name, source))?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), name: name.to_owned(), life }))
    }

    async fn view(&self, name: &str) -> Result<FileView, DiskError> {
        let mut state = self.state();
        let file = state.file(name).map_err(|source| failed("open", name, source))?;
        Ok(Bytes::copy_from_slice(&file.bytes).into())
    }

    async fn list(&self) -> Result<Vec<DiskEntry>, DiskError> {
        let entry =
            |(name, file): (&String, &StoredFile)| DiskEntry { name: name.clone(), bytes: file.bytes.len() as u64 };
        Ok(self.state().files.iter().map(entry).collect())
    }

    async fn truncate(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        let bytes = usize::try_from(bytes).expect("a length within memory");
        self.state().truncate(name, bytes).map_err(|source| failed("truncate", name, source))
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.step().map_err(|source| failed("remove", name, source))?;
        state.files.remove(name);
        Ok(())
    }

    async fn free_bytes(&self) -> Result<u64, DiskError> {
        Ok(self.state().free())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    name: String,
    life: u64,
}

impl MemoryFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life { Ok(state) } else { Err(io::Error::other("the handle is from before the crash")) }
    }
}

#[async_trait]
impl DiskFile for MemoryFile {
    async fn append(&self, bytes: Bytes) -> Result<(), DiskError> {
        let result = self.state().and_then(|mut state| state.append(&self.name, &bytes));
        result.map_err(|source| failed("append to", &self.name, source))
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let failed = |source| failed("sync", &self.name, source);
        // What is appended from here on is not this call's business, however long it is held.
        let through = self.state().and_then(|mut state| Ok(state.file(&self.name)?.bytes.len())).map_err(failed)?;
        let mut closed = self.disk.gate.closed.subscribe();
        let was_held = *closed.borrow();
        self.disk.gate.waiting.send_modify(|count| *count += usize::from(was_held));
        closed.wait_for(|closed| !closed).await.expect("the gate lives as long as the disk");
        self.disk.gate.waiting.send_modify(|count| *count -= usize::from(was_held));
        self.state().and_then(|mut state| state.finish_sync(&self.name, through)).map_err(failed)
    }
}

fn failed(operation: &'static str, name: &str, source: io::Error) -> DiskError {
    DiskError { operation, path: PathBuf::from(name), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNCED: &[u8] = b"synced";

    async fn disk_with_unsynced_tail() -> (MemoryDisk, Arc<dyn DiskFile>) {
        let disk = MemoryDisk::new();
        let file = disk.create("f").await.expect("a new name");
        file.append(Bytes::from_static(SYNCED)).await.expect("room");
        file.sync().await.expect("no fault");
        file.append(Bytes::from_static(b"+tail")).await.expect("room");
        (disk, file)
    }

    #[tokio::test]
    async fn a_disk_in_memory_keeps_the_contract() {
        crate::contract::check_disk(&MemoryDisk::new()).await;
    }

    #[tokio::test]
    async fn a_crash_keeps_what_was_synced_and_what_is_said_of_the_rest() {
        let cases: [(Unsynced, &[u8]); 4] = [
            (Unsynced::Lost, b"synced"),
            (Unsynced::Kept, b"synced+tail"),
            (Unsynced::Torn(2), b"synced+t"),
            (Unsynced::Hole(2), b"synced\0\0ail"),
        ];
        for (unsynced, left) in cases {
            let (disk, file) = disk_with_unsynced_tail().await;
            disk.crash(unsynced);
            assert_eq!(disk.contents("f").as_deref(), Some(left), "{unsynced:?}");
            file.append(Bytes::from_static(b"!")).await.expect_err("the process that held the file is dead");
        }
        let (disk, _file) = disk_with_unsynced_tail().await;
        disk.crash(Unsynced::Garbage(1));
        let left = disk.contents("f").expect("its name is durable");
        assert!(left.starts_with(SYNCED) && left.len() == SYNCED.len() + 5 && !left.ends_with(b"+tail"));
    }

    #[tokio::test]
    async fn what_a_power_loss_would_leave_is_known_before_it_comes() {
        let (disk, file) = disk_with_unsynced_tail().await;
        let left = disk.after_power_loss();
        file.append(Bytes::from_static(b"!")).await.expect("the disk itself goes on");
        assert_eq!(left.contents("f").as_deref(), Some(SYNCED));
        assert_eq!(disk.contents("f").as_deref(), Some(b"synced+tail!".as_slice()));
    }

    #[tokio::test]
    async fn what_a_failed_sync_lost_is_not_saved_by_a_later_one() {
        let (disk, file) = disk_with_unsynced_tail().await;
        disk.fail_sync(1);
        file.sync().await.expect_err("scripted");
        file.sync().await.expect("the kernel reports a lost write once");
        disk.crash(Unsynced::Lost);
        assert_eq!(disk.contents("f").as_deref(), Some(SYNCED));
    }

    #[tokio::test]
    async fn a_full_disk_takes_what_fits_and_says_so() {
        let (disk, file) = disk_with_unsynced_tail().await;
        disk.set_capacity(Some(14));
        let full = file.append(Bytes::from_static(b"12345")).await.expect_err("3 bytes are free");
        assert!(full.is_full());
        assert_eq!(disk.contents("f").as_deref(), Some(b"synced+tail123".as_slice()));
        assert_eq!(disk.free_bytes().await.expect("it answers"), 0);
    }

    #[tokio::test]
    async fn after_the_power_is_gone_nothing_changes() {
        let (disk, file) = disk_with_unsynced_tail().await;
        disk.stop_after(1);
        file.append(Bytes::from_static(b"1")).await.expect("the one step left");
        file.append(Bytes::from_static(b"2")).await.expect_err("the power is gone");
        file.sync().await.expect_err("the power is gone");
        disk.remove("f").await.expect_err("the power is gone");
        disk.crash(Unsynced::Kept);
        assert_eq!(disk.contents("f").as_deref(), Some(b"synced+tail1".as_slice()));
    }
}
