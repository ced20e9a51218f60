//! The pipeline's SELECT on one batch: WHERE, expressions, conversion to the columns' types, DEFAULT and NOT NULL.
//!
//! Owns the order of these steps and which fields are read as what. A bare name is read as its column's type, so that a
//! SELECT of bare names costs nothing here; a name inside an expression is read as the widest type of its column's kind,
//! or as text where the table has no such column. WHERE comes first: what is wrong with a record that it leaves out is
//! nobody's concern, so one topic may hold several kinds of records.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use catalog::{Pipeline, Table};

mod assign;
mod defaults;
mod expression;
mod metadata;
mod nested;
mod plan;
mod refusal;
mod rows;
mod select;

use super::reason::{BadRecord, BadValue, ErrorReason};
use super::{DecodeField, Decoded, InvalidPipeline, StreamOrigin};
use crate::write::source::Records;
pub(super) use assign::{Assignment, Rules};
pub(super) use defaults::NullRule;
use expression::{Expression, evaluate};
use metadata::Metadata;
use rows::{InputFlaw, Rows, retain_columns};

/// Whether that name is of what Kafka tells about a record: no field is reached by it.
pub(super) fn is_metadata(name: &str) -> bool {
    Metadata::named(name).is_some()
}

/// A planned SELECT.
#[derive(Debug)]
pub(super) struct Transform {
    /// What is read from each record; the first inputs.
    fields: Vec<DecodeField>,
    /// What is taken from beside the record; the inputs after the fields.
    metadata: Vec<Metadata>,
    inputs: SchemaRef,
    /// What expressions are computed from, by the names that they use.
    arguments: SchemaRef,
    /// Which input each argument is.
    argument_inputs: Vec<usize>,
    filter: Option<Filter>,
    /// One for each column of the table.
    outputs: Vec<Output>,
}

#[derive(Debug)]
struct Filter {
    condition: Expression,
    /// The inputs that it reads.
    inputs: BTreeSet<usize>,
}

#[derive(Debug)]
struct Output {
    origin: Origin,
    data_type: DataType,
    assignment: Option<Assignment>,
    nulls: NullRule,
    /// What its errors are said of.
    place: String,
}

#[derive(Debug)]
enum Origin {
    Input(usize),
    Expression(Expression),
    /// The SELECT does not name the column.
    Absent,
}

/// What became of decoded records.
#[derive(Debug)]
pub(super) struct Transformed {
    /// The table's columns.
    pub(super) columns: Vec<ArrayRef>,
    /// For each row, its record.
    pub(super) row_records: Vec<u32>,
    /// Records that became error rows, in no order.
    pub(super) errors: Vec<BadRecord>,
    /// How many records WHERE left out.
    pub(super) filtered: usize,
}

impl Transform {
    /// Plans the SELECT of `pipeline`, which writes `table`.
    pub(super) fn plan(table: &Table, pipeline: &Pipeline) -> Result<Self, InvalidPipeline> {
        plan::plan(table, pipeline)
    }

    /// What has to be read from each record.
    pub(super) fn fields(&self) -> &[DecodeField] {
        &self.fields
    }

    pub(super) fn needs_keys(&self) -> bool {
        self.metadata.contains(&Metadata::Key)
    }

    pub(super) fn needs_headers(&self) -> bool {
        self.metadata.contains(&Metadata::Headers)
    }

