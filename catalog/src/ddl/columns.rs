//! What a table's columns, partitioning and sort order may be. Pure.

use std::collections::BTreeSet;

use super::NewTable;
use crate::{
    CatalogError, Column, ColumnId, ColumnType, IntegerWidth, PartitionField, PartitionTransform, Scalar, names,
};

/// A DECIMAL's most digits.
const DECIMAL_DIGITS_MAX: u8 = 38;
/// Digits that a second's fraction may have.
const FRACTION_DIGITS_MAX: u8 = 6;
/// How deeply ARRAY and MAP may be nested. The ids of inner fields leave no room for more (`schema.rs` of the warehouse).
const NESTING_MAX: u32 = 5;
/// What an ENUM may have of values, and a value of characters: the whole list stands in the table's record.
const ENUM_VALUES_MAX: usize = 1000;
const ENUM_CHARACTERS_MAX: usize = 255;
/// The longest TIME, 838:59:59, in microseconds; below zero as long.
const TIME_MICROS_MAX: u64 = (838 * 3600 + 59 * 60 + 59) * 1_000_000;
/// The longest COMMENT of a column, in characters, as in MySQL.
const COMMENT_CHARACTERS_MAX: usize = 1024;

/// The most characters that the texts of a partition value may have together: the value stands whole in the record of each
/// part, and no record may grow beyond what a store takes.
const PARTITION_CHARACTERS_MAX: u32 = 1024;

/// A column of a table to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What stands where a record has no value.
    pub default: Option<Scalar>,
    /// Its COMMENT.
    pub comment: String,
}

impl NewColumn {
    /// A column without DEFAULT and COMMENT.
    pub fn new(name: impl Into<String>, kind: ColumnType, nullable: bool) -> Self {
        Self { name: name.into(), kind, nullable, default: None, comment: String::new() }
    }
}

/// The columns with their ids: 1, 2, 3 and so on, for ever.
pub(super) fn columns(new: &NewTable) -> Result<Vec<Column>, CatalogError> {
    if new.columns.is_empty() {
        return Err(CatalogError::invalid(format!("table `{}` has no column: name at least one", new.name)));
    }
    let mut names = BTreeSet::new();
    for column in &new.columns {
        names::check_column(&column.name)?;
        check_kind(column)?;
        check_default(column)?;
        if !names.insert(column.name.to_ascii_lowercase()) {
            return Err(fault(column, "is there twice; names are compared without regard to case: rename one"));
        }
        if column.comment.chars().count() > COMMENT_CHARACTERS_MAX {
            return Err(fault(
                column,
                &format!("has a COMMENT of more than {COMMENT_CHARACTERS_MAX} characters: shorten it"),
            ));
        }
    }
    let with_id = |(column, id): (&NewColumn, i32)| Column {
        id: ColumnId(id),
        name: column.name.clone(),
        kind: column.kind.clone(),
        nullable: column.nullable,
        default: column.default.clone(),
        comment: column.comment.clone(),
    };
    Ok(new.columns.iter().zip(1..).map(with_id).collect())
}

fn fault(column: &NewColumn, fault: &str) -> CatalogError {
    CatalogError::invalid(format!("column `{}` {fault}", column.name))
}

fn check_kind(column: &NewColumn) -> Result<(), CatalogError> {
    match kind_fault(&column.kind, 1) {
        Some(why) => Err(fault(column, &why)),
        None => Ok(()),
    }
}

