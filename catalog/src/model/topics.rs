//! Which topics a source reads: one, several, or those whose names match a pattern. Owns how it is kept; which topics there
//! are, and which of them match, is the broker's and the connector's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which topics a source reads.
///
/// Kept as a text (one topic, as it has always been), as a list of texts, or as an object that holds the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Topics {
    /// The topic of that name.
    One(String),
    /// The topics of these names.
    List(Vec<String>),
    /// Every topic whose whole name the regular expression matches, also those made later; internal ones (`__…`) never.
    Pattern {
        /// The regular expression.
        pattern: String,
    },
}

impl Topics {
    /// The topics that are named; none for a pattern.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::List(names) => names,
            Self::Pattern { .. } => &[],
        }
    }

    /// Whether nothing is named at all.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::One(name) => name.trim().is_empty(),
            Self::List(names) => names.is_empty() || names.iter().any(|name| name.trim().is_empty()),
            Self::Pattern { pattern } => pattern.trim().is_empty(),
        }
    }
}

impl From<&str> for Topics {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl From<String> for Topics {
    fn from(name: String) -> Self {
        Self::One(name)
    }
}

impl fmt::Display for Topics {
    /// As `system.pipelines` shows it: a name, names with commas between, or the pattern between slashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => f.write_str(name),
            Self::List(names) => f.write_str(&names.join(", ")),
            Self::Pattern { pattern } => write!(f, "/{pattern}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_is_kept_as_it_always_was_and_each_form_reads_back() {
        let pattern = Topics::Pattern { pattern: "^clicks_".to_owned() };
        let list = Topics::List(vec!["a".to_owned(), "b".to_owned()]);
        for (topics, kept, shown) in [
            (Topics::from("clicks"), r#""clicks""#, "clicks"),
            (list, r#"["a","b"]"#, "a, b"),
            (pattern, r#"{"pattern":"^clicks_"}"#, "/^clicks_/"),
        ] {
            assert_eq!(serde_json::to_string(&topics).unwrap(), kept);
            assert_eq!(serde_json::from_str::<Topics>(kept).unwrap(), topics);
            assert_eq!(topics.to_string(), shown);
        }
    }
}
