//! The arguments of `airlift esp table`.

use std::path::PathBuf;

use airlift_formats::esp::partition_table::{Options, SecureBoot, SubtypeNames};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser as _},
};

#[derive(Args)]
pub(crate) struct Build {
    /// CSV file; `-` reads standard input
    #[arg(value_name = "IN.csv")]
    pub(super) input: PathBuf,
    /// Where to write the binary table; `-` writes to standard output. The file appears whole or not at all
    #[arg(short, long, value_name = "OUT.bin")]
    pub(super) output: PathBuf,
    /// Write no MD5 entry
    #[arg(long, visible_alias = "disable-md5sum")]
    pub(super) no_md5: bool,
    /// Refuse what is odd instead of warning about it
    #[arg(long)]
    pub(super) strict: bool,
    #[command(flatten)]
    pub(super) project: Project,
}

#[derive(Args)]
pub(crate) struct Show {
    /// CSV file or binary table, also a dump of its whole sector; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(super) input: PathBuf,
    /// Print JSON, the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    pub(super) project: Project,
}

impl Show {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

#[derive(Args)]
pub(crate) struct Check {
    /// CSV file or binary table, also a dump of its whole sector; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(super) input: PathBuf,
    /// The project's tables have no MD5 entry
    #[arg(long, visible_alias = "disable-md5sum")]
    pub(super) no_md5: bool,
    /// Refuse what is odd, too
    #[arg(long)]
    pub(super) strict: bool,
    #[command(flatten)]
    pub(super) project: Project,
}

/// How to print a table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns, for people
    Table,
    /// The CSV text of the official tool
    Csv,
    /// JSON, for programs
    Json,
}

/// What a table depends on beside its file: the options of the official tool.
#[derive(Args)]
pub(crate) struct Project {
    /// Flash address of the partition table
    #[arg(long, value_name = "ADDRESS", default_value = "0x8000", value_parser = number)]
    offset: u32,
    /// Size of the flash chip, which the last partition must not exceed
    #[arg(long, value_name = "SIZE", value_parser = flash_size())]
    flash_size: Option<u32>,
    /// Flash address of the boot loader; needed for rows of type bootloader
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    primary_bootloader_offset: Option<u32>,
    /// Flash address of the recovery boot loader; needed for its row
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    recovery_bootloader_offset: Option<u32>,
    /// Secure boot is on; v1 (the default) wants app partitions of whole 64 KiB
    #[arg(long, value_name = "VERSION", num_args = 0..=1, default_missing_value = "v1")]
    secure: Option<Secure>,
    /// More names of subtypes, each as `TYPE, NAME, VALUE` with the value in hex, for example `app, my_app1, 0x40`
    #[arg(long, value_name = "DEFINITION", num_args = 1..)]
    extra_partition_subtypes: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Secure {
    V1,
    V2,
}

impl Project {
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        let mut subtypes = SubtypeNames::default();
        for definition in &self.extra_partition_subtypes {
            subtypes.add(definition)?;
        }
        Ok(Options {
            table_offset: self.offset,
            md5: true,
            flash_size: self.flash_size,
            primary_bootloader_offset: self.primary_bootloader_offset,
            recovery_bootloader_offset: self.recovery_bootloader_offset,
            secure_boot: self.secure.map(|secure| match secure {
                Secure::V1 => SecureBoot::V1,
                Secure::V2 => SecureBoot::V2,
            }),
            subtypes,
        })
    }
}

/// A flash address, in decimal or, with 0x, in hexadecimal.
fn number(text: &str) -> Result<u32, String> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return Err("expected a number such as 32768 or 0x8000".to_owned());
    }
    u32::from_str_radix(digits, radix).map_err(|error| error.to_string())
}

/// The sizes that the official tool knows, in bytes.
fn flash_size() -> impl clap::builder::TypedValueParser<Value = u32> {
    const SIZES: [&str; 8] = ["1MB", "2MB", "4MB", "8MB", "16MB", "32MB", "64MB", "128MB"];
    PossibleValuesParser::new(SIZES).try_map(|size| {
        let megabytes = size.trim_end_matches("MB").parse::<u32>()?;
        Ok::<_, std::num::ParseIntError>(megabytes << 20)
    })
}
