//! The real flights, from the beginning again when they end.

use std::io::{BufRead, BufReader, Cursor};

use crate::dataset::Payloads;

/// One JSON object a line, compressed (see server/data/README.md).
static FLIGHTS: &[u8] = include_bytes!("../../server/data/flights.ndjson.zst");

type Lines = BufReader<zstd::Decoder<'static, BufReader<Cursor<&'static [u8]>>>>;

/// The flights.
pub(crate) struct Flights {
    lines: Lines,
}

impl Flights {
    pub(crate) fn open() -> anyhow::Result<Self> {
        Ok(Self { lines: Self::lines()? })
    }

    fn lines() -> anyhow::Result<Lines> {
        Ok(BufReader::with_capacity(1 << 20, zstd::Decoder::new(Cursor::new(FLIGHTS))?))
    }
}

impl Payloads for Flights {
    fn append(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if self.lines.read_until(b'\n', out)? == 0 {
            self.lines = Self::lines()?;
            self.lines.read_until(b'\n', out)?;
        }
        if out.last() == Some(&b'\n') {
            out.pop();
        }
        Ok(())
    }
}
