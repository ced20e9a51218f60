//! Rows on the wire: the columns, then each batch straight from its Arrow arrays into the write buffer, then the end. Memory is
//! bounded by one batch and one buffer: the stream is polled again only after the client has taken what was written.
//!
//! A query's values are text, a prepared statement's binary; all else of the two is the same.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::AsyncWrite;

use super::binary;
use super::capabilities::{Capabilities, STATUS_CURSOR_EXISTS};
use super::codec::{CodecError, PacketWriter};
use super::column::ColumnDefinition;
use super::error::SqlError;
use super::fields::put_integer;
use super::reply::{Done, Place, encode_cursor_end, encode_end, encode_eof, encode_error};
use super::text::{cell, unfold};

/// Bytes after which rows are sent even in the middle of a batch, so that long values do not pile up.
const FLUSH_BYTES: usize = 512 << 10;

type Batches = BoxStream<'static, Result<RecordBatch, SqlError>>;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// As text, which answers a query.
    Text,
    /// In the binary form, which answers a prepared statement.
    Binary,
}

/// The shape of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) capabilities: Capabilities,
    pub(super) values: Values,
    pub(super) place: Place,
    /// The client asked for a cursor.
    pub(super) cursor: bool,
}

/// Sends all of `stream`. An error of the stream ends the rows with an ERR packet, and is returned in the inner result; the
/// connection can go on after it.
pub(super) async fn send_rows<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    shape: Shape,
    schema: SchemaRef,
    mut stream: Batches,
) -> Result<Result<(), SqlError>, CodecError> {
    // Nothing is written before the first batch is here: a statement that fails at once is answered by its error alone.
    let mut next = stream.next().await;
    if let Some(Err(error)) = next {
        return fail(writer, error).await;
    }
    if schema.fields().is_empty() {
        return send_no_columns(writer, shape.place, next, stream).await;
    }
    writer.packet(|out| put_integer(out, schema.fields().len() as u64));
    put_columns(writer, shape, &schema);
    if shape.cursor && shape.capabilities.contains(Capabilities::DEPRECATE_EOF) {
        while next.as_ref().is_some_and(|batch| batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0)) {
            next = stream.next().await;
        }
        if next.is_none() {
            // Where the end of no rows stands, these clients expect what announces a cursor: some would wait for rows behind it for
            // ever. They are told of one, and that it has no rows when they ask for them.
            writer.packet(|out| encode_cursor_end(STATUS_CURSOR_EXISTS, shape.capabilities, out));
            writer.flush().await?;
            return Ok(Ok(()));
        }
    }
    while let Some(batch) = next {
        let outcome = match batch {
            Ok(batch) => send_batch(writer, shape.values, &schema, &batch).await?,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            return fail(writer, error).await;
        }
        next = stream.next().await;
    }
    writer.packet(|out| encode_end(shape.capabilities, shape.place, out));
    writer.flush().await?;
    Ok(Ok(()))
}

async fn fail<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    error: SqlError,
) -> Result<Result<(), SqlError>, CodecError> {
    writer.packet(|out| encode_error(&error, out));
    writer.flush().await?;
    Ok(Err(error))
}

/// Appends the announcement of the columns, whose number stands before it.
pub(super) fn put_columns<W: AsyncWrite + Unpin>(writer: &mut PacketWriter<W>, shape: Shape, schema: &SchemaRef) {
    for field in schema.fields() {
        writer.packet(|out| ColumnDefinition::of(field).encode(out));
    }
    put_end_of_columns(writer, shape);
}

/// Appends what stands behind columns where rows may follow: nothing, for most clients.
pub(super) fn put_end_of_columns<W: AsyncWrite + Unpin>(writer: &mut PacketWriter<W>, shape: Shape) {
    if !shape.capabilities.contains(Capabilities::DEPRECATE_EOF) {
        writer.packet(|out| encode_eof(shape.place, out));
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
    writer.packet(|out| encode_end(capabilities, Place::Last, out));
}

/// Sends the rows of one batch. The outer error is the connection's, the inner one the statement's.
async fn send_batch<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    values: Values,
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
    let columns = match values {
        Values::Text => Ok(columns),
        Values::Binary => {
            schema.fields().iter().zip(&columns).map(|(field, array)| binary::widened(field, array)).collect()
        }
    };
    let columns = match columns {
        Ok(columns) => columns,
        Err(error) => return Ok(Err(unprintable(&error))),
    };
    let mut row = 0;
    while row < batch.num_rows() {
        let put = match values {
            Values::Text => put_text(writer, schema, &columns, row, batch.num_rows()),
            Values::Binary => put_binary(writer, schema, &columns, row, batch.num_rows()),
        };
        match put {
            Ok(next) => row = next,
            Err(error) => return Ok(Err(unprintable(&error))),
        }
        writer.flush().await?;
    }
    Ok(Ok(()))
}

/// Appends rows of text from `from` on until the buffer is full; returns the first row that is still to do.
fn put_text<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    schema: &SchemaRef,
    columns: &[ArrayRef],
    from: usize,
    end: usize,
) -> Result<usize, ArrowError> {
    let arrays = columns.iter().map(|column| column.as_ref() as &dyn Array);
    let mut cells =
        schema.fields().iter().zip(arrays).map(|(field, array)| cell(field, array)).collect::<Result<Vec<_>, _>>()?;
    Ok(put_rows(writer, from, end, |row, out| cells.iter_mut().for_each(|cell| cell(row, out))))
}

/// The same in the binary form.
fn put_binary<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    schema: &SchemaRef,
    columns: &[ArrayRef],
    from: usize,
    end: usize,
) -> Result<usize, ArrowError> {
    let arrays = columns.iter().map(|column| column.as_ref() as &dyn Array);
    let columns = schema.fields().iter().zip(arrays).map(|(field, array)| binary::column(field, array));
    let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(put_rows(writer, from, end, |row, out| binary::put_row(&mut columns, row, out)))
}

fn put_rows<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    from: usize,
    end: usize,
    mut put: impl FnMut(usize, &mut BytesMut),
) -> usize {
    for row in from..end {
        writer.packet(|out| put(row, out));
        if writer.buffered() >= FLUSH_BYTES {
            return row + 1;
        }
    }
    end
}

/// The protocol cannot express rows without columns, so their statement is answered as done once it has run to its end.
async fn send_no_columns<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    place: Place,
    mut next: Option<Result<RecordBatch, SqlError>>,
    mut stream: Batches,
) -> Result<Result<(), SqlError>, CodecError> {
    while let Some(batch) = next {
        if let Err(error) = batch {
            return fail(writer, error).await;
        }
        next = stream.next().await;
    }
    writer.packet(|out| Done::default().encode(place, out));
    writer.flush().await?;
    Ok(Ok(()))
}

fn unprintable(error: &ArrowError) -> SqlError {
    SqlError::other(format!(
        "a column of the result cannot be sent: {error}; cast it in the statement, for instance to CHAR"
    ))
}
