//! `kafka(…)` and `kafka_topics(…)` in FROM: found in a query's syntax tree, opened, and given to the engine as tables of a schema of its own. Owns
//! neither the reading of topics nor the meaning of names.
//!
//! ```text
//!  FROM kafka(brokers = …) ──take──> FROM `kafka()`.`1` AS kafka ──open──> TopicTable, a table of the schema `kafka()`
//! ```

mod arguments;
mod call;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::KafkaSource;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    ObjectName, ObjectNamePart, Statement, TableAlias, TableFactor, TableFunctionArgs, VisitorMut,
};
use vfs::Clock;
use warehouse::read::topic::{TopicQuery, TopicTable, topic_list};
use warehouse::walk::walk_mut;
use warehouse::write::source::SourceConnector;

use super::resolve::{Relation, exact};
use crate::mysql::SqlError;

pub(crate) use call::position_of_start;

/// The schema of the tables that calls become; no database can have this name's parentheses and be reached without quotes.
const SCHEMA: &str = "kafka()";
/// The function whose rows are records.
const RECORDS: &str = "kafka";
/// The function whose rows are partitions of topics.
const TOPICS: &str = "kafka_topics";

/// A call.
#[derive(Debug, PartialEq)]
enum Call {
    Records(Box<TopicQuery>),
    Topics(KafkaSource),
}

/// The calls of one statement, each once.
#[derive(Debug, Default)]
pub(crate) struct TopicCalls(Vec<Call>);

/// The tables that they have become.
#[derive(Debug, Default)]
pub(crate) struct TopicTables(Vec<Arc<dyn TableProvider>>);

impl TopicCalls {
    /// Takes the calls out of `statement`, and puts names of tables in their place.
    pub(crate) fn take(statement: &mut Statement) -> Result<Self, SqlError> {
        let mut taker = Taker(Self::default());
        match walk_mut(statement, &mut taker) {
            ControlFlow::Continue(()) => Ok(taker.0),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Opens them: ranges and columns are fixed from here on.
    pub(crate) async fn open(
        self,
        connector: &Arc<dyn SourceConnector>,
        clock: &Arc<dyn Clock>,
    ) -> Result<TopicTables, SqlError> {
        let mut tables = Vec::new();
        for call in self.0 {
            tables.push(call.open(connector, clock).await?);
        }
        Ok(TopicTables(tables))
    }
}

impl Call {
    /// The call of `function`, if it is one of ours.
    fn read(function: &str, given: &TableFunctionArgs) -> Result<Self, SqlError> {
        let pairs = arguments::pairs(function, given)?;
        match function {
            TOPICS => call::topics(&pairs).map(Self::Topics),
            _ => call::query(&pairs).map(|query| Self::Records(Box::new(query))),
        }
    }

    async fn open(
        self,
        connector: &Arc<dyn SourceConnector>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn TableProvider>, SqlError> {
        match self {
            Self::Records(query) => {
                let table = TopicTable::open(Arc::clone(connector), Arc::clone(clock), *query).await;
                let table = table.map_err(|error| SqlError::other(format!("{RECORDS}(…): {error}")))?;
                Ok(Arc::new(table))
            }
            Self::Topics(kafka) => {
                let list = topic_list(connector.as_ref(), &kafka).await;
                list.map_err(|error| SqlError::other(format!("{TOPICS}(…): {error}")))
            }
        }
    }
}

impl TopicTables {
    /// How their names and columns are spelled.
    pub(crate) fn relations(&self) -> Vec<Relation> {
        let relation = |(number, table): (usize, &Arc<dyn TableProvider>)| Relation {
            database: SCHEMA.to_owned(),
            table: name_of(number),
            columns: Arc::new(table.schema().fields().iter().map(|field| field.name().clone()).collect()),
        };
        self.0.iter().enumerate().map(relation).collect()
    }

    /// The schema that they are tables of, if there are any.
    pub(crate) fn schema(self) -> BTreeMap<String, Arc<dyn SchemaProvider>> {
        match self.0.is_empty() {
            true => BTreeMap::new(),
            false => BTreeMap::from([(SCHEMA.to_owned(), Arc::new(TopicSchema(self.0)) as Arc<dyn SchemaProvider>)]),
        }
    }
}

fn name_of(number: usize) -> String {
    (number + 1).to_string()
}

struct Taker(TopicCalls);

impl VisitorMut for Taker {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::Table { name, alias, args, .. } = factor else { return ControlFlow::Continue(()) };
        let function = match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] => {
                [RECORDS, TOPICS].into_iter().find(|function| ident.value.eq_ignore_ascii_case(function))
            }
            _ => None,
        };
        let (Some(function), Some(given)) = (function, args.take_if(|_| function.is_some())) else {
            return ControlFlow::Continue(());
        };
        let call = match Call::read(function, &given) {
            Ok(call) => call,
            Err(error) => return ControlFlow::Break(error),
        };
        let calls = &mut self.0.0;
        let number = calls.iter().position(|known| *known == call).unwrap_or_else(|| {
            calls.push(call);
            calls.len() - 1
        });
        *name = ObjectName::from(vec![exact(SCHEMA), exact(name_of(number))]);
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: exact(function),
            columns: Vec::new(),
            at: None,
        });
        ControlFlow::Continue(())
    }
}

/// The schema of one statement's calls.
#[derive(Debug)]
struct TopicSchema(Vec<Arc<dyn TableProvider>>);

#[async_trait]
impl SchemaProvider for TopicSchema {
    fn table_names(&self) -> Vec<String> {
        (0..self.0.len()).map(name_of).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let found = self.0.iter().enumerate().find(|(number, _)| name_of(*number) == name);
        Ok(found.map(|(_, table)| Arc::clone(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

#[cfg(test)]
mod tests;
