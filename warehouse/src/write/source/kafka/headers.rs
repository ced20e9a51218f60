//! A record's headers as a JSON object: a value as text, `null` for a null one, a list where a name repeats.

use serde_json::{Map, Value};

/// The object's text; `None` for a record without headers.
pub(super) fn headers_json(headers: &[(&str, Option<&[u8]>)]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let mut object = Map::new();
    for (name, value) in headers {
        let value = value.map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into_owned().into());
        match object.get_mut(*name) {
            None => drop(object.insert((*name).to_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Some(Value::Object(object).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_become_a_list_in_order() {
        let json = headers_json(&[("a", Some(b"1")), ("b", None), ("a", Some(b"2")), ("a", None)]).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"a":["1","2",null],"b":null}"#);
        assert_eq!(headers_json(&[]), None);
    }
}
