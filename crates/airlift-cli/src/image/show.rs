//! `airlift image show`: all there is, also of a broken image.

use std::path::{Path, PathBuf};

use airlift_formats::matter::{
    Text,
    image::{FIXED_HEADER_LEN, Field, Header},
    tlv::{Reader, Tag, Value},
};

use super::inspection::{Inspection, Options, Part, applied, required};
use super::{LegacyKey, read};
use crate::output::{self, Cell, Look, Side, grouped, hex};

/// Show what is in an image, down to its parts, and what is wrong with it
///
/// Reads also what is not good, as far as it can be read. The verdict, and the exit code, are those of `airlift image verify`.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// The image
    file: PathBuf,
    #[command(flatten)]
    key: LegacyKey,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let inspection = Inspection::of(&bytes, Options::strict(self.key.take()));
        if self.json {
            output::print(&format!("{:#}\n", inspection.to_json()));
        } else {
            output::print(&text(&self.file, &bytes, &inspection));
        }
        match inspection.fault {
            None => Ok(()),
            Some(fault) => Err(anyhow::Error::new(fault).context(self.file.display().to_string())),
        }
    }
}

/// A line with a name and a value.
fn line(name: &str, value: &dyn std::fmt::Display) -> String {
    format!("{name:<16} {value}\n")
}

fn text(path: &Path, bytes: &[u8], inspection: &Inspection<'_>) -> String {
    let look = Look::stdout();
    let mut out = line("file", &path.display());
    out += &line("bytes", &grouped(inspection.file_len as u64));
    match &inspection.header {
        Ok(header) => out += &header_text(look, header, inspection),
        Err(_) => out += &fields_text(bytes, inspection),
    }
    if let Some(parts) = &inspection.parts {
        out.push('\n');
        out += &parts_text(look, parts);
        out += &manifest_text(inspection);
    }
    match &inspection.fault {
        None => out += &format!("\n{}\n", look.good("good")),
        Some(fault) => out += &format!("\n{}: {fault}\n", look.bad("NOT GOOD")),
    }
    out
}

/// What a range of versions is in words.
pub(super) fn applicable(header: &Header<'_>) -> String {
    let min = header.min_applicable_software_version;
    let max = header.max_applicable_software_version;
    match (min, max) {
        (None, None) => "any version".to_owned(),
        (Some(min), None) => format!("version {min} and later"),
        (None, Some(max)) => format!("versions up to {max}"),
        (Some(min), Some(max)) => format!("versions {min} to {max}"),
    }
}

fn header_text(look: Look, header: &Header<'_>, inspection: &Inspection<'_>) -> String {
    let mut out = line("vendor", &id(header.vendor_id));
    out += &line("product", &id(header.product_id));
    out += &line(
        "version",
        &format_args!(
            "{} ({})",
            header.software_version, header.software_version_string
        ),
    );
    out += &line("updates", &applicable(header));
    if let Some(url) = header.release_notes_url {
        out += &line("release notes", &url);
    }
    let offset = inspection.fixed.map_or(0, |fixed| fixed.payload_offset());
    let there = inspection.payload.len() as u64;
    let size = if there == header.payload_size {
        format!("{} bytes at offset {offset}", grouped(there))
    } else {
        format!(
            "{} bytes at offset {offset}, {} of them there",
            grouped(header.payload_size),
            grouped(there)
        )
    };
    out += &line("payload", &size);
    let name = match header.digest_algorithm() {
        Some(algorithm) => algorithm.name().to_owned(),
        None => format!("digest type {}", header.digest_type),
    };
    let verdict = match inspection.digest_is_right() {
        Some(true) => look.good("right"),
        Some(false) => look.bad("WRONG"),
        None => look.warn("unknown"),
    };
    out += &line(&name, &format_args!("{} ({verdict})", hex(header.digest)));
    for remark in header.remarks() {
        out += &line("note", &remark);
    }
    out
}

fn id(number: u16) -> String {
    format!("{number:#06x} ({number})")
}

/// The fields of a header that is no good, as far as they can be read.
fn fields_text(bytes: &[u8], inspection: &Inspection<'_>) -> String {
    let Some(fixed) = inspection.fixed else {
        return String::new();
    };
    let mut out = line("identifier", &format_args!("{:#010x}", fixed.identifier));
    out += &line("total size", &grouped(fixed.total_size));
    out += &line("header size", &grouped(fixed.header_size.into()));
    let behind = bytes.get(FIXED_HEADER_LEN..).unwrap_or(&[]);
    let header = behind.get(..fixed.header_size as usize).unwrap_or(behind);
    let mut reader = Reader::new(header);
    while let Ok(Some(element)) = reader.read() {
        let shown = match element.value {
            Value::Unsigned(number) => format!("{number} ({number:#x})"),
            Value::Signed(number) => format!("{number} (signed)"),
            Value::Utf8(text) => format!("\"{}\"", Text(text)),
            Value::Octets(bytes) => hex(bytes),
            Value::End | Value::Structure if element.tag == Tag::Anonymous => continue,
            other => format!("{other:?}"),
        };
        let name = match element.tag {
            Tag::Context(tag) => match Field::from_tag(tag) {
                Some(field) => field.name().to_owned(),
                None => format!("tag {tag}"),
            },
            tag => format!("{tag:?}"),
        };
        out += &format!(
            "  [{:>4}] {name}: {shown}\n",
            element.offset as usize + FIXED_HEADER_LEN
        );
    }
    out
}

/// The order in which the parts are applied, and why.
fn manifest_text(inspection: &Inspection<'_>) -> String {
    let Some(manifest) = inspection.manifest() else {
        return String::new();
    };
    let list = |tags: &[u32]| {
        let tags: Vec<String> = tags.iter().map(u32::to_string).collect();
        tags.join(", ")
    };
    let mut out = format!("\n{}", line("applied", &list(&applied(&manifest))));
    for part in manifest.parts() {
        let requires = required(&manifest, &part);
        if !requires.is_empty() {
            out += &line("", &format_args!("{} after {}", part.tag, list(&requires)));
        }
    }
    out
}

fn parts_text(look: Look, parts: &[Part<'_>]) -> String {
    if parts.is_empty() {
        return "no parts\n".to_owned();
    }
    let columns = [
        ("tag", Side::Right),
        ("part", Side::Left),
        ("offset", Side::Right),
        ("bytes", Side::Right),
        ("image", Side::Right),
        ("version", Side::Right),
        ("version string", Side::Left),
        ("built", Side::Left),
    ];
    let rows: Vec<Vec<Cell>> = parts
        .iter()
        .map(|part| {
            let descriptor = part.descriptor.as_ref();
            let text = |text: Option<String>| Cell::from(text.unwrap_or_default());
            vec![
                part.tlv.tag.to_string().into(),
                part.content.name().into(),
                part.tlv.offset.to_string().into(),
                grouped(part.tlv.length.into()).into(),
                grouped(part.image().len() as u64).into(),
                text(descriptor.map(|descriptor| descriptor.version.to_string())),
                text(descriptor.map(|descriptor| descriptor.version_text().to_string())),
                text(descriptor.map(|descriptor| descriptor.build_date_text().to_string())),
            ]
        })
        .collect();
    let mut out = output::table(look, &columns, &rows);
    for part in parts {
        if let Some(Ok(data)) = part.factory_data() {
            out.push('\n');
            for (field, value) in data.fields() {
                let size = grouped(value.len() as u64);
                out += &format!(
                    "{:<16} {:<26} {size:>5} bytes\n",
                    part.content.name(),
                    field.name()
                );
            }
        }
    }
    out
}
