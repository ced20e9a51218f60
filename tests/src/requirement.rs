//! Which real components this run has, and which it must have (`tests/components/README.md`).

use std::env;

/// The bootstrap address of a real Kafka, if there is one; says so by name where there is none.
///
/// # Panics
/// If MILLRACE_TEST_REQUIRE names kafka and there is none.
pub fn real_kafka() -> Option<String> {
    let hint = "skipped: no real Kafka (set MILLRACE_TEST_KAFKA or run tests/components/kafka.sh)";
    require("kafka", "MILLRACE_TEST_KAFKA", hint)
}

/// The value of `variable`, or `None` after printing `hint`.
///
/// # Panics
/// If MILLRACE_TEST_REQUIRE names `component` and `variable` is not set.
pub fn require(component: &str, variable: &str, hint: &str) -> Option<String> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let required = env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name.trim() == component), "{component} is required here; {hint}");
        println!("{hint}");
    }
    value
}
