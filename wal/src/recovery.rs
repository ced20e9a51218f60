//! Opening: reads every segment, cuts what a crash tore, and refuses what is damaged.

use vfs::{Disk, FileView, World, planted};

use crate::fences::Fences;
use crate::ledger::Ledger;
use crate::replay::View;
use crate::scan::{Contents, Place, Scanned, scan};
use crate::{WalError, segment};

/// What was found on the disk.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<View>,
    pub(crate) fences: Fences,
    pub(crate) ledger: Ledger,
    /// Where the last segment ends; 0 if there is none.
    pub(crate) end: u64,
    /// The number of the segment to begin next. Nothing is ever appended to a segment of an earlier life.
    pub(crate) next_segment: u64,
}

/// Reads all segments. Afterwards every one on the disk is whole and durable.
pub(crate) async fn recover(disk: &dyn Disk, world: &World) -> Result<Recovered, WalError> {
    let entries = disk.list().await?;
    let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| segment::number_of(&entry.name)).collect();
    numbers.sort_unstable();
    let mut recovered = Recovered { next_segment: 1, ..Recovered::default() };
    for (index, number) in numbers.iter().copied().enumerate() {
        if index > 0 && number != recovered.next_segment {
            let (segment, reason) = (recovered.next_segment, "the file is missing, and a later one is there");
            return Err(WalError::Damaged { segment, at: 0, reason });
        }
        let place = Place { is_first: index == 0, is_last: index + 1 == numbers.len() };
        if let Some(view) = recover_segment(disk, world, number, place).await? {
            recovered.adopt(view)?;
        }
    }
    Ok(recovered)
}

impl Recovered {
    /// Takes a segment in, if the one before it ends where it says: else whole frames were cut from that.
    fn adopt(&mut self, view: View) -> Result<(), WalError> {
        if let (Some(View { number, contents, .. }), Some(before)) = (self.segments.last(), view.contents.before)
            && contents.end != before
        {
            let (at, reason) = (contents.end.min(before), "it does not end where the segment after it says");
            return Err(WalError::Damaged { segment: *number, at, reason });
        }
        self.end = view.contents.end;
        self.fences.raise_all(&view.contents.fences);
        self.ledger.adopt(view.number, &view.contents);
        self.next_segment = view.number + 1;
        self.segments.push(view);
        Ok(())
    }
}

async fn recover_segment(disk: &dyn Disk, world: &World, number: u64, place: Place) -> Result<Option<View>, WalError> {
    let name = segment::file_name(number);
    let bytes = disk.view(&name).await?;
    let length = bytes.len() as u64;
    let scanning = bytes.clone();
    match vfs::compute(&*world.compute, move || scan(number, &scanning, place)).await? {
        Scanned::NeverBegun => {
            drop(bytes);
            tracing::warn!(
                file = name,
                bytes = length,
                "a WAL segment whose beginning was cut short by a crash is removed"
            );
            disk.remove(&name).await?;
            Ok(None)
        }
        Scanned::Segment(contents) => {
            let bytes = match place.is_last {
                true => settle_tail(disk, &name, bytes, &contents).await?,
                false => bytes,
            };
            Ok(Some(View { number, bytes, contents }))
        }
    }
}

/// Cuts what follows the last whole frame, and makes the rest durable: the next segment makes this one the last but one, where
/// nothing may be torn. Also where nothing is: a process that was killed has left writes that no sync has covered, and a power loss
/// would take them from before the next segment.
async fn settle_tail(disk: &dyn Disk, name: &str, bytes: FileView, contents: &Contents) -> Result<FileView, WalError> {
    if planted::is("wal-torn-tail-left") {
        return Ok(bytes);
    }
    let lost = bytes.len() as u64 - contents.end;
    drop(bytes); // A file must not be cut under a view.
    if let Some(reason) = contents.torn {
        tracing::warn!(file = name, at = contents.end, bytes = lost, reason, "the torn tail of the WAL is cut");
    }
    disk.truncate(name, contents.end).await?;
    Ok(disk.view(name).await?)
}
