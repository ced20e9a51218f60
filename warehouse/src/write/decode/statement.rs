//! What a statement gives to a column: literals, parameters, the columns of a query. INSERT's way to a column's values.
//!
//! The rules are those of MySQL's strict mode: a text may hold a number, a number becomes text, digits after the point are
//! rounded; what does not fit is an error that names column, row and value, and nothing is cut off or becomes NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, StringArray, UInt32Array, new_null_array};
use arrow::compute::kernels::take::take;
use arrow::datatypes::DataType;
use catalog::{Column, ColumnType, Scalar};

use super::reason::ErrorReason;
use super::transform::{Assignment, NullRule, Rules};
use crate::schema::arrow_type;
use crate::write::flush::scalar_at;

/// A value that its column does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnfitValue {
    /// The column.
    pub column: String,
    /// The row's index in the array.
    pub row: usize,
    /// Why, in one word.
    pub reason: ErrorReason,
    /// Why, in a sentence that names the value.
    pub message: String,
}

/// How one column takes the values of a statement.
#[derive(Clone, Debug)]
pub struct StatementColumn {
    name: String,
    nullable: bool,
    data_type: DataType,
    default: Option<ArrayRef>,
    assignment: Option<Assignment>,
}

impl StatementColumn {
    /// How `column` takes values of the type `from`. Hand numbers that were typed as their text: so no digit is lost.
    ///
    /// # Errors
    /// If no value of that type can be one of the column; the sentence says what to write instead.
    pub fn assigned(column: &Column, from: &DataType) -> Result<Self, String> {
        let assignment = Assignment::by(Rules::Statement, from, &column.kind)?;
        Ok(Self { assignment: Some(assignment), ..Self::absent(column)? })
    }

    /// How `column` is filled where the statement does not name it.
    ///
    /// # Errors
    /// If the column's DEFAULT is no value of its type.
    pub fn absent(column: &Column) -> Result<Self, String> {
        Ok(Self {
            name: column.name.clone(),
            nullable: column.nullable,
            data_type: arrow_type(&column.kind),
            default: NullRule::of(column)?.default().cloned(),
            assignment: None,
        })
    }

    /// `values` as values of the column. An explicit NULL stays NULL: a DEFAULT is for what is not given.
    ///
    /// # Errors
    /// The first value, by row, that the column does not take.
    pub fn assign(&self, values: &ArrayRef) -> Result<ArrayRef, UnfitValue> {
        let (column, mut bad) = match &self.assignment {
            Some(assignment) => assignment.apply(values),
            None => (Arc::clone(values), Vec::new()),
        };
        bad.sort_by_key(|(row, _)| *row);
        if let Some((row, bad)) = bad.into_iter().next() {
            return Err(UnfitValue { column: self.name.clone(), row, reason: bad.reason, message: bad.message });
        }
        match (0..column.len()).find(|row| !self.nullable && column.is_null(*row)) {
            Some(row) => Err(self.missing(row, "NULL")),
            None => Ok(column),
        }
    }

    /// What the column holds in `rows` rows that do not give it a value: its DEFAULT, else NULL.
    ///
    /// # Errors
    /// If it is NOT NULL and has no DEFAULT.
    pub fn defaults(&self, rows: usize) -> Result<ArrayRef, UnfitValue> {
        match &self.default {
            Some(default) => {
                let first = UInt32Array::from_value(0, rows);
                Ok(take(default, &first, None).expect("the DEFAULT is an array of one value"))
            }
            None if self.nullable || rows == 0 => Ok(new_null_array(&self.data_type, rows)),
            None => Err(self.missing(0, "no value, and there is no DEFAULT")),
        }
    }

    fn missing(&self, row: usize, what: &str) -> UnfitValue {
        let message = format!("column {:?} is NOT NULL, and it is given {what}", self.name);
        UnfitValue { column: self.name.clone(), row, reason: ErrorReason::MissingNotNull, message }
    }
}