/// What is wrong with a type that stands `depth` levels deep.
fn kind_fault(kind: &ColumnType, depth: u32) -> Option<String> {
    match kind {
        ColumnType::Decimal { precision, scale } if *precision == 0 || *precision > DECIMAL_DIGITS_MAX => {
            Some(format!("is DECIMAL({precision},{scale}): give it 1 to {DECIMAL_DIGITS_MAX} digits"))
        }
        ColumnType::Decimal { precision, scale } if scale > precision => {
            Some(format!("is DECIMAL({precision},{scale}): it cannot have more digits after the point than in all"))
        }
        ColumnType::Time { digits: Some(digits) }
        | ColumnType::DateTime { digits: Some(digits) }
        | ColumnType::Timestamp { digits: Some(digits) }
            if *digits > FRACTION_DIGITS_MAX =>
        {
            Some(format!("has {digits} digits of a second: times have 0 to {FRACTION_DIGITS_MAX}"))
        }
        ColumnType::Text { characters_max: Some(0) } => Some("is VARCHAR(0): give it room for a character".to_owned()),
        ColumnType::VarBinary { bytes_max: Some(0) } => Some("is VARBINARY(0): give it room for a byte".to_owned()),
        ColumnType::Char { characters: length @ (0 | 256..) } => {
            Some(format!("is CHAR({length}): it may have 1 to 255 characters; use VARCHAR for more"))
        }
        ColumnType::Binary { bytes: length @ (0 | 256..) } => {
            Some(format!("is BINARY({length}): it may have 1 to 255 bytes; use VARBINARY for more"))
        }
        ColumnType::Enum { values } => enum_fault(values),
        ColumnType::Array { .. } | ColumnType::Map { .. } if depth > NESTING_MAX => {
            Some(format!("nests ARRAY and MAP more than {NESTING_MAX} levels deep: use JSON for the inner ones"))
        }
        ColumnType::Map { key, .. } if !may_be_key(key) => {
            Some("is a MAP whose keys are neither integers nor texts nor dates: choose such a key".to_owned())
        }
        nested => nested.inner().into_iter().find_map(|inner| kind_fault(inner, depth + 1)),
    }
}

fn enum_fault(values: &[String]) -> Option<String> {
    if values.is_empty() || values.len() > ENUM_VALUES_MAX {
        return Some(format!("is an ENUM of {} values: give it 1 to {ENUM_VALUES_MAX}", values.len()));
    }
    let mut seen = BTreeSet::new();
    let twice = values.iter().find(|value| !seen.insert(value.as_str()));
    let long = values.iter().find(|value| value.chars().count() > ENUM_CHARACTERS_MAX);
    match (twice, long) {
        (Some(twice), _) => Some(format!("is an ENUM with {twice:?} in it twice: drop one")),
        (_, Some(long)) => Some(format!(
            "is an ENUM with a value of {} characters: shorten it to {ENUM_CHARACTERS_MAX}",
            long.chars().count()
        )),
        _ => None,
    }
}

/// A key is written as a JSON object's name, and read back from one.
fn may_be_key(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Integer { .. }
            | ColumnType::Text { .. }
            | ColumnType::Char { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Date
            | ColumnType::DateTime { .. }
            | ColumnType::Timestamp { .. }
    )
}

fn check_default(column: &NewColumn) -> Result<(), CatalogError> {
    let Some(default) = &column.default else { return Ok(()) };
    if matches!(default, Scalar::Null) {
        return match column.nullable {
            true => Ok(()),
            false => Err(fault(column, "is NOT NULL and has DEFAULT NULL: drop one of the two")),
        };
    }
    match fits(&column.kind, default) {
        true => Ok(()),
        false => Err(fault(column, &format!("cannot hold its DEFAULT, {default}: give it a value of its type"))),
    }
}

