//! The configuration file of a virtual device: everything that the flags of `airlift device run` say, and its partitions. See
//! `docs/virtual-device.md`.

use std::path::{Path, PathBuf};

use airlift_sim::client::{PartitionPlan, SetPlan};
use anyhow::{Context, bail};
use serde::Deserialize;

use super::scheme::Words;
use super::set::SetEntry;
use crate::output;

/// What is in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) flash: Option<PathBuf>,
    pub(super) server: Option<String>,
    pub(super) org: Option<String>,
    pub(super) project: Option<String>,
    pub(super) node: Option<String>,
    pub(super) key: Option<String>,
    pub(super) once: Option<bool>,
    pub(super) interval: Option<String>,
    pub(super) json: Option<bool>,
    pub(super) chip: Option<String>,
    pub(super) power_cut_at: Option<u32>,
    pub(super) power_cut_at_operation: Option<u64>,
    pub(super) flip_byte: Option<u32>,
    pub(super) fail_self_test: Option<bool>,
    pub(super) web: Option<String>,
    pub(super) web_token: Option<String>,
    pub(super) web_compat_get: Option<bool>,
    pub(super) two_step: Option<String>,
    #[serde(default)]
    pub(super) partition: Vec<PartitionEntry>,
    set: Option<SetEntry>,
}

/// One `[[partition]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionEntry {
    name: String,
    scheme: String,
    room: Option<String>,
    used: Option<Size>,
    after_cut: Option<String>,
    #[serde(default)]
    accept_brick_risk: bool,
    recovery: Option<String>,
}

/// `"64K"` or `65536`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    pub(super) fn bytes(&self) -> Result<u64, String> {
        match self {
            Self::Bytes(bytes) => Ok(*bytes),
            Self::Text(text) => output::parse_size(text),
        }
    }
}

impl File {
    /// Reads a file. Paths in it are relative to its own folder.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot read the configuration", path.display()))?;
        let mut file = match toml::from_str::<Self>(&text) {
            Ok(file) => file,
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map_or(1, |text| text.matches('\n').count() + 1);
                let message = error.message().replace('\n', " ");
                bail!("{}:{line}: {message}", path.display());
            }
        };
        if let (Some(flash), Some(folder)) = (&mut file.flash, path.parent()) {
            *flash = folder.join(&flash);
        }
        Ok(file)
    }

    /// The flash file: what a flag gives, or what the file at `path` says.
    pub(super) fn flash(&self, given: Option<&Path>, path: &Path) -> anyhow::Result<PathBuf> {
        let flash = given.or(self.flash.as_deref());
        let flash = flash.with_context(|| {
            format!(
                "{}: there is no `flash`; write it there, or use --flash",
                path.display()
            )
        })?;
        Ok(flash.to_owned())
    }

    /// The parts that are updated as one, if it declares any.
    pub(super) fn set(&self, path: &Path) -> anyhow::Result<Option<SetPlan>> {
        self.set.as_ref().map(|set| set.plan(path)).transpose()
    }

    /// What it says of partitions.
    pub(super) fn plans(&self, path: &Path) -> anyhow::Result<Vec<PartitionPlan>> {
        self.partition
            .iter()
            .map(|entry| {
                let name = &entry.name;
                let wrong = |(key, message): (&str, String)| {
                    anyhow::anyhow!("{}: partition {name:?}: {key}: {message}", path.display())
                };
                let used = entry.used.as_ref().map(Size::bytes).transpose();
                let used = used.map_err(|message| wrong(("used", message)))?;
                let words = Words {
                    scheme: &entry.scheme,
                    room: entry.room.as_deref(),
                    used,
                    after_cut: entry.after_cut.as_deref(),
                    accept_brick_risk: entry.accept_brick_risk,
                    recovery: entry.recovery.as_deref(),
                };
                Ok(PartitionPlan {
                    name: name.clone(),
                    scheme: words.plan().map_err(wrong)?,
                })
            })
            .collect()
    }
}
