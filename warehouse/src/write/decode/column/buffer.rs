//! Arrow buffers that can be cut back: Arrow's own builders cannot forget the values of a record that failed.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::array::{BooleanBufferBuilder, NullBufferBuilder};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::super::reason::{BadValue, ErrorReason};
use super::sink::Written;

/// Values of one fixed width.
pub(super) struct Values<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Values<T> {
    pub(super) fn new(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.values.reserve_exact(rows);
    }

    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    pub(super) fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let array = PrimitiveArray::<T>::new(values, self.nulls.finish()).with_data_type(self.data_type.clone());
        Arc::new(array)
    }
}

/// Booleans.
pub(super) struct Bits {
    bits: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Default for Bits {
    fn default() -> Self {
        Self { bits: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) }
    }
}

impl Bits {
    pub(super) fn len(&self) -> usize {
        self.bits.len()
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.bits.reserve(rows);
    }

    pub(super) fn push(&mut self, value: bool) {
        self.bits.append(value);
        self.nulls.append_non_null();
    }

    pub(super) fn push_null(&mut self) {
        self.bits.append(false);
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bits.truncate(len);
        self.nulls.truncate(len);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.bits.finish(), self.nulls.finish()))
    }
}

/// Texts, end to end.
pub(super) struct Texts {
    /// Where each begins, and where the last ends.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
    /// Bytes a value had in the last batch: what the next one will want.
    usual_bytes: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), nulls: NullBufferBuilder::new(0), usual_bytes: 0 }
    }
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.offsets.reserve_exact(rows);
        self.bytes.reserve(rows.saturating_mul(self.usual_bytes));
    }

    /// Adds a text, unless Arrow's 32-bit offsets cannot reach its end.
    pub(super) fn push(&mut self, text: &str) -> Written {
        self.push_bytes(text.as_bytes())
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Written {
        let Ok(end) = i32::try_from(self.bytes.len() + bytes.len()) else {
            let message = format!("a value of {} bytes does not fit into the 2 GiB of one batch", bytes.len());
            return Err(Box::new(BadValue { reason: ErrorReason::TooLong, message }));
        };
        self.bytes.extend_from_slice(bytes);
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.offsets.push(self.offsets[self.offsets.len() - 1]);
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        let end = self.offsets[self.offsets.len() - 1];
        self.bytes.truncate(usize::try_from(end).expect("offsets are lengths"));
        self.nulls.truncate(len);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let (offsets, bytes, nulls) = self.take();
        Arc::new(StringArray::new(offsets, bytes, nulls))
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        self.usual_bytes = self.bytes.len().div_ceil(self.len().max(1));
        let mut bytes = std::mem::take(&mut self.bytes);
        // What is reserved and not used would count as memory for as long as the memtable lives.
        if bytes.capacity() > bytes.len() + bytes.len() / 4 {
            bytes.shrink_to_fit();
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        (offsets, Buffer::from_vec(bytes), self.nulls.finish())
    }
}

/// Rows of bytes, end to end.
#[derive(Default)]
pub(super) struct Blobs(Texts);

impl Blobs {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.0.reserve(rows);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Written {
        self.0.push_bytes(bytes)
    }

    pub(super) fn push_null(&mut self) {
        self.0.push_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let (offsets, bytes, nulls) = self.0.take();
        Arc::new(BinaryArray::new(offsets, bytes, nulls))
    }
}

/// How many elements each row has, of arrays and maps; the elements are in a column of their own.
pub(super) struct Lengths {
    /// Where each row's begin, and where the last's end.
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Default for Lengths {
    fn default() -> Self {
        Self { offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }
}

impl Lengths {
    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.offsets.reserve_exact(rows);
    }

    /// Adds a row whose elements end at `end`.
    pub(super) fn push(&mut self, end: usize) -> Written {
        let Ok(end) = i32::try_from(end) else {
            let message = format!("{end} elements do not fit into one batch");
            return Err(Box::new(BadValue { reason: ErrorReason::TooLong, message }));
        };
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.offsets.push(self.offsets[self.offsets.len() - 1]);
        self.nulls.append_null();
    }

    /// Forgets all rows after the first `len`; returns how many elements are left.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.offsets.truncate(len + 1);
        self.nulls.truncate(len);
        usize::try_from(self.offsets[self.offsets.len() - 1]).expect("offsets are lengths")
    }

    pub(super) fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), self.nulls.finish())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn what_is_cut_back_leaves_no_trace() {
        let mut texts = Texts::default();
        let mut values = Values::<Int32Type>::new(DataType::Int32);
        let mut bits = Bits::default();
        for round in 0..20 {
            assert!(texts.push("kept").is_ok());
            values.push(round);
            bits.push(true);
            texts.push_null();
            assert!(texts.push("dropped").is_ok());
            values.push_null();
            bits.push_null();
            texts.truncate(round as usize + 1);
            values.truncate(round as usize + 1);
            bits.truncate(round as usize + 1);
        }
        let texts = texts.finish();
        assert_eq!(texts.as_string::<i32>().value_data(), "kept".repeat(20).as_bytes());
        assert_eq!(texts.null_count() + values.finish().null_count(), 0);
        assert_eq!(bits.finish().as_boolean().true_count(), 20);
    }
}
