//! Rows on the wire: the columns, then each batch straight from its Arrow arrays into the write buffer, then the end. Memory is
//! bounded by one batch and one buffer: the stream is polled again only after the client has taken what was written.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::AsyncWrite;

use super::capabilities::Capabilities;
use super::codec::{CodecError, PacketWriter};
use super::column::ColumnDefinition;
use super::error::SqlError;
use super::fields::put_integer;
use super::reply::{Done, encode_end, encode_eof, encode_error};
use super::text::{cell, unfold};

/// Bytes after which rows are sent even in the middle of a batch, so that long values do not pile up.
const FLUSH_BYTES: usize = 512 << 10;

type Batches = BoxStream<'static, Result<RecordBatch, SqlError>>;

/// Sends all of `stream`. An error of the stream ends the rows with an ERR packet; the connection can go on after it.
pub(super) async fn send_rows<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    capabilities: Capabilities,
    schema: SchemaRef,
    mut stream: Batches,
) -> Result<(), CodecError> {
    // Nothing is written before the first batch is here: a statement that fails at once is answered by its error alone.
    let mut next = stream.next().await;
    if let Some(Err(error)) = &next {
        writer.packet(|out| encode_error(error, out));
        return writer.flush().await;
    }
    if schema.fields().is_empty() {
        return send_no_columns(writer, next, stream).await;
    }
    put_columns(writer, capabilities, &schema);
    while let Some(batch) = next {
        let outcome = match batch {
            Ok(batch) => send_batch(writer, &schema, &batch).await?,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            writer.packet(|out| encode_error(&error, out));
            return writer.flush().await;
        }
        next = stream.next().await;
    }
    writer.packet(|out| encode_end(capabilities, out));
    writer.flush().await
}

/// Appends the announcement of the columns.
fn put_columns<W: AsyncWrite + Unpin>(writer: &mut PacketWriter<W>, capabilities: Capabilities, schema: &SchemaRef) {
    writer.packet(|out| put_integer(out, schema.fields().len() as u64));
    for field in schema.fields() {
        writer.packet(|out| ColumnDefinition::of(field).encode(out));
    }
    if !capabilities.contains(Capabilities::DEPRECATE_EOF) {
        writer.packet(encode_eof);
    }
}

/// Sends only the columns and the end, without a count: the answer to a field list.
pub(super) fn put_field_list<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    capabilities: Capabilities,
    schema: &SchemaRef,
) {
    for field in schema.fields() {
        writer.packet(|out| {
            ColumnDefinition::of(field).encode(out);
            // The column's default value, which no client shows: NULL.
            out.extend_from_slice(&[super::fields::NULL]);
        });
    }
    writer.packet(|out| encode_end(capabilities, out));
}

/// Sends the rows of one batch. The outer error is the connection's, the inner one the statement's.
async fn send_batch<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<Result<(), SqlError>, CodecError> {
    if batch.num_columns() != schema.fields().len() {
        let (announced, came) = (schema.fields().len(), batch.num_columns());
        return Ok(Err(SqlError::other(format!(
            "the result was announced with {announced} columns and came with {came}"
        ))));
    }
    let columns = match batch.columns().iter().map(unfold).collect::<Result<Vec<_>, _>>() {
        Ok(columns) => columns,
        Err(error) => return Ok(Err(unprintable(&error))),
    };
    let mut row = 0;
    while row < batch.num_rows() {
        match put_rows(writer, schema, &columns, row, batch.num_rows()) {
            Ok(next) => row = next,
            Err(error) => return Ok(Err(unprintable(&error))),
        }
        writer.flush().await?;
    }
    Ok(Ok(()))
}

/// Appends rows from `from` on until the buffer is full; returns the first row that is still to do.
fn put_rows<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    schema: &SchemaRef,
    columns: &[ArrayRef],
    from: usize,
    end: usize,
) -> Result<usize, ArrowError> {
    let arrays = columns.iter().map(|column| column.as_ref() as &dyn Array);
    let mut cells =
        schema.fields().iter().zip(arrays).map(|(field, array)| cell(field, array)).collect::<Result<Vec<_>, _>>()?;
    for row in from..end {
        writer.packet(|out| cells.iter_mut().for_each(|cell| cell(row, out)));
        if writer.buffered() >= FLUSH_BYTES {
            return Ok(row + 1);
        }
    }
    Ok(end)
}

/// The protocol cannot express rows without columns, so their statement is answered as done once it has run to its end.
async fn send_no_columns<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    mut next: Option<Result<RecordBatch, SqlError>>,
    mut stream: Batches,
) -> Result<(), CodecError> {
    while let Some(batch) = next {
        if let Err(error) = batch {
            writer.packet(|out| encode_error(&error, out));
            return writer.flush().await;
        }
        next = stream.next().await;
    }
    writer.packet(|out| Done::default().encode(out));
    writer.flush().await
}

fn unprintable(error: &ArrowError) -> SqlError {
    SqlError::other(format!("a column of the result cannot be shown as text: {error}; cast it in the statement"))
}
