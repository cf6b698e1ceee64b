//! Reading the file that a command is about.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use airlift_formats::esp::partition_table::csv;
use anyhow::{Context, bail};
use serde::Serialize;

/// No partition table comes near this, in any form; a whole flash image or a device file does.
const MAX_LEN: u64 = 1 << 20;

/// A file, and what to call it in messages.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// What a table was read from.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    Csv,
    Binary,
}

impl Input {
    /// Reads a file, or standard input if it is called `-`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Self::read_from(io::stdin().lock(), "standard input".to_owned());
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        Self::read_from(file, name)
    }

    fn read_from(reader: impl Read, name: String) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        reader
            .take(MAX_LEN + 1)
            .read_to_end(&mut bytes)
            .with_context(|| name.clone())?;
        if bytes.len() as u64 > MAX_LEN {
            bail!(
                "{name}: larger than 1 MiB: this is not a partition table; cut its sector out first"
            );
        }
        Ok(Self { name, bytes })
    }

    /// Whether this is a binary table or CSV. Beyond the official tool, which takes for CSV whatever does not start with
    /// a partition, blank and headless tables are recognised.
    pub(super) fn source(&self) -> Source {
        let blank = self.bytes.starts_with(&[0xFF; 32]);
        let md5_first = self.bytes.starts_with(&[0xEB, 0xEB]);
        if csv::is_binary(&self.bytes) || blank || md5_first {
            Source::Binary
        } else {
            Source::Csv
        }
    }
}
