//! A while of fuzzing for each target: 2 s, or as long as MILLRACE_TEST_FUZZ_SECONDS says. `fuzz` (the binary) goes on for longer.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use millrace_tests::fuzz::{run, target};

fn fuzz(name: &str) {
    let seconds =
        std::env::var("MILLRACE_TEST_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    let seed = std::env::var("MILLRACE_TEST_FUZZ_SEED").map_or(1, |text| text.parse().expect("a number"));
    let directory = tempfile::tempdir().unwrap();
    let outcome =
        run(&mut *target(name).unwrap(), seed, Duration::from_secs(seconds), &directory.path().join("input")).unwrap();
    println!("{name}: {} inputs, taken in {} ways", outcome.executions, outcome.ways);
    if let Some(finding) = outcome.finding {
        panic!("{name}: {}: {:?}", finding.what, String::from_utf8_lossy(&finding.input));
    }
    assert!(outcome.executions > 10, "{name}: too few inputs were taken");
    assert!(outcome.ways > 2, "{name}: all inputs were taken in the same way, so that little was tried");
}

// One after the other: what panics in one must not be taken for another's.
#[test]
fn damaged_inputs_are_taken_well_by_everything_that_reads_bytes_of_strangers() {
    for name in millrace_tests::fuzz::TARGETS {
        fuzz(name);
    }
}
