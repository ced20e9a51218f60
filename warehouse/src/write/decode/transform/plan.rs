//! From a SELECT's text to a [`Transform`]: which fields are read as what, and where each column of the table comes from.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Column, ColumnType, IntegerWidth, Pipeline, Table};
use datafusion::sql::sqlparser::ast::Expr;

use super::assign::Assignment;
use super::defaults::NullRule;
use super::expression::Planner;
use super::metadata::Metadata;
use super::select::{Item, Select, Value, filter_place, invalid, names};
use super::{Filter, Origin, Output, Transform};
use crate::schema::arrow_type;
use crate::write::decode::column::FieldKind;
use crate::write::decode::{DecodeField, InvalidPipeline};

/// Plans the SELECT of `pipeline`, which writes `table`.
pub(super) fn plan(table: &Table, pipeline: &Pipeline) -> Result<Transform, InvalidPipeline> {
    let select = Select::parse(table, pipeline)?;
    let scope = Scope::new(Inputs::of(&select, table, pipeline)?)?;
    let place = filter_place(pipeline);
    let filter = select.filter.as_ref().map(|condition| scope.filter(condition, &place)).transpose()?;
    let outputs = table.columns.iter().map(|column| {
        let item = select.items.iter().find(|item| item.column == column.name);
        scope.output(column, item, table, pipeline)
    });
    Ok(Transform {
        outputs: outputs.collect::<Result<_, _>>()?,
        fields: scope.inputs.fields,
        metadata: scope.inputs.metadata,
        inputs: scope.schema,
        arguments: scope.arguments,
        argument_inputs: scope.argument_inputs,
        filter,
    })
}

/// What a name inside of an expression is read as: the widest type of its column's kind, because what the column bounds
/// is the expression's value and not what it is computed from; or text, where no column tells the type. A field's column is
/// the one of its name, else the one that it is selected for as it is: `user AS user_id` says what a user is.
fn argument_kind(table: &Table, select: &Select, name: &str) -> FieldKind {
    let as_it_is = |item: &&Item| matches!(&item.value, Value::Name(selected) if selected == name);
    let selected_for = || select.items.iter().find(as_it_is).and_then(|item| table.column(&item.column));
    let Some(column) = table.column(name).or_else(selected_for) else { return FieldKind::AnyText };
    FieldKind::Column(match &column.kind {
        ColumnType::Integer { width: IntegerWidth::Big, unsigned: true } => column.kind.clone(),
        ColumnType::Integer { .. } => ColumnType::Integer { width: IntegerWidth::Big, unsigned: false },
        ColumnType::Float => ColumnType::Double,
        ColumnType::Year => ColumnType::Integer { width: IntegerWidth::Big, unsigned: false },
        ColumnType::Text { .. } | ColumnType::Char { .. } | ColumnType::Enum { .. } => ColumnType::TEXT,
        ColumnType::Binary { .. } | ColumnType::VarBinary { .. } => ColumnType::BLOB,
        ColumnType::Time { .. } => ColumnType::Time { digits: None },
        ColumnType::DateTime { .. } => ColumnType::DATETIME,
        ColumnType::Timestamp { .. } => ColumnType::TIMESTAMP,
        kind => kind.clone(),
    })
}

/// What the SELECT reads.
#[derive(Default)]
struct Inputs {
    fields: Vec<DecodeField>,
    metadata: Vec<Metadata>,
    /// Names inside of expressions, as typed.
    arguments: Vec<(String, FieldKind)>,
}

impl Inputs {
    fn of(select: &Select, table: &Table, pipeline: &Pipeline) -> Result<Self, InvalidPipeline> {
        let mut inputs = Self::default();
        for item in &select.items {
            match &item.value {
                Value::Name(name) => inputs.add(name, bare_kind(table, item)),
                Value::Expression(expression) => inputs.add_arguments(expression, &item.place, table, select)?,
            }
        }
        if let Some(condition) = &select.filter {
            inputs.add_arguments(condition, &filter_place(pipeline), table, select)?;
        }
        Ok(inputs)
    }

