//! Bytes as they come to whole lines with their numbers. A carriage return before the line's end belongs to the end.

use super::{LINE_BYTES_MAX, LoadError};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    number: u64,
}

impl Lines {
    /// Gives each line that is whole by now to `take`, with its number from 1 on.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(u64, &[u8]) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&bytes[..end], &bytes[end + 1..]);
            self.number += 1;
            if self.rest.is_empty() {
                take(self.number, without_return(line))?;
            } else {
                self.rest.extend_from_slice(line);
                take(self.number, without_return(&self.rest))?;
                self.rest.clear();
            }
            bytes = after;
        }
        self.rest.extend_from_slice(bytes);
        match self.rest.len() > LINE_BYTES_MAX {
            true => Err(LoadError::at(self.number + 1, format!("the line has more than {LINE_BYTES_MAX} bytes"))),
            false => Ok(()),
        }
    }

    /// The last line, where it does not end in a line's end.
    pub(super) fn finish(&mut self, take: impl FnOnce(u64, &[u8]) -> Result<(), LoadError>) -> Result<(), LoadError> {
        let last = std::mem::take(&mut self.rest);
        match last.is_empty() {
            true => Ok(()),
            false => take(self.number + 1, without_return(&last)),
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
