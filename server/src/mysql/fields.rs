//! The fields inside a payload: fixed-width integers, length-encoded integers and strings. Every read is checked.

use bytes::{BufMut, BytesMut};

use super::codec::CodecError;

/// The byte that stands for NULL in a text row.
pub const NULL: u8 = 0xFB;

const SHORT: CodecError = CodecError::Malformed("it ends before its last field");

/// Reads fields from the front of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// All of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left, which this takes.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The bytes before the next NUL, which is skipped; all that is left if there is none, as some clients end a packet.
    pub fn until_nul(&mut self) -> &'a [u8] {
        match self.rest.iter().position(|byte| *byte == 0) {
            Some(end) => {
                let taken = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                taken
            }
            None => self.rest(),
        }
    }

    /// A length-encoded integer.
    pub fn integer(&mut self) -> Result<u64, CodecError> {
        self.nullable_integer()?.ok_or(CodecError::Malformed("a length is NULL"))
    }

    /// A length-encoded string.
    pub fn string(&mut self) -> Result<&'a [u8], CodecError> {
        self.nullable_string()?.ok_or(CodecError::Malformed("a string is NULL"))
    }

    /// A length-encoded string or NULL.
    pub fn nullable_string(&mut self) -> Result<Option<&'a [u8]>, CodecError> {
        let Some(length) = self.nullable_integer()? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| SHORT)?;
        self.bytes(length).map(Some)
    }

    fn nullable_integer(&mut self) -> Result<Option<u64>, CodecError> {
        Ok(Some(match self.u8()? {
            NULL => return Ok(None),
            0xFC => u64::from(self.u16()?),
            0xFD => {
                let [low, middle, high] = self.array()?;
                u64::from(u32::from_le_bytes([low, middle, high, 0]))
            }
            0xFE => u64::from_le_bytes(self.array()?),
            0xFF => return Err(CodecError::Malformed("0xFF does not begin a length")),
            small => u64::from(small),
        }))
    }
}

/// Appends a length-encoded integer.
pub fn put_integer(out: &mut BytesMut, value: u64) {
    match value {
        0..0xFB => out.put_u8(value as u8),
        0xFB..0x1_0000 => {
            out.put_u8(0xFC);
            out.put_u16_le(value as u16);
        }
        0x1_0000..0x100_0000 => {
            out.put_u8(0xFD);
            out.put_uint_le(value, 3);
        }
        _ => {
            out.put_u8(0xFE);
            out.put_u64_le(value);
        }
    }
}

/// Appends a length-encoded string.
pub fn put_string(out: &mut BytesMut, value: &[u8]) {
    put_integer(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a string that ends with a NUL. A NUL inside would end it early for the reader, so the string is cut there.
pub fn put_nul_string(out: &mut BytesMut, value: &[u8]) {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    out.extend_from_slice(&value[..end]);
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_take_the_width_that_the_protocol_says() {
        for (value, width) in [(0, 1), (250, 1), (251, 3), (65_535, 3), (65_536, 4), (16_777_215, 4), (16_777_216, 9)] {
            let mut out = BytesMut::new();
            put_integer(&mut out, value);
            assert_eq!(out.len(), width, "{value}");
            assert_eq!(Fields::new(&out).integer().unwrap(), value);
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_an_error() {
        assert!(Fields::new(&[0xFE, 255, 255, 255, 255, 255, 255, 255, 255, 1]).string().is_err());
        assert!(Fields::new(&[5, b'a']).string().is_err());
        assert!(Fields::new(&[NULL]).string().is_err());
        assert!(Fields::new(&[0xFF]).integer().is_err());
    }

    proptest! {
        #[test]
        fn fields_come_back_as_written(number in any::<u64>(), text in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let mut out = BytesMut::new();
            put_integer(&mut out, number);
            put_string(&mut out, &text);
            let mut fields = Fields::new(&out);
            prop_assert_eq!(fields.integer().unwrap(), number);
            prop_assert_eq!(fields.string().unwrap(), &text[..]);
            prop_assert!(fields.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut fields = Fields::new(&bytes);
            while !fields.is_empty() && fields.nullable_string().is_ok() {}
            let _ = (fields.u32(), fields.until_nul(), fields.integer());
        }
    }
}
