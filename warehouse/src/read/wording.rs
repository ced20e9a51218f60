//! The engine's messages in the words of SQL: no type names of the program, no "internal error", no traces.

/// What the engine calls a type, and what SQL does.
const TYPES: [(&str, &str); 24] = [
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("UInt8", "TINYINT UNSIGNED"),
    ("UInt16", "SMALLINT UNSIGNED"),
    ("UInt32", "INT UNSIGNED"),
    ("UInt64", "BIGINT UNSIGNED"),
    ("Float16", "FLOAT"),
    ("Float32", "FLOAT"),
    ("Float64", "DOUBLE"),
    ("Decimal32", "DECIMAL"),
    ("Decimal64", "DECIMAL"),
    ("Decimal128", "DECIMAL"),
    ("Decimal256", "DECIMAL"),
    ("Utf8", "TEXT"),
    ("LargeUtf8", "TEXT"),
    ("Utf8View", "TEXT"),
    ("Binary", "BLOB"),
    ("LargeBinary", "BLOB"),
    ("BinaryView", "BLOB"),
    ("Date32", "DATE"),
    ("Date64", "DATETIME"),
    ("Boolean", "BOOLEAN"),
];

/// Types whose values are written `Type(value)`: the value alone is what was typed.
const LITERALS: [&str; 12] =
    ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "Boolean", "Utf8"];

/// What the engine writes before a message, and before each message inside it, and what says nothing.
const PREFIXES: [&str; 10] = [
    "Internal error: ",
    "Error during planning: ",
    "Schema error: ",
    "SQL error: ",
    "Execution error: ",
    "Arrow error: ",
    "External error: ",
    "Parquet error: ",
    "Cast error: ",
    "Invalid argument error: ",
];

/// `message` as a user should read it.
pub(super) fn in_sql(message: &str) -> String {
    let end = ["\n\nbacktrace:", "\nbacktrace:", ".\nThis issue was likely caused by a bug"]
        .iter()
        .filter_map(|marker| message.find(marker))
        .min()
        .unwrap_or(message.len());
    let plain = PREFIXES.iter().fold(message[..end].to_owned(), |message, prefix| message.replace(prefix, ""));
    types_in_sql(&plain)
}

/// Goes through the words, and writes those that are types in SQL.
fn types_in_sql(message: &str) -> String {
    let mut written = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if word == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            written.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let (name, after) = rest.split_at(word);
        rest = match (LITERALS.contains(&name), parenthesised(after)) {
            (true, Some((inside, after))) => {
                written.push_str(&literal(name, inside));
                after
            }
            (_, Some((inside, after))) if name == "Timestamp" => {
                written.push_str(if inside.contains(',') { "TIMESTAMP" } else { "DATETIME" });
                after
            }
            _ => {
                let sql = TYPES.iter().find(|(engine, _)| *engine == name);
                written.push_str(sql.map_or(name, |(_, sql)| sql));
                after
            }
        };
    }
    written
}

/// What stands in the parentheses that `text` begins with, and what stands behind them.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let mut open = 0;
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' if open > 0 => quoted = !quoted,
            '(' if !quoted => open += 1,
            ')' if !quoted => open -= 1,
            _ => {}
        }
        if open == 0 {
            return (at > 0).then(|| (&text[1..at], &text[at + 1..]));
        }
    }
    None
}

fn literal(kind: &str, value: &str) -> String {
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(text) if kind == "Utf8" => format!("'{text}'"),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_values_are_written_as_in_sql() {
        assert_eq!(
            in_sql(
                "Error during planning: Cannot coerce arithmetic expression Utf8 + Timestamp(µs) to Int64(5) = Utf8(\"a(b\")"
            ),
            "Cannot coerce arithmetic expression TEXT + DATETIME to 5 = 'a(b'"
        );
        assert_eq!(in_sql("Decimal128(10, 2) and Timestamp(µs, \"+00:00\")"), "DECIMAL(10, 2) and TIMESTAMP");
    }

    #[test]
    fn names_that_only_look_like_types_stay() {
        assert_eq!(in_sql("No field named Int64x. ünï Int64"), "No field named Int64x. ünï BIGINT");
        assert_eq!(in_sql("Int64("), "BIGINT(");
    }

    #[test]
    fn traces_are_cut_off() {
        assert_eq!(in_sql("Arrow error: Cast error: no\n\nbacktrace:    0: main"), "no");
    }
}