    /// The table's rows of decoded records.
    pub(super) fn apply(&self, decoded: Decoded, origin: &StreamOrigin, records: &Records) -> Transformed {
        let mut rows = self.rows(decoded, origin, records);
        let filtered = self.filter.as_ref().map_or(0, |filter| self.apply_filter(filter, &mut rows));
        if !rows.flaws.is_empty() {
            let flaws = std::mem::take(&mut rows.flaws);
            let keep = rows.reject(flaws.into_iter().map(|flaw| (flaw.row, flaw.bad)));
            rows.retain(&keep);
        }
        let mut computed = self.compute(&mut rows).into_iter();

        let count = rows.records.len();
        let mut bad = Vec::new();
        let mut columns = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let values = match &output.origin {
                Origin::Input(input) => Arc::clone(rows.inputs.column(*input)),
                Origin::Expression(_) => computed.next().expect("one column was computed for each expression"),
                Origin::Absent => new_null_array(&output.data_type, count),
            };
            columns.push(output.finish(values, &mut bad));
        }
        if !bad.is_empty() {
            let keep = rows.reject(bad);
            rows.retain(&keep);
            columns = retain_columns(columns, &keep);
        }
        Transformed { columns, row_records: rows.records, errors: rows.errors, filtered }
    }

    /// Puts what Kafka tells beside the fields.
    fn rows(&self, decoded: Decoded, origin: &StreamOrigin, records: &Records) -> Rows {
        let mut flaws: Vec<InputFlaw> = decoded
            .flaws
            .into_iter()
            .map(|flaw| InputFlaw {
                row: flaw.row as usize,
                input: flaw.field as usize,
                bad: BadValue { reason: flaw.reason, message: flaw.message },
            })
            .collect();
        let mut columns = decoded.rows.columns().to_vec();
        for metadata in &self.metadata {
            let (column, bad) = metadata.column(origin, records, &decoded.row_records);
            let input = columns.len();
            flaws.extend(bad.into_iter().map(|(row, bad)| InputFlaw { row, input, bad }));
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(decoded.row_records.len()));
        let inputs = RecordBatch::try_new_with_options(Arc::clone(&self.inputs), columns, &options)
            .expect("the decoder gives the fields asked for, one value a row");
        Rows { inputs, records: decoded.row_records, flaws, errors: decoded.errors }
    }

    fn arguments(&self, rows: &Rows) -> RecordBatch {
        let columns = self.argument_inputs.iter().map(|input| Arc::clone(rows.inputs.column(*input))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.records.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.arguments), columns, &options)
            .expect("arguments are inputs under the names that expressions use")
    }

    /// Lets go of the rows that WHERE leaves out, and counts them.
    fn apply_filter(&self, filter: &Filter, rows: &mut Rows) -> usize {
        // A row whose condition cannot be told has to be looked at by somebody.
        let concerns = |flaw: &&InputFlaw| filter.inputs.contains(&flaw.input);
        let flaws: Vec<_> = rows.flaws.iter().filter(concerns).map(|flaw| (flaw.row, flaw.bad.clone())).collect();
        let keep = rows.reject(flaws);
        rows.retain(&keep);

        let evaluated = evaluate(&[&filter.condition], &self.arguments(rows));
        let keep = rows.reject(failures(evaluated.failures));
        rows.retain(&keep);
        let condition = evaluated.columns[0].as_boolean();
        let keep: Vec<bool> = (0..condition.len()).map(|row| condition.is_valid(row) && condition.value(row)).collect();
        rows.retain(&keep);
        keep.len() - rows.records.len()
    }

    /// One column for each expression, over the rows on which none failed.
    fn compute(&self, rows: &mut Rows) -> Vec<ArrayRef> {
        let expressions: Vec<&Expression> = self
            .outputs
            .iter()
            .filter_map(|output| match &output.origin {
                Origin::Expression(expression) => Some(expression),
                Origin::Input(_) | Origin::Absent => None,
            })
            .collect();
        if expressions.is_empty() {
            return Vec::new();
        }
        let evaluated = evaluate(&expressions, &self.arguments(rows));
        let keep = rows.reject(failures(evaluated.failures));
        rows.retain(&keep);
        evaluated.columns
    }
}

fn failures(failures: Vec<(usize, String)>) -> impl Iterator<Item = (usize, BadValue)> {
    failures.into_iter().map(|(row, message)| (row, BadValue { reason: ErrorReason::Expression, message }))
}

impl Output {
    /// The column's values, and what is wrong with them.
    fn finish(&self, values: ArrayRef, bad: &mut Vec<(usize, BadValue)>) -> ArrayRef {
        let values = match &self.assignment {
            None => values,
            Some(assignment) => {
                let (values, unfit) = assignment.apply(&values);
                bad.extend(unfit.into_iter().map(|(row, why)| (row, why.at(&self.place))));
                values
            }
        };
        let (values, missing) = self.nulls.apply(values);
        bad.extend(missing);
        values
    }
}
