//! What the AWS libraries made, what they said to it, and what the service was seen to send.

use std::path::PathBuf;

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/aws"
    ))
    .join(name)
}

/// Content of a golden file.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("golden vector {path:?}: {error}"))
}

/// The vectors of a folder, as its index lists them.
pub(crate) fn index(folder: &str) -> Vec<Value> {
    let index: Value = serde_json::from_slice(&read(&format!("{folder}/index.json"))).unwrap();
    let vectors = index["vectors"].as_array().unwrap().clone();
    assert!(!vectors.is_empty(), "no golden vectors in {folder}");
    vectors
}

/// The names of a folder's files must be those of a table, in the order of the index.
pub(crate) fn assert_complete(folder: &str, table: &[&str]) {
    let index = index(folder);
    let named: Vec<&str> = index
        .iter()
        .map(|vector| vector["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        named, table,
        "the table has a line for each file of {folder}"
    );
}
