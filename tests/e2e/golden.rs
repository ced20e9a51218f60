//! SQL golden files: each of `tests/sql/*.slt` on a server of its own.

use std::path::{Path, PathBuf};

use millrace_tests::{Broker, golden};

use crate::stage::Stage;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

async fn run(file: &str) {
    let mut stage = Stage::open().await;
    let broker = Broker::mock("unused", 1).unwrap();
    golden::run(&folder().join(file), &mut stage.sql, &broker).await.unwrap_or_else(|error| panic!("{error:#}"));
}

macro_rules! golden_files {
    ($($name:ident)*) => {
        const LISTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                run(concat!(stringify!($name), ".slt")).await;
            }
        )*
    };
}

golden_files! {
    databases
    tables
    topics
    pipelines
    browsing
    system
    select
    types
    nested_types
    pruning
    variables
    errors
    control
    inserts
    functions
}

#[test]
fn every_golden_file_is_run() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut listed: Vec<&str> = LISTED.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed);
}
