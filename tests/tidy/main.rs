//! Rules of the house that a compiler does not check: the crates' edges, the homes of heavy dependencies, what each file
//! opens with, and how long it may be.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file outside its inline tests.
const LINES_MAX: usize = 600;
/// Files that may be longer, each with its reason. The list only shrinks.
const LONG_FILES: &[&str] = &[
    "warehouse/tests/write_path.rs", // One story after another, each of a few lines.
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for member in ["vfs", "wal", "catalog", "warehouse", "server", "tests", "benches"] {
        sources(&root().join(member), &mut found);
    }
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_for() {
    let silent: Vec<String> =
        all_sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "these files do not open with //!: {silent:#?}");
}

#[test]
fn no_file_outgrows_its_room() {
    let lines = |text: &str| text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    let long: BTreeMap<String, usize> = all_sources()
        .into_iter()
        .map(|(name, text)| (name, lines(&text)))
        .filter(|(name, lines)| *lines > LINES_MAX && !LONG_FILES.contains(&name.as_str()))
        .collect();
    assert!(long.is_empty(), "these files are longer than {LINES_MAX} lines: {long:#?}");
}

#[test]
fn crates_depend_on_each_other_only_along_the_edges_of_the_design() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("vfs", &[] as &[&str]),
        ("wal", &["vfs"]),
        ("catalog", &["vfs"]),
        ("warehouse", &["vfs", "wal", "catalog"]),
        ("server", &["vfs", "wal", "catalog", "warehouse"]),
    ]);
    for (member, allowed) in &allowed {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for other in ["vfs", "wal", "catalog", "warehouse", "server"] {
            let depends = dependencies
                .lines()
                .any(|line| line.starts_with(&format!("{other}.")) || line.starts_with(&format!("{other} =")));
            assert!(!depends || allowed.contains(&other), "{member} must not depend on {other}");
        }
    }
}

#[test]
fn each_heavy_dependency_stays_in_its_home() {
    let homes: &[(&str, &[&str])] = &[
        (
            "datafusion::",
            &[
                "warehouse/src/read/",
                "warehouse/src/write/decode/",
                "warehouse/src/walk.rs",
                "warehouse/src/write/local.rs",
                "server/src/sql/",
                "server/src/query.rs",
            ],
        ),
        ("rdkafka::", &["warehouse/src/write/source/", "warehouse/tests/", "server/src/demo/", "tests/", "benches/"]),
        ("rdkafka_sys", &["warehouse/src/write/source/", "warehouse/tests/"]),
        ("redb::", &["catalog/src/store/", "catalog/tests/"]),
        ("tokio_postgres", &["catalog/src/store/postgres/"]),
        ("object_store::aws", &["vfs/src/object/"]),
        ("object_store::azure", &["vfs/src/object/"]),
        ("object_store::gcp", &["vfs/src/object/"]),
        ("s3s::", &["vfs/src/s3_server/"]),
        ("s3s_fs", &["vfs/src/s3_server/"]),
        (
            "parquet::",
            &[
                "warehouse/src/write/flush/",
                "warehouse/src/write/load/",
                "warehouse/src/read/",
                "tests/",
                "warehouse/tests/",
            ],
        ),
    ];
    for (name, text) in all_sources() {
        for (dependency, homes) in homes {
            let uses = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(dependency));
            assert!(
                !uses || homes.iter().any(|home| name.starts_with(home)) || name.starts_with("tests/tidy"),
                "{name} uses {dependency}, whose homes are {homes:?}"
            );
        }
    }
}

#[test]
fn each_planted_bug_has_its_place_in_the_product_and_each_place_its_bug() {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (name, text) in all_sources().iter().filter(|(name, _)| name.contains("/src/") && !name.starts_with("tests/")) {
        for place in text.split("planted::is(\"").skip(1) {
            let (bug, _) = place.split_once('"').unwrap_or_else(|| panic!("{name}: {place:.40}"));
            *places.entry(bug.to_owned()).or_default() += 1;
        }
    }
    let listed: BTreeSet<&str> = vfs::planted::ALL.iter().map(|bug| bug.name).collect();
    assert_eq!(places.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}