/// The value of a column of `kind` that a text holds: a DEFAULT, by the same rules.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn value_of_text(kind: &ColumnType, text: &str) -> Result<Scalar, String> {
    value_of(kind, &(Arc::new(StringArray::from(vec![text])) as ArrayRef))
}

/// The value of a column of `kind` that a row of bytes is.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn value_of_bytes(kind: &ColumnType, bytes: &[u8]) -> Result<Scalar, String> {
    value_of(kind, &(Arc::new(BinaryArray::from(vec![bytes])) as ArrayRef))
}

fn value_of(kind: &ColumnType, value: &ArrayRef) -> Result<Scalar, String> {
    let (value, bad) = Assignment::by(Rules::Statement, value.data_type(), kind)?.apply(value);
    match bad.into_iter().next() {
        Some((_, bad)) => Err(bad.message),
        None => Ok(scalar_at(&value, 0)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BooleanArray, Float64Array, Int64Array, Int64Builder, ListArray, MapBuilder, StringBuilder,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int64Type;
    use arrow::util::display::array_value_to_string;

    use super::super::tests::{BIG, INT, TEXT, TINY, UNSIGNED_BIG, column, decimal, not_null, varchar, with_default};
    use super::*;

    fn stored(kind: ColumnType, values: &ArrayRef) -> Result<String, ErrorReason> {
        let column = StatementColumn::assigned(&column("c", kind), values.data_type()).expect("the types go together");
        let stored = column.assign(values).map_err(|unfit| unfit.reason)?;
        Ok(array_value_to_string(&stored, 0).expect("every type has a text"))
    }

    fn text(kind: ColumnType, text: &str) -> Result<String, ErrorReason> {
        stored(kind, &(Arc::new(StringArray::from(vec![text])) as ArrayRef))
    }

    fn ok(text: &str) -> Result<String, ErrorReason> {
        Ok(text.to_owned())
    }

    #[test]
    fn a_text_that_holds_a_number_is_one_and_is_rounded() {
        assert_eq!(text(INT, "517"), ok("517"));
        assert_eq!(text(INT, " -1.5 "), ok("-2"));
        assert_eq!(text(TINY, "127.4"), ok("127"));
        assert_eq!(text(TINY, "127.5"), Err(ErrorReason::OutOfRange));
        assert_eq!(text(UNSIGNED_BIG, "18446744073709551615"), ok("18446744073709551615"));
        assert_eq!(text(UNSIGNED_BIG, "-1"), Err(ErrorReason::OutOfRange));
        assert_eq!(text(decimal(10, 2), "1.005"), ok("1.01"));
        assert_eq!(text(decimal(38, 0), &"9".repeat(38)), ok(&"9".repeat(38)));
        assert_eq!(text(ColumnType::Double, "1e3"), ok("1000.0"));
        assert_eq!(text(ColumnType::Double, "1e999"), Err(ErrorReason::OutOfRange));
        assert_eq!(text(ColumnType::Boolean, "1"), ok("true"));
        for (kind, bad) in [(INT, "12x"), (INT, ""), (ColumnType::Double, "inf"), (decimal(4, 1), "1,5")] {
            assert_eq!(text(kind, bad), Err(ErrorReason::WrongType), "{bad}");
        }
    }

    #[test]
    fn blanks_and_line_ends_around_a_number_or_a_time_are_none_of_it() {
        assert_eq!(text(INT, "\t3\r\n"), ok("3"));
        assert_eq!(text(ColumnType::Double, "\u{b}1.5\u{c}"), ok("1.5"));
        assert_eq!(text(ColumnType::Date, "\n2013-01-31\t"), ok("2013-01-31"));
        for text_of in ["1\u{a0}", "1\n2", "\n"] {
            assert_eq!(text(INT, text_of), Err(ErrorReason::WrongType), "{text_of:?}");
        }
        assert_eq!(text(TEXT, " a\n"), ok(" a\n"), "a text keeps them");
    }

    #[test]
    fn numbers_are_rounded_and_never_wrap() {
        let float = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
        assert_eq!(stored(INT, &float(2.5)), ok("2"));
        assert_eq!(stored(INT, &float(3.5)), ok("4"));
        assert_eq!(stored(BIG, &float(9.3e18)), Err(ErrorReason::OutOfRange));
        assert_eq!(stored(ColumnType::Double, &float(f64::NAN)), Err(ErrorReason::OutOfRange));
        let integer = Arc::new(Int64Array::from(vec![300])) as ArrayRef;
        assert_eq!(stored(TINY, &integer), Err(ErrorReason::OutOfRange));
        assert_eq!(stored(TEXT, &integer), ok("300"));
        assert_eq!(stored(varchar(2), &integer), Err(ErrorReason::TooLong));
        assert_eq!(stored(TEXT, &(Arc::new(BooleanArray::from(vec![true])) as ArrayRef)), ok("1"));
    }

    #[test]
    fn a_time_gives_its_day() {
        assert_eq!(text(ColumnType::Date, "2013-01-31 23:59:59"), ok("2013-01-31"));
        assert_eq!(text(ColumnType::Date, "2013-02-30"), Err(ErrorReason::WrongType));
    }

    #[test]
    fn dates_and_times_are_taken_as_people_type_them() {
        let datetime = ColumnType::DateTime { digits: Some(0) };
        assert_eq!(text(ColumnType::Date, "2024-1-5"), ok("2024-01-05"));
        assert_eq!(text(ColumnType::Date, "20240105"), ok("2024-01-05"));
        assert_eq!(text(ColumnType::Date, "24/1/5 23:00"), ok("2024-01-05"));
        assert_eq!(text(datetime.clone(), "2024-1-5 3:4:5.5"), ok("2024-01-05T03:04:06"));
        assert_eq!(text(ColumnType::Time { digits: Some(0) }, "1 1:2:3"), ok("PT90123S"));
        for bad in ["2024-2-30", "20241301", "2024-1-5 25:00", "10:11:12"] {
            assert_eq!(text(datetime.clone(), bad), Err(ErrorReason::WrongType), "{bad}");
        }
    }

    #[test]
    fn arrays_and_maps_come_as_json_or_as_values_whose_elements_are_looked_at() {
        let tinies = ColumnType::Array { element: Box::new(TINY) };
        assert_eq!(text(tinies.clone(), "[1, null]"), ok("[1, ]"));
        assert_eq!(text(tinies.clone(), "[300]"), Err(ErrorReason::OutOfRange));
        assert_eq!(text(tinies.clone(), "[1"), Err(ErrorReason::MalformedJson));
        let lists = |rows: Vec<Option<Vec<Option<i64>>>>| {
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows)) as ArrayRef
        };
        assert_eq!(stored(tinies.clone(), &lists(vec![Some(vec![Some(1), None])])), ok("[1, ]"));
        let plan = StatementColumn::assigned(&column("c", tinies), lists(Vec::new()).data_type()).unwrap();
        let values = lists(vec![None, Some(vec![Some(1)]), Some(vec![]), Some(vec![Some(2), Some(300)])]);
        let unfit = plan.assign(&values).unwrap_err();
        assert_eq!((unfit.row, unfit.reason), (3, ErrorReason::OutOfRange));
        assert!(unfit.message.contains("element 2: 300"), "{}", unfit.message);
        assert_eq!(plan.assign(&values.slice(1, 2)).unwrap().len(), 2);

        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for (key, value) in [("a", 1), ("long", 2)] {
            map.keys().append_value(key);
            map.values().append_value(value);
            map.append(true).unwrap();
        }
        let map: ArrayRef = Arc::new(map.finish());
        let kind = ColumnType::Map { key: Box::new(varchar(1)), value: Box::new(decimal(4, 1)) };
        let plan = StatementColumn::assigned(&column("c", kind), map.data_type()).unwrap();
        assert_eq!(array_value_to_string(&plan.assign(&map.slice(0, 1)).unwrap(), 0).unwrap(), "{a: 1.0}");
        let unfit = plan.assign(&map).unwrap_err();
        assert_eq!((unfit.row, unfit.reason), (1, ErrorReason::TooLong));
    }

    #[test]
    fn bytes_times_and_years_by_the_rules_of_mysql() {
        assert_eq!(text(ColumnType::Binary { bytes: 3 }, "ab"), ok("616200"));
        assert_eq!(text(ColumnType::VarBinary { bytes_max: Some(1) }, "ab"), Err(ErrorReason::TooLong));
        let bytes = |bytes: &[u8]| Arc::new(BinaryArray::from(vec![bytes])) as ArrayRef;
        assert_eq!(stored(varchar(4), &bytes("grüß".as_bytes())), ok("grüß"));
        assert_eq!(stored(varchar(3), &bytes("grüß".as_bytes())), Err(ErrorReason::TooLong));
        assert_eq!(stored(ColumnType::Char { characters: 2 }, &bytes(b"a ")), ok("a"));
        assert_eq!(stored(ColumnType::Enum { values: vec!["a".into()] }, &bytes(b"b")), Err(ErrorReason::NotInEnum));
        let unfit = StatementColumn::assigned(&column("c", TEXT), &DataType::Binary).unwrap();
        let unfit = unfit.assign(&bytes(b"ab\xff")).unwrap_err();
        assert_eq!(
            (unfit.reason, &*unfit.message),
            (ErrorReason::NotUtf8, "\\xFF at byte 2 is no UTF-8, and cannot become text")
        );
        assert_eq!(text(ColumnType::Year, "24"), ok("2024"));
        assert_eq!(text(ColumnType::Year, "70"), ok("1970"));
        assert_eq!(text(ColumnType::Year, "1900"), Err(ErrorReason::OutOfRange));
        assert_eq!(text(ColumnType::Time { digits: Some(0) }, " 10:00:00.5 "), ok("PT36001S"));
        let moment = Arc::new(TimestampMicrosecondArray::from(vec![1_500_000])) as ArrayRef;
        assert_eq!(stored(ColumnType::DateTime { digits: Some(0) }, &moment), ok("1970-01-01T00:00:02"));
        assert_eq!(stored(TEXT, &moment), ok("1970-01-01 00:00:01.500"));
        assert_eq!(text(ColumnType::Enum { values: vec!["a".into()] }, "b"), Err(ErrorReason::NotInEnum));
        assert_eq!(text(ColumnType::Char { characters: 1 }, "a  "), ok("a"));
    }

    #[test]
    fn an_error_names_column_row_and_value() {
        let column = StatementColumn::assigned(&column("c", TINY), &DataType::Utf8).unwrap();
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), None, Some("300"), Some("x")]));
        let unfit = column.assign(&values).unwrap_err();
        assert_eq!((&*unfit.column, unfit.row, unfit.reason), ("c", 2, ErrorReason::OutOfRange));
        assert!(unfit.message.contains("300") && unfit.message.contains("tinyint"), "{}", unfit.message);
    }

    #[test]
    fn a_default_is_for_what_is_not_given_and_never_for_null() {
        let plan = |column: &Column| StatementColumn::assigned(column, &DataType::Utf8).unwrap();
        let nulls: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), None]));
        let with_seven = with_default(column("c", INT), Scalar::Int(7));
        assert!(plan(&with_seven).assign(&nulls).unwrap().is_null(1));
        assert_eq!(array_value_to_string(&plan(&with_seven).defaults(3).unwrap(), 2).unwrap(), "7");
        let unfit = plan(&not_null("c", INT)).assign(&nulls).unwrap_err();
        assert_eq!((unfit.row, unfit.reason), (1, ErrorReason::MissingNotNull));
        assert!(plan(&not_null("c", INT)).defaults(1).unwrap_err().message.contains("no DEFAULT"));
        assert_eq!(plan(&column("c", INT)).defaults(2).unwrap().null_count(), 2);
    }
}