/// Whether the value is one of the type, in the form in which the type's values are kept.
fn fits(kind: &ColumnType, value: &Scalar) -> bool {
    match (kind, value) {
        (ColumnType::Boolean, Scalar::Bool(_))
        | (ColumnType::Float | ColumnType::Double, Scalar::Float(_))
        | (ColumnType::Date, Scalar::Date(_)) => true,
        (ColumnType::DateTime { digits } | ColumnType::Timestamp { digits }, Scalar::Micros(micros)) => {
            is_rounded(*micros, *digits)
        }
        (ColumnType::Time { digits }, Scalar::Micros(micros)) => {
            is_rounded(*micros, *digits) && micros.unsigned_abs() <= TIME_MICROS_MAX
        }
        (ColumnType::Year, Scalar::Int(year)) => *year == 0 || (1901..=2155).contains(year),
        (ColumnType::Char { characters }, Scalar::Text(text)) => {
            !text.ends_with(' ') && text.chars().count() as u64 <= u64::from(*characters)
        }
        (ColumnType::Enum { values }, Scalar::Text(text)) => values.contains(text),
        (ColumnType::Binary { bytes: length }, Scalar::Bytes(bytes)) => bytes.len() as u64 == u64::from(*length),
        (ColumnType::VarBinary { bytes_max }, Scalar::Bytes(bytes)) => {
            bytes_max.is_none_or(|max| bytes.len() as u64 <= u64::from(max))
        }
        (ColumnType::Integer { width, unsigned }, Scalar::Int(value)) => {
            in_bounds(*width, *unsigned, i128::from(*value))
        }
        (ColumnType::Integer { width, unsigned }, Scalar::Decimal(value, 0)) => in_bounds(*width, *unsigned, value.0),
        (ColumnType::Decimal { precision, scale }, Scalar::Decimal(value, given)) => {
            i16::from(*scale) == i16::from(*given) && value.0.unsigned_abs() < 10_u128.pow(u32::from(*precision))
        }
        (ColumnType::Text { characters_max }, Scalar::Text(text)) => {
            characters_max.is_none_or(|max| text.chars().count() as u64 <= u64::from(max))
        }
        (ColumnType::Json, Scalar::Text(text)) => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        _ => false,
    }
}

/// Whether there is nothing below the last of `digits` of a second.
fn is_rounded(micros: i64, digits: Option<u8>) -> bool {
    digits.is_none_or(|digits| micros % 10_i64.pow(u32::from(FRACTION_DIGITS_MAX.saturating_sub(digits))) == 0)
}

fn in_bounds(width: IntegerWidth, unsigned: bool, value: i128) -> bool {
    let bits = match width {
        IntegerWidth::Tiny => 8,
        IntegerWidth::Small => 16,
        IntegerWidth::Int => 32,
        IntegerWidth::Big => 64,
    };
    let span = 1_i128 << bits;
    if unsigned { (0..span).contains(&value) } else { (-span / 2..span / 2).contains(&value) }
}

/// PARTITION BY, by column ids.
pub(super) fn partition_by(new: &NewTable, columns: &[Column]) -> Result<Vec<PartitionField>, CatalogError> {
    let mut fields: Vec<PartitionField> = Vec::new();
    let mut characters_left = PARTITION_CHARACTERS_MAX;
    for (name, transform) in &new.partition_by {
        let column = find(columns, name, "PARTITION BY")?;
        if let Some(fault) = misfit(&column.kind, *transform) {
            return Err(CatalogError::invalid(format!("PARTITION BY `{name}`: {fault}")));
        }
        let field = PartitionField { column: column.id, transform: *transform };
        if fields.contains(&field) {
            return Err(CatalogError::invalid(format!("PARTITION BY names `{name}` twice in the same way: drop one")));
        }
        let characters_max = match &column.kind {
            ColumnType::Text { characters_max } => Some(*characters_max),
            ColumnType::Char { characters } => Some(Some(*characters)),
            ColumnType::Enum { values } => values.iter().map(|value| u32::try_from(value.chars().count()).ok()).max(),
            _ => None,
        };
        if let Some(characters_max) = characters_max {
            characters_left = characters_max.and_then(|max| characters_left.checked_sub(max)).ok_or_else(|| {
                CatalogError::invalid(format!(
                    "PARTITION BY `{name}`: each part's record holds the whole value, so texts in PARTITION BY may have \
                     {PARTITION_CHARACTERS_MAX} characters together: give the column a length, as in VARCHAR(100)"
                ))
            })?;
        }
        fields.push(field);
    }
    Ok(fields)
}

