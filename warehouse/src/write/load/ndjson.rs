//! JSON objects, one a line: each becomes a row by the rules of a pipeline that selects its fields by their names. Empty lines are
//! passed over.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use catalog::{
    Fence, KafkaSource, Offset, OffsetRange, Pipeline, PipelineId, PipelineSettings, PipelineState, RecordFormat,
    StartPosition, StreamId, Table,
};

use super::lines::Lines;
use super::{BATCH_BYTES, LINE_BYTES_MAX, Leniency, LoadError, LoadReader};
use crate::schema::OFFSET_COLUMN;
use crate::write::decode::{PipelineDecoder, StreamOrigin};
use crate::write::source::{Fetched, RawRecord, Records};

/// See the module.
pub struct NdJsonReader {
    decoder: PipelineDecoder,
    lines: Lines,
    records: Records,
    /// How many columns the table has: those before the hidden ones.
    columns: usize,
    leniency: Leniency,
}

impl NdJsonReader {
    /// A reader of rows of `table`; of `columns` alone, where they are given: the others have their DEFAULT.
    ///
    /// # Errors
    /// If a column is not there, or one that must have a value gets none.
    pub fn new(table: &Arc<Table>, columns: Option<&[String]>, leniency: Leniency) -> Result<Self, LoadError> {
        let pipeline = Arc::new(selecting(table, columns));
        let decoder = PipelineDecoder::new(Arc::clone(table), pipeline);
        let decoder = decoder.map_err(|invalid| LoadError::of_file(invalid.message))?;
        let (lines, records, columns) = (Lines::default(), Records::default(), table.columns.len());
        Ok(Self { decoder, lines, records, columns, leniency })
    }

    fn decode(&mut self) -> Result<Vec<RecordBatch>, LoadError> {
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let origin = StreamOrigin { stream: StreamId(1), topic: Arc::from("lines"), partition: 0 };
        let (first, last) = (records.get(0).offset, records.get(records.len() - 1).offset);
        let range = OffsetRange::new(Offset(first), Offset(last + 1));
        let batch = self.decoder.decode(&origin, &Fetched { stream: origin.stream, range, records, gaps: Vec::new() });
        if let Some(errors) = &batch.errors {
            let column = |name| errors.column_by_name(name).expect("error rows say what is wrong, and where");
            let lines = column(OFFSET_COLUMN).as_primitive::<Int64Type>();
            let messages = column("message").as_string::<i32>();
            for row in 0..errors.num_rows() {
                self.leniency.skip(LoadError::at(lines.value(row).unsigned_abs(), messages.value(row)))?;
            }
        }
        let places: Vec<usize> = (0..self.columns).collect();
        Ok(vec![batch.rows.project(&places).expect("the table's columns stand before the hidden ones")])
    }
}

impl LoadReader for NdJsonReader {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>, LoadError> {
        let records = &mut self.records;
        self.lines.push(bytes, |number, line| {
            add(records, number, line);
            Ok(())
        })?;
        match self.records.bytes() >= BATCH_BYTES {
            true => self.decode(),
            false => Ok(Vec::new()),
        }
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>, LoadError> {
        let records = &mut self.records;
        self.lines.finish(|number, line| {
            add(records, number, line);
            Ok(())
        })?;
        self.decode()
    }

    fn leniency(&self) -> &Leniency {
        &self.leniency
    }
}

fn add(records: &mut Records, number: u64, line: &[u8]) {
    if line.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let payload_bytes = line.len() as u64;
    records.push(RawRecord {
        offset: number,
        timestamp_ms: None,
        payload: Some(line),
        payload_bytes,
        key: None,
        headers: None,
    });
}

/// A pipeline that takes each field to the column of its name. Nothing of it is ever run but its SELECT.
fn selecting(table: &Table, columns: Option<&[String]>) -> Pipeline {
    let quoted = |name: &String| format!("`{}`", name.replace('`', "``"));
    let projection = match columns {
        None => "*".to_owned(),
        Some(columns) => columns.iter().map(quoted).collect::<Vec<_>>().join(", "),
    };
    let source = KafkaSource {
        brokers: String::new(),
        topics: String::new().into(),
        format: RecordFormat::Json,
        start: StartPosition::Earliest,
        properties: Default::default(),
    };
    Pipeline {
        id: PipelineId(0),
        database: table.database.clone(),
        name: String::new(),
        table: table.id,
        source,
        projection,
        filter: None,
        settings: PipelineSettings { max_record_bytes: LINE_BYTES_MAX as u64, ..PipelineSettings::default() },
        state: PipelineState::Running,
        fence: Fence(0),
        created: 0,
    }
}
