//! Packets on a byte stream: a length, a number, a payload. Owns framing, order and limits; knows nothing of what a payload
//! means. Everything that the other side sends is checked before memory is taken for it, and nothing of it can panic.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use warehouse::memory::{MemoryBudget, QueryCharge};

/// The largest payload of one packet on the wire; a longer one goes on in the next, and one of exactly this length is
/// followed by an empty one.
pub const MAX_CHUNK: usize = 0xFF_FFFF;
/// The largest whole payload that a peer may send once it has logged in.
pub const MAX_ALLOWED_PACKET: usize = 64 << 20;
/// The largest payload before the login: what a stranger can make this process hold.
pub const LOGIN_PACKET_LIMIT: usize = 16 << 10;

const HEADER: usize = 4;
/// How much is read at a time; also about the most that is read ahead while an answer is being sent.
const READ_STEP: usize = 16 << 10;
/// A write buffer that has grown beyond this is given back after the flush.
const KEEP_CAPACITY: usize = 1 << 20;

/// Payloads up to here are not charged: so many connections as may be open take little together.
const UNCHARGED_BYTES: usize = 64 << 10;
/// Beside a payload itself there is what is read out of it: a statement's tokens and tree, the values of parameters.
pub(super) const CHARGED_TIMES: u64 = 3;

/// Why the conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The socket failed.
    #[error("the connection was lost: {0}")]
    Io(#[from] io::Error),
    /// The other side went away in the middle of a packet.
    #[error("the connection ended in the middle of a packet")]
    Truncated,
    /// A packet's number is not the next one: bytes were lost, or this is not the MySQL protocol.
    #[error("packet number {found} came where {expected} was due")]
    OutOfOrder {
        /// The number due.
        expected: u8,
        /// The number that came.
        found: u8,
    },
    /// The payload is longer than allowed.
    #[error("a packet is larger than max_allowed_packet, {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The payload would take more memory than is left.
    #[error("a packet of {bytes} bytes or more takes more memory than is left")]
    NoMemory {
        /// Its bytes, as far as they are announced.
        bytes: usize,
    },
    /// A payload does not have the shape that its place demands.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
}