/// Why a column of that type cannot be partitioned by so.
fn misfit(kind: &ColumnType, transform: PartitionTransform) -> Option<&'static str> {
    let is_moment = matches!(kind, ColumnType::DateTime { .. } | ColumnType::Timestamp { .. });
    match transform {
        PartitionTransform::Identity => match kind {
            ColumnType::Float | ColumnType::Double => {
                Some("a FLOAT or DOUBLE has too many values: choose another column")
            }
            ColumnType::Json => {
                Some("JSON is kept as the text received, and the same value has many: choose another column")
            }
            ColumnType::Array { .. } | ColumnType::Map { .. } => {
                Some("an ARRAY or MAP is no value to put parts in order by: choose another column")
            }
            ColumnType::Binary { .. } | ColumnType::VarBinary { .. } => {
                Some("bytes have too many values, and names nobody can read: choose another column")
            }
            _ => None,
        },
        PartitionTransform::Year | PartitionTransform::Month | PartitionTransform::Day => {
            let fits = is_moment || *kind == ColumnType::Date;
            (!fits).then_some("year(), month() and day() take a DATE, DATETIME or TIMESTAMP: choose such a column")
        }
        PartitionTransform::Hour => {
            (!is_moment).then_some("hour() takes a DATETIME or TIMESTAMP: choose such a column, or day() for a DATE")
        }
    }
}

/// ORDER BY, by column ids.
pub(super) fn order_by(new: &NewTable, columns: &[Column]) -> Result<Vec<ColumnId>, CatalogError> {
    let mut ids: Vec<ColumnId> = Vec::new();
    for name in &new.order_by {
        let column = find(columns, name, "ORDER BY")?;
        if let Some(what) = match &column.kind {
            ColumnType::Json => Some("JSON has"),
            ColumnType::Array { .. } => Some("arrays have"),
            ColumnType::Map { .. } => Some("maps have"),
            _ => None,
        } {
            let message =
                format!("ORDER BY `{name}`: {what} no order that rows could be sorted by: choose another column");
            return Err(CatalogError::invalid(message));
        }
        if ids.contains(&column.id) {
            return Err(CatalogError::invalid(format!("ORDER BY names `{name}` twice: drop one")));
        }
        ids.push(column.id);
    }
    Ok(ids)
}

