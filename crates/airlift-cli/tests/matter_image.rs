//! `airlift image` over images of the official tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

#[path = "matter_image/create.rs"]
mod create;
#[path = "matter_image/extract.rs"]
mod extract;
#[path = "matter_image/manifest.rs"]
mod manifest;
#[path = "matter_image/verdict.rs"]
mod verdict;

fn golden(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/matter");
    let path = Path::new(folder).join(name);
    assert!(
        path.exists(),
        "golden vectors are missing: {}",
        path.display()
    );
    path
}

fn input(name: &str) -> String {
    golden(&format!("inputs/{name}")).display().to_string()
}

/// Files of a golden folder whose names start like this.
fn files(folder: &str, start: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(golden(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(start)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}/{start}*");
    files
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airlift"))
        .arg("image")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn airlift(command: &str, file: &Path, options: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    run(Path::new("."), &[&[command, file], options].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Exit code 1, and one message that names the file.
fn refusal(output: &Output, file: &Path) -> String {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let start = format!("airlift: {}", file.display());
    assert!(message.starts_with(&start), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[track_caller]
fn success(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

const KEY: &str = "1234567890ABCDEFA1B2C3D4E5F6F1B4";
