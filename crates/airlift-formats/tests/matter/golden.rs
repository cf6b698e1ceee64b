//! The files that the official tools made, and what the reference implementations said to them.

use std::path::PathBuf;

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/matter"
    ))
    .join(name)
}

/// Content of a golden file.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("golden vector {path:?}: {error}"))
}

/// Content of the one file in a folder whose name starts with this number: `g01`, `x05`.
pub(crate) fn file(number: &str) -> Vec<u8> {
    let folder = if matches!(&number[..1], "m" | "x") {
        "bad"
    } else {
        "good"
    };
    let names = names(folder);
    let start = format!("{folder}/{number}_");
    let name = names.iter().find(|name| name.starts_with(&start));
    read(name.unwrap_or_else(|| panic!("no golden vector {number} in {names:?}")))
}

/// Names of the files in a folder, with the folder, sorted.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let path = path(folder);
    let entries =
        std::fs::read_dir(&path).unwrap_or_else(|error| panic!("golden vectors {path:?}: {error}"));
    let mut names: Vec<String> = entries
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            format!("{folder}/{name}")
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no golden vectors in {path:?}");
    names
}

/// A file that the tools were given.
pub(crate) fn input(name: &str) -> Vec<u8> {
    read(&format!("inputs/{name}"))
}

/// The table of verdicts of the reference implementations.
pub(crate) fn verdicts() -> Vec<Value> {
    let Value::Array(verdicts) = serde_json::from_slice(&read("results.json")).unwrap() else {
        panic!("results.json has another form than this test reads");
    };
    verdicts
}
