//! `airlift esp image`: app and boot loader images.

mod show;

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use airlift_formats::esp::app_image::{
    ChipId, Expect, ImageError, Kind, MAX_PARTITION_SIZE, Profile, SIGNATURE_SECTOR_LEN, Summary,
    Verifier, text,
};
use anyhow::{Context as _, bail};
use serde_json::json;

/// No image is larger than the largest partition that ESP-IDF boots from, with a signature sector.
const FILE_LIMIT: u64 = MAX_PARTITION_SIZE as u64 + SIGNATURE_SECTOR_LEN as u64;

/// `airlift esp image ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show what is in an image and what is wrong with it
    Show(Show),
    /// Verify an image; the exit code says whether it is good
    Verify(Verify),
}

/// Show what is in an image and what is wrong with it
///
/// The verdict is that of `airlift esp image verify` without options.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// The image
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Verify an image; the exit code says whether it is good
///
/// Checked are: magic, chip, revisions, number and length of the segments, their addresses and their place in flash, the
/// app descriptor, padding, checksum, SHA-256, and that nothing but erased flash or a signature sector follows. Signatures
/// themselves are not verified.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The image
    file: PathBuf,
    /// Chip that it has to be for: esp32, esp32s3, esp32c3 ... or its number
    #[arg(long)]
    chip: Option<ChipId>,
    /// Revision of the chip: 1.1, or 101
    #[arg(long, value_name = "REVISION", value_parser = parse_revision)]
    chip_revision: Option<u16>,
    /// Size of the partition that it has to fit into: 1048576, 0x100000, 1024K, 1MB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    partition_size: Option<u32>,
    /// Flash address of the partition
    #[arg(long, value_name = "OFFSET", value_parser = parse_size, default_value = "0")]
    partition_offset: u32,
    /// Accept an image without SHA-256
    #[arg(long)]
    allow_no_hash: bool,
    /// It has to be a boot loader [default: what its first bytes look like]
    #[arg(long)]
    bootloader: bool,
    /// Name of the project that it has to be of
    #[arg(long)]
    project: Option<String>,
    /// Least security version that it has to have
    #[arg(long, value_name = "VERSION")]
    min_secure_version: Option<u32>,
    /// Say what ESP-IDF's own code says: it accepts much more
    #[arg(long, conflicts_with_all = ["allow_no_hash", "project", "min_secure_version"])]
    idf: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show(show) => {
            let bytes = read(&show.file, FILE_LIMIT)?;
            show::run(&show.file, &bytes, show.json)
        }
        Command::Verify(verify) => verify.run(),
    }
}

impl Verify {
    fn run(&self) -> anyhow::Result<()> {
        let bytes = read(&self.file, FILE_LIMIT)?;
        let expect = self.expect(&bytes);
        let result = judge(&bytes, expect);
        let own_checks = match &result {
            Ok(summary) => self.check_app(summary),
            Err(_) => Ok(()),
        };
        if self.json {
            print(&format!(
                "{:#}\n",
                match (&result, &own_checks) {
                    (Ok(summary), Ok(())) => good_json(summary),
                    (Ok(_), Err(error)) =>
                        json!({ "valid": false, "message": format!("{error:#}") }),
                    (Err(error), _) => error_json(error),
                }
            ))?;
        }
        let summary = match result {
            Ok(summary) => summary,
            Err(error) if self.idf => bail!(
                "{}: ESP-IDF refuses it with {:#x}: {}",
                self.file.display(),
                error.idf_code(),
                error.idf_log(self.partition_offset)
            ),
            Err(error) => {
                let error = anyhow::Error::new(error);
                return Err(error.context(self.file.display().to_string()));
            }
        };
        own_checks.with_context(|| self.file.display().to_string())?;
        if !self.json {
            print(&format!(
                "{}: good: {}\n",
                self.file.display(),
                describe(&summary)
            ))?;
        }
        Ok(())
    }

    fn expect(&self, bytes: &[u8]) -> Expect {
        let kind = match (self.bootloader, self.idf) {
            (true, _) => Kind::Bootloader,
            // ESP-IDF goes by the address only.
            (false, true) => Kind::App,
            (false, false) => Kind::guess(bytes),
        };
        Expect {
            profile: if self.idf {
                Profile::Idf
            } else {
                Profile::Strict
            },
            chip: self.chip,
            chip_revision: self.chip_revision,
            partition_size: self.partition_size,
            partition_offset: self.partition_offset,
            require_hash: !self.allow_no_hash,
            // Without it the reference reads erased flash behind the file; with it the strict profile knows it all early.
            file_len: u32::try_from(bytes.len()).ok().filter(|_| !self.idf),
            ..Expect::strict(kind)
        }
    }

    /// What is demanded beyond a sound image.
    fn check_app(&self, summary: &Summary) -> anyhow::Result<()> {
        if self.bootloader && summary.app.is_some() {
            anyhow::bail!("it is an app, not a boot loader");
        }
        if self.project.is_none() && self.min_secure_version.is_none() {
            return Ok(());
        }
        let app = summary
            .app
            .context("it is a boot loader: it has no project and no security version")?;
        if let Some(project) = &self.project {
            app.check_project(project.as_bytes())
                .with_context(|| format!("not of project \"{project}\""))?;
        }
        if let Some(required) = self.min_secure_version {
            app.check_secure_version(required)?;
        }
        Ok(())
    }
}