/// Reads packets. Holds at most one payload under `limit` and one read-ahead step.
#[derive(Debug)]
pub struct PacketReader<R> {
    source: R,
    buffer: BytesMut,
    limit: usize,
    sequence: u8,
    memory: Option<Arc<MemoryBudget>>,
    /// For the payload at hand, if it is large.
    charge: Option<QueryCharge>,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    /// A reader that refuses payloads above `limit` bytes.
    pub fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: BytesMut::new(), limit, sequence: 0, memory: None, charge: None }
    }

    /// Charges large payloads from here on, from their announcement until the next one is waited for: to `memory`.
    pub fn charge_to(&mut self, memory: Arc<MemoryBudget>) {
        self.memory = Some(memory);
    }

    /// Changes the limit, for instance after the login.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Begins a new exchange: the next packet must carry `sequence`.
    pub fn begin(&mut self, sequence: u8) {
        self.sequence = sequence;
        self.charge = None;
    }

    /// The number that the next packet, from whichever side, must carry.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// The next whole payload, or nothing if the other side has closed between packets. Dropping this future in the middle
    /// of a payload above 16 MiB loses its place: only a connection that is given up may be interrupted here.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CodecError> {
        let Some(first) = self.chunk(0).await? else { return Ok(None) };
        if first.len() < MAX_CHUNK {
            return Ok(Some(first.freeze()));
        }
        let mut whole = first;
        loop {
            let chunk = self.chunk(whole.len()).await?.ok_or(CodecError::Truncated)?;
            let last = chunk.len() < MAX_CHUNK;
            whole.extend_from_slice(&chunk);
            if last {
                return Ok(Some(whole.freeze()));
            }
        }
    }

    /// Returns when the other side has closed or the socket has failed. Meanwhile reads ahead, within a bound: a client that
    /// sends its next command early is not mistaken for one that left, nor can it fill the memory.
    pub async fn ended(&mut self) {
        while self.buffer.len() < READ_STEP {
            match self.read_some().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Reads on until the other side has closed and forgets what it reads. A socket that is closed while bytes are still coming
    /// in resets the connection, and the other side may never see the last answer.
    pub async fn discard(&mut self) {
        loop {
            self.buffer.clear();
            if !matches!(self.read_some().await, Ok(1..)) {
                return;
            }
        }
    }

    /// Reads over the rest of a payload that was refused as too large, without keeping it, so that the answer to it carries the
    /// number that the other side expects.
    pub async fn skip_payload(&mut self) -> Result<(), CodecError> {
        loop {
            let mut left = self.header().await?.ok_or(CodecError::Truncated)?;
            let last = left < MAX_CHUNK;
            self.buffer.advance(HEADER);
            self.sequence = self.sequence.wrapping_add(1);
            while left > 0 {
                if self.buffer.is_empty() && self.read_some().await? == 0 {
                    return Err(CodecError::Truncated);
                }
                let skipped = left.min(self.buffer.len());
                self.buffer.advance(skipped);
                left -= skipped;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// One packet on the wire; `before` bytes of its payload have been read already.
    async fn chunk(&mut self, before: usize) -> Result<Option<BytesMut>, CodecError> {
        let Some(length) = self.header().await? else { return Ok(None) };
        if before + length > self.limit {
            return Err(CodecError::TooLarge { limit: self.limit });
        }
        self.charge_for(before + length)?;
        if !self.fill(HEADER + length).await? {
            return Err(CodecError::Truncated);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = self.buffer.split_to(HEADER + length);
        Ok(Some(packet.split_off(HEADER)))
    }

    fn charge_for(&mut self, bytes: usize) -> Result<(), CodecError> {
        let Some(memory) = self.memory.as_ref().filter(|_| bytes > UNCHARGED_BYTES) else { return Ok(()) };
        let charge = self.charge.get_or_insert_with(|| memory.hold(0));
        match charge.try_resize(bytes as u64 * CHARGED_TIMES) {
            true => Ok(()),
            false => Err(CodecError::NoMemory { bytes }),
        }
    }

    /// The length in the next header, which stays in the buffer; nothing if the other side has closed before it.
    async fn header(&mut self) -> Result<Option<usize>, CodecError> {
        if !self.fill(HEADER).await? {
            return if self.buffer.is_empty() { Ok(None) } else { Err(CodecError::Truncated) };
        }
        let found = self.buffer[3];
        if found != self.sequence {
            return Err(CodecError::OutOfOrder { expected: self.sequence, found });
        }
        Ok(Some(usize::from(self.buffer[0]) | usize::from(self.buffer[1]) << 8 | usize::from(self.buffer[2]) << 16))
    }

    /// Reads until `bytes` are buffered; false if the stream ended before. Memory is taken as bytes arrive, not as promised.
    async fn fill(&mut self, bytes: usize) -> Result<bool, CodecError> {
        while self.buffer.len() < bytes {
            if self.read_some().await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_STEP);
        self.source.read_buf(&mut self.buffer).await
    }
}

/// Collects packets in one buffer and sends them together.
#[derive(Debug)]
pub struct PacketWriter<W> {
    sink: W,
    buffer: BytesMut,
    /// Where the last whole packet ends; behind it stands at most one that a panic left unfinished.
    whole: usize,
    sequence: u8,
}

impl<W: AsyncWrite + Unpin> PacketWriter<W> {
    /// A writer that begins at packet number 0.
    pub fn new(sink: W) -> Self {
        Self { sink, buffer: BytesMut::new(), whole: 0, sequence: 0 }
    }

    /// Begins a new exchange at packet number `sequence`.
    pub fn begin(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The number of the next packet.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// Bytes waiting for [`PacketWriter::flush`].
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Appends one packet whose payload `fill` writes behind what it is given.
    pub fn packet(&mut self, fill: impl FnOnce(&mut BytesMut)) {
        self.buffer.truncate(self.whole);
        let start = self.buffer.len();
        self.buffer.put_bytes(0, HEADER);
        fill(&mut self.buffer);
        let length = self.buffer.len() - start - HEADER;
        if length < MAX_CHUNK {
            let header = header(length, self.next_number());
            self.buffer[start..start + HEADER].copy_from_slice(&header);
        } else {
            self.split(start);
        }
        self.whole = self.buffer.len();
    }

    /// Sends what is buffered. Waits as long as the other side does not read: this is the back-pressure on a result.
    pub async fn flush(&mut self) -> Result<(), CodecError> {
        self.buffer.truncate(self.whole);
        self.sink.write_all(&self.buffer).await?;
        self.sink.flush().await?;
        self.whole = 0;
        if self.buffer.capacity() > KEEP_CAPACITY {
            self.buffer = BytesMut::new();
        } else {
            self.buffer.clear();
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub async fn close(&mut self) -> Result<(), CodecError> {
        Ok(self.sink.shutdown().await?)
    }

    /// Writes the payload that begins behind `start`'s header again as packets of at most [`MAX_CHUNK`].
    fn split(&mut self, start: usize) {
        let payload = self.buffer.split_off(start + HEADER);
        self.buffer.truncate(start);
        for chunk in payload.chunks(MAX_CHUNK) {
            let header = header(chunk.len(), self.next_number());
            self.buffer.extend_from_slice(&header);
            self.buffer.extend_from_slice(chunk);
        }
        if payload.len().is_multiple_of(MAX_CHUNK) {
            let header = header(0, self.next_number());
            self.buffer.extend_from_slice(&header);
        }
    }

    fn next_number(&mut self) -> u8 {
        let number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        number
    }
}

fn header(length: usize, sequence: u8) -> [u8; HEADER] {
    debug_assert!(length <= MAX_CHUNK);
    [length as u8, (length >> 8) as u8, (length >> 16) as u8, sequence]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use warehouse::memory::MemoryLimits;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn written(payloads: &[Vec<u8>]) -> Vec<u8> {
        block_on(async {
            let mut writer = PacketWriter::new(Vec::new());
            for payload in payloads {
                writer.packet(|out| out.extend_from_slice(payload));
            }
            writer.flush().await.unwrap();
            writer.sink
        })
    }

    fn read_all(bytes: &[u8], limit: usize) -> Result<Vec<Bytes>, CodecError> {
        block_on(async {
            let mut reader = PacketReader::new(bytes, limit);
            let mut payloads = Vec::new();
            while let Some(payload) = reader.next().await? {
                payloads.push(payload);
            }
            Ok(payloads)
        })
    }

    #[test]
    fn a_payload_around_the_packet_limit_comes_back_whole() {
        for length in [MAX_CHUNK - 1, MAX_CHUNK, MAX_CHUNK + 1, 2 * MAX_CHUNK, 2 * MAX_CHUNK + 7] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let wire = written(&[payload.clone(), b"next".to_vec()]);
            assert_eq!(wire.len(), length + 4 + 4 * (length / MAX_CHUNK + 2));
            assert_eq!(read_all(&wire, MAX_ALLOWED_PACKET).unwrap(), [&payload[..], b"next"]);
        }
    }

    #[test]
    fn a_payload_above_the_limit_is_refused_by_its_header_alone() {
        let refused = read_all(&[0xFF, 0xFF, 0xFF, 0], 1000).unwrap_err();
        assert!(matches!(refused, CodecError::TooLarge { limit: 1000 }));
    }

    #[test]
    fn i8_a_large_payload_is_charged_from_its_header_on_and_refused_where_no_memory_is_left() {
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(1 << 20));
        let wire = written(&[vec![7; 200 << 10], vec![7; 10], vec![7; 400 << 10]]);
        block_on(async {
            let mut reader = PacketReader::new(&wire[..], MAX_ALLOWED_PACKET);
            reader.charge_to(Arc::clone(&memory));
            reader.next().await.unwrap().unwrap();
            assert_eq!(memory.query_used(), 600 << 10);
            let next = reader.sequence();
            reader.begin(next);
            assert_eq!(memory.query_used(), 0, "the next one is waited for");
            reader.next().await.unwrap().unwrap();
            assert_eq!(memory.query_used(), 0, "a small one is not worth it");
            assert!(matches!(reader.next().await, Err(CodecError::NoMemory { bytes }) if bytes == 400 << 10));
        });
        assert_eq!(memory.query_used(), 0);
    }

    #[test]
    fn a_payload_above_the_limit_is_refused_though_each_packet_of_it_is_below() {
        let wire = written(&[vec![7; MAX_CHUNK + 100]]);
        assert!(matches!(read_all(&wire, MAX_CHUNK + 50), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn a_refused_payload_can_be_passed_over() {
        let wire = written(&[vec![7; 2 * MAX_CHUNK + 5], b"next".to_vec()]);
        block_on(async {
            let mut reader = PacketReader::new(&wire[..], MAX_CHUNK + 50);
            assert!(matches!(reader.next().await, Err(CodecError::TooLarge { .. })));
            reader.skip_payload().await.unwrap();
            assert_eq!(reader.sequence(), 3);
            assert_eq!(reader.next().await.unwrap().unwrap(), &b"next"[..]);
        });
    }

    #[test]
    fn a_wrong_packet_number_is_an_error() {
        let refused = read_all(&[1, 0, 0, 3, 0x0E], 1000).unwrap_err();
        assert!(matches!(refused, CodecError::OutOfOrder { expected: 0, found: 3 }));
    }

    #[test]
    fn what_a_panic_left_unfinished_is_never_sent() {
        let mut writer = PacketWriter::new(Vec::new());
        writer.packet(|out| out.extend_from_slice(b"whole"));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            writer.packet(|out| {
                out.extend_from_slice(b"half");
                panic!("in the middle of a row");
            })
        }));
        assert!(outcome.is_err());
        writer.packet(|out| out.extend_from_slice(b"after"));
        block_on(writer.flush()).unwrap();
        assert_eq!(writer.sink, b"\x05\0\0\0whole\x05\0\0\x01after");
    }

    #[test]
    fn watching_for_the_end_reads_ahead_only_within_a_bound() {
        block_on(async {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            far.write_all(&vec![0; 1 << 20]).await.unwrap();
            let mut reader = PacketReader::new(near, MAX_ALLOWED_PACKET);
            assert!(futures::poll!(std::pin::pin!(reader.ended())).is_pending());
            assert!(reader.buffer.len() <= 2 * READ_STEP, "{}", reader.buffer.len());
        });
    }

    #[test]
    fn watching_for_the_end_keeps_what_was_sent_early() {
        block_on(async {
            let wire: &[u8] = b"\x01\0\0\0\x0E";
            let mut reader = PacketReader::new(wire, MAX_ALLOWED_PACKET);
            reader.ended().await;
            assert_eq!(reader.next().await.unwrap().unwrap(), &b"\x0E"[..]);
        });
    }

    proptest! {
        #[test]
        fn packets_come_back_as_written(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..300)) {
            prop_assert_eq!(read_all(&written(&payloads), 300).unwrap(), payloads);
        }

        #[test]
        fn cut_packets_are_an_error_or_fewer_packets(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let wire = written(&payloads);
            let cut = cut.index(wire.len());
            match read_all(&wire[..cut], 300) {
                Ok(read) => prop_assert_eq!(&read, &payloads[..read.len()]),
                Err(error) => prop_assert!(matches!(error, CodecError::Truncated)),
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = read_all(&bytes, 100_000);
        }
    }
}
