//! The custom-TLV file of NXP's tool (`--json`).

use std::path::{Path, PathBuf};

use airlift_formats::nxp::tag;
use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::parts::{Custom, DescriptorField, descriptor_bytes};
use super::read_text;

#[derive(Deserialize)]
struct File {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    tag: u32,
    #[serde(default)]
    descriptor: Vec<DescriptorField>,
    path: PathBuf,
}

/// Reads the parts. As with the tool, their paths count from the working directory, and reserved tags are refused.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Custom>> {
    let shown = path.display();
    let file: File = serde_json::from_str(&read_text(path)?)
        .with_context(|| format!("{shown}: not a custom-TLV file of NXP's tool"))?;
    let custom = |input: Input| {
        let number = input.tag;
        if number <= tag::LAST_RESERVED {
            bail!(
                "{shown}: tag {number} is reserved: custom tags start at {} (--tlv allows 4 to 11 as well)",
                tag::FIRST_CUSTOM
            );
        }
        Ok(Custom {
            tag: number,
            descriptor: descriptor_bytes(&input.descriptor)
                .with_context(|| format!("{shown}: descriptor of tag {number}"))?,
            file: input.path,
        })
    };
    file.inputs.into_iter().map(custom).collect()
}
