//! `_topic` and `_partition`: what a row's stream says, so nothing is stored for them.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use catalog::{StreamId, StreamView};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// What is asked of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum StreamColumn {
    /// `_topic`.
    Topic,
    /// `_partition`.
    Partition,
}

impl StreamColumn {
    /// `_topic`.
    pub(super) const TOPIC_NAME: &str = "_topic";
    /// `_partition`.
    pub(super) const PARTITION_NAME: &str = "_partition";

    /// Its name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Topic => Self::TOPIC_NAME,
            Self::Partition => Self::PARTITION_NAME,
        }
    }

    /// Its type.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Topic => DataType::Utf8,
            Self::Partition => DataType::Int32,
        }
    }
}

/// The function from `_stream` to one of these, over the streams of one snapshot.
#[derive(Debug)]
struct OfStream {
    column: StreamColumn,
    streams: Arc<BTreeMap<StreamId, StreamView>>,
    signature: Signature,
}

impl PartialEq for OfStream {
    fn eq(&self, other: &Self) -> bool {
        self.column == other.column && Arc::ptr_eq(&self.streams, &other.streams)
    }
}

impl Eq for OfStream {}

impl Hash for OfStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
    }
}

/// The function from `_stream` to `column`, for the streams of a snapshot.
pub(super) fn of_stream(column: StreamColumn, streams: &Arc<BTreeMap<StreamId, StreamView>>) -> Arc<ScalarUDF> {
    let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(OfStream { column, streams: Arc::clone(streams), signature }))
}

impl OfStream {
    /// The rows of an INSERT are of no topic and no partition.
    fn identities<'a>(&'a self, ids: &'a ArrayRef) -> impl Iterator<Item = Option<&'a catalog::PartitionIdentity>> {
        let of =
            |id: i64| self.streams.get(&StreamId(id.cast_unsigned())).and_then(|view| view.stream.identity.partition());
        ids.as_primitive::<Int64Type>().iter().map(move |id| id.and_then(of))
    }

    fn values(&self, ids: &ArrayRef) -> ArrayRef {
        match self.column {
            StreamColumn::Topic => {
                let topics: StringArray = self.identities(ids).map(|of| of.map(|of| of.topic.as_str())).collect();
                Arc::new(topics)
            }
            StreamColumn::Partition => {
                let partitions: Int32Array = self.identities(ids).map(|of| of.map(|of| of.partition)).collect();
                Arc::new(partitions)
            }
        }
    }
}

impl ScalarUDFImpl for OfStream {
    fn name(&self) -> &str {
        self.column.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.column.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ids] = args.args.as_slice() else {
            return Err(datafusion::common::DataFusionError::Execution(format!("{} takes a stream", self.name())));
        };
        match ids {
            ColumnarValue::Array(ids) => Ok(ColumnarValue::Array(self.values(ids))),
            ColumnarValue::Scalar(id) => {
                let value = self.values(&id.to_array()?);
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?))
            }
        }
    }
}
