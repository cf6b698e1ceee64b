//! `airlift image extract`: the payload or its parts, as files.

use std::{fs, path::PathBuf};

use airlift_formats::{
    matter::image::Header,
    nxp::{Content, Descriptor, FactoryField},
};
use anyhow::{Context as _, bail};

use super::inspection::{Inspection, Options, Part, required};
use super::{LegacyKey, read};
use crate::file::{self, Readers};
use crate::output::{self, Look, grouped};

/// Write the payload, or its parts, to files
///
/// Nothing is written unless the image is good. Each part with a descriptor gets a TOML file with it; factory data come apart into
/// their fields. `airlift image create --from DIR/bundle.toml` makes an image of the same parts: the same bytes, if the official
/// tools had made it.
#[derive(clap::Args)]
pub(crate) struct Extract {
    /// The image
    file: PathBuf,
    /// Folder for the files; is made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Only the part with this tag
    #[arg(long, value_name = "N", value_parser = super::parse_number)]
    tag: Option<u32>,
    #[command(flatten)]
    key: LegacyKey,
}

impl Extract {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let key = self.key.take();
        let inspection = Inspection::of(&bytes, Options::strict(key));
        let shown = || self.file.display().to_string();
        if let Some(fault) = inspection.fault {
            return Err(anyhow::Error::new(fault).context(shown()));
        }
        let header = inspection.header.with_context(shown)?;
        let files = match (&inspection.parts, self.tag) {
            (None, None) => vec![Output::new("payload.bin", inspection.payload)],
            (None, Some(tag)) => {
                bail!(
                    "{}: the payload is raw: there is no part with tag {tag}",
                    shown()
                )
            }
            (Some(parts), Some(tag)) => {
                let part = parts.iter().find(|part| part.tlv.tag == tag);
                let part = part.with_context(|| format!("{}: no part with tag {tag}", shown()))?;
                files_of(part)
            }
            // The manifest is made anew from the bundle.
            (Some(parts), None) => parts
                .iter()
                .filter(|part| part.content != Content::Manifest)
                .flat_map(files_of)
                .collect(),
        };
        let mut files = files;
        // What is decrypted has padding that the original had not, and a bundle does not say that it was encrypted.
        if self.tag.is_none() && key.is_none() {
            let bundle = bundle(&header, &inspection);
            files.push(Output::new("bundle.toml", bundle.as_bytes()));
        }
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot make the folder {}", self.output.display()))?;
        let look = Look::stdout();
        let mut text = String::new();
        for file in &files {
            let path = self.output.join(&file.name);
            file::replace_with(&path, &[&file.bytes], file.readers)
                .with_context(|| path.display().to_string())?;
            let size = grouped(file.bytes.len() as u64);
            text += &format!("{}  {size} bytes\n", look.name(&path.display().to_string()));
        }
        if key.is_some() {
            text += "note: up to 15 bytes 0xff at the end of each decrypted image are padding: nothing says how many\n";
        }
        output::print(&text);
        Ok(())
    }
}

/// A file to write.
struct Output {
    name: String,
    bytes: Vec<u8>,
    readers: Readers,
}

impl Output {
    fn new(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.to_vec(),
            readers: Readers::All,
        }
    }
}

/// What the files of a part are called.
fn stem(part: &Part<'_>) -> String {
    match part.content {
        Content::Application => "application".to_owned(),
        Content::Bootloader => "bootloader".to_owned(),
        Content::FactoryData => "factory-data".to_owned(),
        Content::Manifest => "manifest".to_owned(),
        Content::Extra | Content::Custom | Content::Unassigned => format!("tag-{}", part.tlv.tag),
    }
}

/// What the file of a field is called.
const fn field_file(field: FactoryField) -> &'static str {
    match field {
        FactoryField::DacPrivateKey => "dac-key.bin",
        FactoryField::DacCertificate => "dac-cert.der",
        FactoryField::PaiCertificate => "pai-cert.der",
        FactoryField::CertificationDeclaration => "cd.der",
    }
}

