//! Arrays and maps on their way into a column: what is common to all types of lists, and which row an element is of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::write::decode::reason::BadValue;

/// The one type of lists that all of them can be cast to; `None` for what is none.
pub(super) fn list_type(from: &DataType) -> Option<DataType> {
    match from {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => Some(DataType::List(Arc::clone(field))),
        _ => None,
    }
}

pub(super) fn as_list(values: &ArrayRef) -> Option<ArrayRef> {
    cast(values, &list_type(values.data_type())?).ok()
}

/// What is wrong with elements, said of the rows that they are of. Elements between the rows' own are nobody's.
pub(super) fn by_row(
    offsets: &OffsetBuffer<i32>,
    bad: Vec<(usize, BadValue)>,
    place: impl Fn(usize) -> String,
) -> Vec<(usize, BadValue)> {
    let of_row = |(element, why): (usize, BadValue)| {
        let row = offsets.partition_point(|start| *start as usize <= element).checked_sub(1)?;
        (row + 1 < offsets.len()).then(|| (row, why.at(place(element - offsets[row] as usize))))
    };
    bad.into_iter().filter_map(of_row).collect()
}

/// Some value of a type that keys can have.
pub(super) fn any_key(keys: &ArrayRef) -> ArrayRef {
    match keys.data_type() {
        DataType::Utf8 => Arc::new(StringArray::from(vec![""])),
        data_type => cast(&Int32Array::from(vec![0]), data_type).unwrap_or_else(|_| {
            let zero = Arc::new(Int64Array::from(vec![0])) as ArrayRef;
            cast(&zero, data_type).expect("integers, days and moments are numbers")
        }),
    }
}