fn find<'a>(columns: &'a [Column], name: &str, clause: &str) -> Result<&'a Column, CatalogError> {
    columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let next_step = match names::nearest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "name one of these".to_owned(),
        };
        let names = names.join("`, `");
        CatalogError::invalid(format!("{clause} names `{name}`, and the table's columns are `{names}`: {next_step}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecimalText;

    fn table(kind: ColumnType) -> NewTable {
        let column = |name: &str, kind| NewColumn::new(name, kind, true);
        NewTable {
            database: "default".into(),
            name: "t".into(),
            columns: vec![column("A", kind), column("b", ColumnType::Json)],
            partition_by: Vec::new(),
            order_by: Vec::new(),
        }
    }

    const TEXT: ColumnType = ColumnType::Text { characters_max: Some(3) };
    const TINY: ColumnType = ColumnType::Integer { width: IntegerWidth::Tiny, unsigned: false };
    const BIG: ColumnType = ColumnType::Integer { width: IntegerWidth::Big, unsigned: true };

    fn array(element: ColumnType) -> ColumnType {
        ColumnType::Array { element: Box::new(element) }
    }

    fn map(key: ColumnType, value: ColumnType) -> ColumnType {
        ColumnType::Map { key: Box::new(key), value: Box::new(value) }
    }

    #[test]
    fn what_a_type_may_be_holds_for_the_types_within_it() {
        let fault = |kind| columns(&table(kind)).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(fault(map(TINY, array(map(TEXT, array(array(ColumnType::BLOB)))))), "");
        assert!(fault(array(map(TEXT, array(array(array(array(TEXT))))))).contains("5 levels"));
        assert!(fault(map(ColumnType::Double, TEXT)).contains("choose such a key"));
        assert!(fault(array(map(array(TEXT), TEXT))).contains("choose such a key"));
        assert!(fault(array(ColumnType::Decimal { precision: 39, scale: 0 })).contains("1 to 38 digits"));
        assert!(fault(ColumnType::Time { digits: Some(7) }).contains("0 to 6"));
        assert!(fault(ColumnType::Char { characters: 256 }).contains("use VARCHAR"));
        assert!(fault(ColumnType::Binary { bytes: 0 }).contains("1 to 255"));
        for (values, words) in
            [(vec![], "0 values"), (vec!["a", "b", "a"], "twice"), (vec![&*"x".repeat(256)], "shorten")]
        {
            let values = values.into_iter().map(str::to_owned).collect();
            assert!(fault(ColumnType::Enum { values }).contains(words), "{words}");
        }
    }

    #[test]
    fn what_is_nested_has_no_order() {
        for kind in [array(TINY), map(TEXT, TEXT)] {
            let mut new = table(kind);
            new.order_by = vec!["a".into()];
            let error = order_by(&new, &columns(&new).unwrap()).unwrap_err().to_string();
            assert!(error.contains("no order"), "{error}");
        }
    }

    #[test]
    fn columns_get_lasting_ids_and_keep_their_names_as_typed() {
        let columns = columns(&table(TEXT)).unwrap();
        assert_eq!(columns.iter().map(|column| (column.id.0, &*column.name)).collect::<Vec<_>>(), [(1, "A"), (2, "b")]);
    }

    #[test]
    fn a_partition_field_must_fit_its_column() {
        use PartitionTransform::{Day, Hour, Identity, Month, Year};
        let fits = |kind: &ColumnType, transform| {
            let mut new = table(kind.clone());
            new.partition_by = vec![("a".into(), transform)];
            partition_by(&new, &columns(&new).unwrap()).is_ok()
        };
        for kind in [ColumnType::Date, ColumnType::DATETIME, ColumnType::TIMESTAMP] {
            assert!([Identity, Year, Month, Day].into_iter().all(|transform| fits(&kind, transform)));
            assert_eq!(fits(&kind, Hour), kind != ColumnType::Date);
        }
        for kind in [TEXT, TINY, ColumnType::Boolean, ColumnType::Decimal { precision: 9, scale: 2 }] {
            assert!(
                fits(&kind, Identity) && ![Year, Month, Day, Hour].into_iter().any(|transform| fits(&kind, transform))
            );
        }
        for kind in
            [ColumnType::Float, ColumnType::Double, ColumnType::Json, ColumnType::BLOB, array(TEXT), map(TEXT, TINY)]
        {
            assert!(!fits(&kind, Identity));
        }
    }

    #[test]
    fn a_text_is_partitioned_by_if_its_length_is_bounded() {
        let fits = |lengths: [Option<u32>; 2]| {
            let mut new = table(ColumnType::Text { characters_max: lengths[0] });
            new.columns[1].kind = ColumnType::Text { characters_max: lengths[1] };
            new.partition_by = ["a", "b"].map(|name| (name.into(), PartitionTransform::Identity)).to_vec();
            partition_by(&new, &columns(&new).unwrap())
        };
        assert!(fits([Some(1000), Some(24)]).is_ok());
        for beyond in [[Some(1000), Some(25)], [Some(3), None], [Some(u32::MAX), Some(1)]] {
            let error = fits(beyond).unwrap_err().to_string();
            assert!(error.contains("PARTITION BY `") && error.contains("VARCHAR(100)"), "{error}");
        }
    }

    #[test]
    fn a_misspelt_column_is_told_with_the_one_that_was_perhaps_meant() {
        let mut new = table(TEXT);
        new.columns[0].name = "amount".into();
        for (typed, words) in [("amonut", "did you mean `amount`?"), ("zzz", "are `amount`, `b`: name one of these")] {
            new.order_by = vec![typed.into()];
            let error = order_by(&new, &columns(&new).unwrap()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn order_by_takes_columns_that_are_there_and_have_an_order_once() {
        let ordered = |names: &[&str]| {
            let mut new = table(TEXT);
            new.order_by = names.iter().map(|name| (*name).to_owned()).collect();
            order_by(&new, &columns(&new).unwrap())
        };
        assert_eq!(ordered(&["a"]), Ok(vec![ColumnId(1)]));
        for bad in [&["b"][..], &["c"], &["a", "A"]] {
            assert!(ordered(bad).unwrap_err().to_string().starts_with("ORDER BY"));
        }
    }

    #[test]
    fn decimals_have_1_to_38_digits_and_columns_one_name() {
        for (precision, scale, good) in [(0, 0, false), (1, 1, true), (38, 38, true), (39, 0, false), (5, 6, false)] {
            assert_eq!(columns(&table(ColumnType::Decimal { precision, scale })).is_ok(), good, "{precision} {scale}");
        }
        let mut twice = table(TEXT);
        twice.columns[1].name = "a".into();
        assert!(columns(&twice).unwrap_err().to_string().contains("twice"));
        twice.columns.clear();
        assert!(columns(&twice).is_err());
    }

    #[test]
    fn a_default_is_a_value_of_its_column() {
        let takes = |kind, default, nullable| {
            let mut new = table(kind);
            (new.columns[0].default, new.columns[0].nullable) = (Some(default), nullable);
            columns(&new).is_ok()
        };
        let decimal = |value, scale| Scalar::Decimal(DecimalText(value), scale);
        let money = ColumnType::Decimal { precision: 4, scale: 2 };
        assert!(takes(TINY, Scalar::Int(-128), false) && !takes(TINY, Scalar::Int(128), false));
        assert!(takes(BIG, decimal(u64::MAX.into(), 0), false) && !takes(BIG, Scalar::Int(-1), false));
        assert!(takes(money.clone(), decimal(9_999, 2), false) && !takes(money.clone(), decimal(10_000, 2), false));
        assert!(!takes(money.clone(), decimal(1, 1), false));
        assert!(takes(TEXT, Scalar::Text("äöü".into()), false) && !takes(TEXT, Scalar::Text("four".into()), false));
        assert!(takes(ColumnType::Json, Scalar::Text("{}".into()), false));
        assert!(!takes(ColumnType::Json, Scalar::Text("{".into()), false));
        assert!(takes(TEXT, Scalar::Null, true) && !takes(TEXT, Scalar::Null, false));
        assert!(!takes(ColumnType::Date, Scalar::Micros(0), false));
        let millis = ColumnType::DateTime { digits: Some(3) };
        assert!(takes(millis.clone(), Scalar::Micros(1_000), false) && !takes(millis, Scalar::Micros(1), false));
        let time = ColumnType::Time { digits: None };
        assert!(takes(time.clone(), Scalar::Micros(-3_020_399_000_000), false));
        assert!(!takes(time, Scalar::Micros(3_020_399_000_001), false));
        let letters = ColumnType::Enum { values: vec!["a".into(), "b".into()] };
        assert!(takes(letters.clone(), Scalar::Text("b".into()), false));
        assert!(!takes(letters, Scalar::Text("c".into()), false));
        assert!(
            takes(ColumnType::Year, Scalar::Int(2155), false) && !takes(ColumnType::Year, Scalar::Int(1900), false)
        );
        let two = ColumnType::Binary { bytes: 2 };
        assert!(takes(two.clone(), Scalar::Bytes(vec![0, 1]), false) && !takes(two, Scalar::Bytes(vec![0]), false));
    }
}
