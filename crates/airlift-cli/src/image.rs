//! `airlift image`: Matter OTA images, with one payload or with several images in the payload (NXP's format).

mod bundle;
mod create;
mod dac_key;
mod extract;
mod inspection;
mod parts;
mod show;
mod tlv_json;
mod verify;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use airlift_formats::nxp::legacy;
use anyhow::{Context as _, bail};

use crate::output::{self, Look};

/// Far above any image; a file beyond it is something else.
const FILE_LIMIT: u64 = 1 << 30;

/// `airlift image ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Create(Box<create::Create>),
    Show(show::Show),
    Verify(verify::Verify),
    Extract(extract::Extract),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => create.run(),
        Command::Show(show) => show.run(),
        Command::Verify(verify) => verify.run(),
        Command::Extract(extract) => extract.run(),
    }
}

/// The key of encrypted parts: the same option of every command.
#[derive(clap::Args)]
struct LegacyKey {
    /// Key of parts that are encrypted as NXP's tool does (AES-128 in counter mode): 32 hexadecimal digits
    ///
    /// It protects little: the same key stream hides every part of every image, and nothing notices a change. Only for
    /// devices that know nothing else.
    #[arg(
        long = "nxp-legacy-key",
        value_name = "HEX",
        env = "AIRLIFT_NXP_LEGACY_KEY",
        hide_env_values = true
    )]
    key: Option<legacy::Key>,
}

impl LegacyKey {
    /// The key, if there is one; says why not to use it.
    fn take(&self) -> Option<legacy::Key> {
        if self.key.is_some() {
            let warning = Look::stderr().warn("warning");
            eprintln!(
                "airlift: {warning}: NXP's legacy encryption protects little: one key stream hides every part of every image \
                 (two images, XORed, give the XOR of their contents), nothing notices a change of the ciphertext, and every device \
                 has the key. Use it only for devices that know nothing else."
            );
        }
        self.key
    }
}

/// Reads a file of at most [`FILE_LIMIT`] bytes.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_up_to(path, FILE_LIMIT)
}

fn read_up_to(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > limit {
        bail!(
            "{}: larger than {}, which no such file is",
            path.display(),
            output::size(limit)
        );
    }
    Ok(bytes)
}

/// Reads a text file of a few hundred kilobytes at most.
fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read_up_to(path, 1 << 20)?)
        .map_err(|_| anyhow::anyhow!("{}: not a text file (UTF-8)", path.display()))
}

/// A path in a file that counts from that file's folder.
fn beside(file: &Path, path: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) => folder.join(path),
        None => path.to_owned(),
    }
}

/// A number, decimal or `0x` hexadecimal.
fn parse_number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()
        }
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| "not a number of 32 bits such as 2 or 0x10".to_owned())
}

/// A vendor or product: a number of 16 bits.
fn parse_id(text: &str) -> Result<u16, String> {
    parse_number(text)
        .ok()
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| "not a number of 16 bits such as 0xFFF1 or 65521".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_of_16_bits() {
        assert_eq!(parse_id("0xFFF1"), Ok(0xFFF1));
        assert_eq!(parse_id("65521"), Ok(0xFFF1));
        for text in [
            "", "0x", "-1", "+1", "0x10000", "65536", "FFF1", "0x+1", " 1",
        ] {
            assert!(parse_id(text).is_err(), "{text}");
        }
        assert_eq!(parse_number("4294967295"), Ok(u32::MAX));
        assert!(parse_number("4294967296").is_err());
    }
}
