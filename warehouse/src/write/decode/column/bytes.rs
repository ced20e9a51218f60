//! Columns of bytes. JSON has none: they come in base64, as Kafka Connect, Debezium and most JSON libraries write them.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use catalog::ColumnType;

use super::super::reason::{BadValue, ErrorReason, quoted};
use super::buffer::Blobs;
use super::number::buffer;
use super::sink::{Sink, Written};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Either alphabet, with or without padding: producers differ in these.
const BASE64: [GeneralPurpose; 2] = [GeneralPurpose::new(&STANDARD, LENIENT), GeneralPurpose::new(&URL_SAFE, LENIENT)];

/// How long a column's values may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Room {
    /// The most bytes.
    bytes_max: Option<u32>,
    /// Whether shorter values are filled up with zeros.
    filled: bool,
}

impl Room {
    /// The room of a BINARY or VARBINARY; `None` for other types.
    pub(in super::super) fn of(kind: &ColumnType) -> Option<Self> {
        match kind {
            ColumnType::Binary { bytes } => Some(Self { bytes_max: Some(*bytes), filled: true }),
            ColumnType::VarBinary { bytes_max } => Some(Self { bytes_max: *bytes_max, filled: false }),
            _ => None,
        }
    }

    /// `bytes` as a value of the column.
    pub(in super::super) fn value<'a>(self, bytes: &'a [u8], kind: &str) -> Result<Cow<'a, [u8]>, BadValue> {
        let Some(max) = self.bytes_max.map(|max| max as usize) else { return Ok(Cow::Borrowed(bytes)) };
        if bytes.len() > max {
            let message = format!("a value of {} bytes is too long for {kind}", bytes.len());
            return Err(BadValue { reason: ErrorReason::TooLong, message });
        }
        if !self.filled || bytes.len() == max {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut filled = bytes.to_vec();
        filled.resize(max, 0);
        Ok(Cow::Owned(filled))
    }
}

/// BINARY(n), VARBINARY(n) and BLOB.
pub(in super::super) struct BytesColumn {
    pub(super) blobs: Blobs,
    pub(super) room: Room,
    pub(super) name: String,
}

impl Sink for BytesColumn {
    buffer!(blobs);

    fn name(&self) -> &str {
        &self.name
    }

    fn text(&mut self, text: &str) -> Written {
        let Some(bytes) = BASE64.iter().find_map(|alphabet| alphabet.decode(text).ok()) else {
            let message = format!("{} cannot become {}: it is not base64", quoted(text), self.name);
            return Err(BadValue { reason: ErrorReason::WrongType, message }.into());
        };
        let value = self.room.value(&bytes, &self.name)?;
        self.blobs.push(&value)
    }
}