fn files_of(part: &Part<'_>) -> Vec<Output> {
    let stem = stem(part);
    if let Some(Ok(data)) = part.factory_data() {
        let field = |(field, value): (FactoryField, &[u8])| Output {
            readers: match field {
                FactoryField::DacPrivateKey => Readers::Owner,
                _ => Readers::All,
            },
            ..Output::new(field_file(field), value)
        };
        return data.fields().map(field).collect();
    }
    let mut files = vec![Output::new(format!("{stem}.bin"), part.image())];
    if let Some(descriptor) = &part.descriptor {
        let text = descriptor_toml(descriptor);
        files.push(Output::new(format!("{stem}.toml"), text.as_bytes()));
    }
    files
}

fn descriptor_toml(descriptor: &Descriptor) -> String {
    format!(
        "version = {}\nversion_string = {}\nbuild_date = {}\n",
        descriptor.version,
        quoted(&descriptor.version_text().to_string()),
        quoted(&descriptor.build_date_text().to_string()),
    )
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                quoted += &format!("\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// The declaration that makes the image again.
fn bundle(header: &Header<'_>, inspection: &Inspection<'_>) -> String {
    // The strict rules let UTF-8 pass only.
    let version_string = header.software_version_string.as_str().unwrap_or_default();
    let mut text = format!(
        "# airlift image create --from bundle.toml -o OUT.ota\n\
         vendor = 0x{:04X}\nproduct = 0x{:04X}\nversion = {}\nversion_string = {}\n",
        header.vendor_id,
        header.product_id,
        header.software_version,
        quoted(version_string)
    );
    if let Some(min) = header.min_applicable_software_version {
        text += &format!("min_version = {min}\n");
    }
    if let Some(max) = header.max_applicable_software_version {
        text += &format!("max_version = {max}\n");
    }
    if let Some(url) = header.release_notes_url.and_then(|url| url.as_str()) {
        text += &format!("release_notes = {}\n", quoted(url));
    }
    if let Some(algorithm) = header.digest_algorithm() {
        text += &format!("digest = \"{}\"\n", algorithm.name());
    }
    let Some(parts) = &inspection.parts else {
        return text + "payload = [\"payload.bin\"]\n";
    };
    let manifest = inspection.manifest();
    if manifest.is_some() {
        text += "manifest = true\n";
    }
    for part in parts {
        text += &part_toml(part);
        let said = manifest.and_then(|manifest| {
            let said = manifest.parts().find(|said| said.tag == part.tlv.tag)?;
            Some((said.order, required(&manifest, &said)))
        });
        if let Some((order, requires)) = said {
            if order > 0 {
                text += &format!("order = {order}\n");
            }
            if !requires.is_empty() {
                text += &format!("requires = {requires:?}\n");
            }
        }
    }
    text
}

fn part_toml(part: &Part<'_>) -> String {
    let file = format!("{}.bin", stem(part));
    match part.content {
        Content::FactoryData => {
            let mut text = "\n[factory_data]\n".to_owned();
            if let Some(Ok(data)) = part.factory_data() {
                for (field, _) in data.fields() {
                    let key = match field {
                        FactoryField::DacPrivateKey => "dac_key",
                        FactoryField::DacCertificate => "dac_cert",
                        FactoryField::PaiCertificate => "pai_cert",
                        FactoryField::CertificationDeclaration => "cert_declaration",
                    };
                    text += &format!("{key} = \"{}\"\n", field_file(field));
                }
            }
            text
        }
        Content::Application | Content::Bootloader => {
            let table = match part.content {
                Content::Application => "app",
                _ => "bootloader",
            };
            let descriptor = part.descriptor.as_ref().map(descriptor_toml);
            format!(
                "\n[{table}]\nfile = \"{file}\"\n{}",
                descriptor.unwrap_or_default()
            )
        }
        // It is made anew.
        Content::Manifest => String::new(),
        Content::Extra | Content::Custom | Content::Unassigned => {
            let descriptor = match part.descriptor {
                Some(_) => format!("descriptor = \"{}.toml\"\n", stem(part)),
                None => String::new(),
            };
            format!(
                "\n[[tlv]]\ntag = {}\nfile = \"{file}\"\n{descriptor}",
                part.tlv.tag
            )
        }
    }
}