/// Runs the verifier over the bytes of a file.
fn judge(bytes: &[u8], expect: Expect) -> Result<Summary, ImageError> {
    let mut verifier = Verifier::new(expect);
    verifier.update(bytes)?;
    verifier.finish()
}

/// One line about a good image.
fn describe(summary: &Summary) -> String {
    let what = match (&summary.app, &summary.bootloader) {
        (Some(app), _) => format!(
            "app {} {}",
            printable(text(&app.project)),
            printable(text(&app.version))
        ),
        (None, Some(bootloader)) => {
            format!(
                "boot loader of ESP-IDF {}",
                printable(text(&bootloader.idf_version))
            )
        }
        (None, None) => "image without descriptor".to_owned(),
    };
    let hash = if summary.is_hashed() {
        "checksum and SHA-256 right"
    } else {
        "checksum right, no SHA-256"
    };
    let signature = match summary.signature {
        Some(signature) => format!(", {} signature(s) not verified", signature.blocks),
        None => String::new(),
    };
    format!(
        "{what} for {}, {} bytes in {} segments, {hash}{signature}",
        summary.chip(),
        summary.image_len,
        summary.segments()
    )
}

fn good_json(summary: &Summary) -> serde_json::Value {
    json!({
        "valid": true,
        "chip": summary.chip().target(),
        "chip_id": summary.chip().0,
        "image_len": summary.image_len,
        "file_len": summary.file_len,
        "file_sha256": hex(&summary.file_sha256),
        "segments": summary.segments(),
        "hash_appended": summary.is_hashed(),
        "signature_blocks": summary.signature.map_or(0, |signature| signature.blocks),
        "project": summary.app.map(|app| printable(text(&app.project))),
        "version": summary.app.map(|app| printable(text(&app.version))),
        "secure_version": summary.app.map(|app| app.secure_version),
    })
}

fn error_json(error: &ImageError) -> serde_json::Value {
    json!({
        "valid": false,
        "error": ImageError::token(error.code()),
        "message": error.to_string(),
    })
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > limit {
        bail!(
            "{}: larger than {limit} bytes, which no such file is: give a single image or partition, \
             not a dump of the whole flash",
            path.display()
        );
    }
    Ok(bytes)
}

/// Writes to stdout; a reader that has gone is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let result = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Text from a file, safe for a terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number of bytes: decimal, `0x` hexadecimal, with K or M for KiB and MiB (also KB, MB, KiB, MiB).
fn parse_size(text: &str) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let units = [
        ("kib", 10),
        ("mib", 20),
        ("kb", 10),
        ("mb", 20),
        ("k", 10),
        ("m", 20),
    ];
    let unit = units.iter().find(|(unit, _)| lower.ends_with(unit));
    let (digits, shift) = match unit {
        Some((unit, shift)) => (lower.strip_suffix(unit).unwrap_or(&lower), *shift),
        None => (lower.as_str(), 0),
    };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    number
        .ok()
        .filter(|_| !digits.contains('+'))
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "not a size below 4 GiB such as 1048576, 0x100000, 1024K or 1MB".to_owned())
}

/// A chip revision as major * 100 + minor: `1.1`, `v1.1` or `101`.
fn parse_revision(text: &str) -> Result<u16, String> {
    let number = text.strip_prefix('v').unwrap_or(text);
    let parsed = match number.split_once('.') {
        Some((major, minor)) => match (major.parse::<u16>(), minor.parse::<u16>()) {
            (Ok(major), Ok(minor)) if minor < 100 => major
                .checked_mul(100)
                .and_then(|major| major.checked_add(minor)),
            _ => None,
        },
        None => number.parse().ok(),
    };
    parsed.ok_or_else(|| "not a revision such as 1.1 or 101".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_spelling() {
        for text in [
            "1048576", "0x100000", "1024K", "1024KB", "1024KiB", "1M", "1MB", "1mib", "0x1M",
        ] {
            assert_eq!(parse_size(text), Ok(1 << 20), "{text}");
        }
        assert_eq!(parse_size("0"), Ok(0));
        for text in [
            "",
            "0x",
            "K",
            "-1",
            "+1",
            "1G",
            "4096M",
            "4294967296",
            "1 M",
            "0x+1",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn revisions_are_read_in_both_spellings() {
        assert_eq!(parse_revision("1.1"), Ok(101));
        assert_eq!(parse_revision("v3.99"), Ok(399));
        assert_eq!(parse_revision("101"), Ok(101));
        for text in ["", "v", "1.", "1.100", "655.36", "x"] {
            assert!(parse_revision(text).is_err(), "{text}");
        }
    }

    #[test]
    fn text_from_a_file_cannot_steer_a_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\xff"), "a\\u{1b}[2Jb\u{fffd}");
    }
}
