//! Writing results: a file that appears whole or not at all, or standard output.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::file;

/// Writes `bytes` to `path`, or to standard output if it is called `-`.
///
/// A file is written beside its place and renamed into it, so that an error leaves what was there before. What is not a
/// regular file (a device, a pipe) is written to directly.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            bail!(
                "standard output is a terminal; this output is binary and goes to a file: -o FILE"
            );
        }
        return write_to_stdout(bytes);
    }
    file::replace(path, bytes).with_context(|| format!("{}", path.display()))
}

/// Refuses to overwrite the input.
pub(super) fn check_is_not(output: &Path, input: &Path) -> anyhow::Result<()> {
    let real = |path: &Path| -> Option<PathBuf> { fs::canonicalize(path).ok() };
    if input != Path::new("-") && real(output).is_some_and(|output| real(input) == Some(output)) {
        bail!(
            "{}: this is the input, which would be lost; give another file to -o",
            output.display()
        );
    }
    Ok(())
}

/// Prints a result.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    write_to_stdout(text.as_bytes())
}

fn write_to_stdout(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}
