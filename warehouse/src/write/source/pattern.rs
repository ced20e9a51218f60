//! Which topics a pattern matches. Pure.

use regex::{Regex, RegexBuilder};

/// What a compiled pattern may take: a statement's text must not become gigabytes of automaton.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A regular expression over whole names of topics.
#[derive(Clone, Debug)]
pub struct TopicPattern(Regex);

impl TopicPattern {
    /// The pattern that `text` is.
    ///
    /// # Errors
    /// A sentence with what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        // Alone first: `a)|(b` would be whole only within our own parentheses.
        let alone = RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
        let whole =
            alone.and_then(|_| RegexBuilder::new(&format!("^(?:{text})$")).size_limit(COMPILED_BYTES_MAX).build());
        whole.map(Self).map_err(|error| {
            let why = match error {
                // Its last line says what; the lines before draw the place.
                regex::Error::Syntax(drawn) => {
                    drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
                }
                other => other.to_string(),
            };
            format!("{text:?} is no regular expression: {why}")
        })
    }

    /// Whether a topic of that name is meant. The brokers' own topics (`__consumer_offsets`) never are.
    pub fn matches(&self, topic: &str) -> bool {
        !topic.starts_with("__") && self.0.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_and_never_the_brokers_own_topics() {
        let pattern = TopicPattern::new("clicks_.*|views").unwrap();
        let matched: Vec<&str> = ["clicks_eu", "clicks_", "views", "old_clicks_eu", "views2", "clicks"]
            .into_iter()
            .filter(|topic| pattern.matches(topic))
            .collect();
        assert_eq!(matched, ["clicks_eu", "clicks_", "views"]);
        let everything = TopicPattern::new(".*").unwrap();
        assert!(everything.matches("t") && !everything.matches("__consumer_offsets"));
    }

    #[test]
    fn what_is_no_regular_expression_is_told() {
        for text in ["clicks_(", "a)|(b", "*"] {
            let error = TopicPattern::new(text).unwrap_err();
            assert!(error.contains("is no regular expression: "), "{error}");
        }
        assert!(TopicPattern::new("(a{1000}){1000}").unwrap_err().contains("size limit"), "it is bounded");
    }
}