    fn add_arguments(
        &mut self,
        expression: &Expr,
        place: &str,
        table: &Table,
        select: &Select,
    ) -> Result<(), InvalidPipeline> {
        for name in names(expression).map_err(|why| invalid(place, why))? {
            let kind = argument_kind(table, select, &name);
            self.add(&name, kind.clone());
            let argument = (name, kind);
            if !self.arguments.contains(&argument) {
                self.arguments.push(argument);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, kind: FieldKind) {
        match Metadata::named(name) {
            Some(metadata) if self.metadata.contains(&metadata) => {}
            Some(metadata) => self.metadata.push(metadata),
            None => {
                let field = DecodeField { name: name.to_owned(), kind };
                if !self.fields.contains(&field) {
                    self.fields.push(field);
                }
            }
        }
    }

    /// The input that a name is, read as `kind` if it is a field.
    fn index(&self, name: &str, kind: &FieldKind) -> usize {
        let found = match Metadata::named(name) {
            Some(metadata) => {
                self.metadata.iter().position(|other| *other == metadata).map(|index| self.fields.len() + index)
            }
            None => self.fields.iter().position(|field| field.name == name && field.kind == *kind),
        };
        found.expect("every name of the SELECT was collected")
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.fields.iter().map(|field| Field::new(&field.name, field.kind.arrow_type(), true));
        let metadata = self.metadata.iter().map(|metadata| Field::new(metadata.name(), metadata.data_type(), true));
        Arc::new(Schema::new(fields.chain(metadata).collect::<Vec<_>>()))
    }
}

/// What a bare name is read as: its column's type.
fn bare_kind(table: &Table, item: &Item) -> FieldKind {
    FieldKind::Column(table.column(&item.column).expect("items name columns of the table").kind.clone())
}

/// Names and types, once all inputs are known.
struct Scope {
    inputs: Inputs,
    schema: SchemaRef,
    arguments: SchemaRef,
    argument_inputs: Vec<usize>,
    planner: Planner,
}

impl Scope {
    fn new(inputs: Inputs) -> Result<Self, InvalidPipeline> {
        let schema = inputs.schema();
        let argument_inputs: Vec<usize> =
            inputs.arguments.iter().map(|(name, kind)| inputs.index(name, kind)).collect();
        let arguments = inputs
            .arguments
            .iter()
            .zip(&argument_inputs)
            .map(|((name, _), input)| Field::new(name, schema.field(*input).data_type().clone(), true));
        let arguments: SchemaRef = Arc::new(Schema::new(arguments.collect::<Vec<_>>()));
        let planner = Planner::new(Arc::clone(&arguments)).map_err(|message| InvalidPipeline { message })?;
        Ok(Self { inputs, schema, arguments, argument_inputs, planner })
    }

    fn filter(&self, expression: &Expr, place: &str) -> Result<Filter, InvalidPipeline> {
        let condition = self.planner.plan(place, expression).map_err(|why| invalid(place, why))?;
        if *condition.data_type() != DataType::Boolean {
            return Err(invalid(
                place,
                "it is no condition that is true or false; compare it with something, as in … <> 0",
            ));
        }
        let read = names(expression).map_err(|why| invalid(place, why))?;
        let inputs =
            self.inputs.arguments.iter().zip(&self.argument_inputs).filter(|((name, _), _)| read.contains(name));
        Ok(Filter { condition, inputs: inputs.map(|(_, input)| *input).collect() })
    }

    fn output(
        &self,
        column: &Column,
        item: Option<&Item>,
        table: &Table,
        pipeline: &Pipeline,
    ) -> Result<Output, InvalidPipeline> {
        let place = format!("column {:?}", column.name);
        let nulls = NullRule::of(column).map_err(|why| invalid(&place, why))?;
        let assignment = |from: &DataType| Assignment::plan(from, &column.kind);
        let (origin, assignment) = match item {
            Some(item) => match &item.value {
                Value::Name(name) => match Metadata::named(name) {
                    Some(metadata) => {
                        let assignment = assignment(&metadata.data_type()).map_err(|why| invalid(&item.place, why))?;
                        (Origin::Input(self.inputs.index(name, &bare_kind(table, item))), Some(assignment))
                    }
                    None => (Origin::Input(self.inputs.index(name, &bare_kind(table, item))), None),
                },
                Value::Expression(expression) => {
                    let expression = self.planner.plan(&place, expression).map_err(|why| invalid(&item.place, why))?;
                    let assignment = assignment(expression.data_type()).map_err(|why| invalid(&item.place, why))?;
                    (Origin::Expression(expression), Some(assignment))
                }
            },
            None if nulls.takes_null() => (Origin::Absent, None),
            None => {
                let why = format!(
                    "column {:?} of table {}.{} is NOT NULL without a DEFAULT, and nothing is selected for it; add it to the \
                     list, or give it a DEFAULT",
                    column.name, table.database, table.name
                );
                return Err(invalid(&format!("the SELECT list of pipeline {:?}", pipeline.name), why));
            }
        };
        Ok(Output { origin, data_type: arrow_type(&column.kind), assignment, nulls, place })
    }
}
