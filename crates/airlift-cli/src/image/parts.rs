//! What goes into a payload, wherever it was declared.

use std::path::{Path, PathBuf};

use airlift_formats::nxp::{Descriptor, FactoryData, PartRule, PayloadBuilder, legacy};
use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::{dac_key, read, read_text};

/// What NXP's tool writes into a descriptor that nobody has given.
pub(super) const DEFAULT_VERSION: u32 = 50000;
/// The same for the version string.
pub(super) const DEFAULT_VERSION_STRING: &str = "50000-default";
/// The same for the build date.
pub(super) const DEFAULT_BUILD_DATE: &str = "2023-01-01";

/// An application or boot loader.
pub(super) struct Firmware {
    pub(super) file: PathBuf,
    pub(super) version: Option<u32>,
    pub(super) version_string: Option<String>,
    pub(super) build_date: Option<String>,
}

impl Firmware {
    /// Whether something of the descriptor is not given.
    pub(super) const fn has_defaults(&self) -> bool {
        self.version.is_none() || self.version_string.is_none() || self.build_date.is_none()
    }

    fn descriptor(&self) -> anyhow::Result<Descriptor> {
        let text = |given: &Option<String>, default: &str| given.clone().unwrap_or(default.into());
        let version_string = text(&self.version_string, DEFAULT_VERSION_STRING);
        let build_date = text(&self.build_date, DEFAULT_BUILD_DATE);
        let ascii = version_string.is_ascii() && build_date.is_ascii();
        ensure!(ascii, "the texts of a descriptor are ASCII");
        let version = self.version.unwrap_or(DEFAULT_VERSION);
        Ok(Descriptor::new(version, &version_string, &build_date)?)
    }
}

/// The files with the fields of factory data.
#[derive(Default)]
pub(super) struct FactoryFiles {
    pub(super) dac_key: Option<PathBuf>,
    pub(super) dac_cert: Option<PathBuf>,
    pub(super) pai_cert: Option<PathBuf>,
    pub(super) cert_declaration: Option<PathBuf>,
}

/// A custom part: its descriptor as bytes, none of them if it has none.
pub(super) struct Custom {
    pub(super) tag: u32,
    pub(super) descriptor: Vec<u8>,
    pub(super) file: PathBuf,
}

/// When a part is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) tag: u32,
    pub(super) order: u16,
    pub(super) requires: Vec<u32>,
}

/// All parts of a payload.
#[derive(Default)]
pub(super) struct Parts {
    /// The rules in its manifest; none: it has no manifest.
    pub(super) manifest: Option<Vec<Rule>>,
    pub(super) application: Option<Firmware>,
    pub(super) bootloader: Option<Firmware>,
    pub(super) factory_data: Option<FactoryFiles>,
    pub(super) customs: Vec<Custom>,
}

impl Parts {
    pub(super) const fn is_empty(&self) -> bool {
        self.application.is_none()
            && self.bootloader.is_none()
            && self.factory_data.is_none()
            && self.customs.is_empty()
    }

    /// Reads the files and makes the payload.
    pub(super) fn build(&self, key: Option<legacy::Key>) -> anyhow::Result<Vec<u8>> {
        let mut builder = PayloadBuilder::default();
        for custom in &self.customs {
            let content = read(&custom.file)?;
            builder
                .custom(custom.tag, &custom.descriptor, &content)
                .with_context(|| custom.file.display().to_string())?;
        }
        if let Some(files) = &self.factory_data {
            files.add_to(&mut builder)?;
        }
        if let Some(bootloader) = &self.bootloader {
            let descriptor = bootloader.descriptor().context("the boot loader")?;
            builder
                .bootloader(&descriptor, &read(&bootloader.file)?)
                .with_context(|| bootloader.file.display().to_string())?;
        }
        if let Some(application) = &self.application {
            let descriptor = application.descriptor().context("the application")?;
            builder
                .application(&descriptor, &read(&application.file)?)
                .with_context(|| application.file.display().to_string())?;
        }
        if let Some(key) = key {
            builder.encrypt(key);
        }
        let Some(rules) = &self.manifest else {
            return Ok(builder.build());
        };
        let rules: Vec<PartRule<'_>> = rules
            .iter()
            .map(|rule| PartRule {
                tag: rule.tag,
                order: rule.order,
                requires: &rule.requires,
            })
            .collect();
        builder
            .build_with_manifest(&rules)
            .context("the manifest cannot be made")
    }
}

impl FactoryFiles {
    fn add_to(&self, builder: &mut PayloadBuilder) -> anyhow::Result<()> {
        let content = |file: &Option<PathBuf>| file.as_deref().map(read).transpose();
        let dac_private_key = match &self.dac_key {
            Some(file) => {
                let key = dac_key::read(&read(file)?);
                Some(key.with_context(|| file.display().to_string())?)
            }
            None => None,
        };
        let dac_certificate = content(&self.dac_cert)?;
        let pai_certificate = content(&self.pai_cert)?;
        let certification_declaration = content(&self.cert_declaration)?;
        builder
            .factory_data(&FactoryData {
                dac_private_key: dac_private_key.as_deref(),
                dac_certificate: dac_certificate.as_deref(),
                pai_certificate: pai_certificate.as_deref(),
                certification_declaration: certification_declaration.as_deref(),
            })
            .context("the factory data")?;
        Ok(())
    }
}

/// A field of a free-form descriptor, in TOML and in the JSON of NXP's tool.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DescriptorField {
    /// For people only.
    #[serde(default)]
    name: String,
    /// Bytes of the field.
    length: usize,
    value: FieldValue,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum FieldValue {
    /// Little endian.
    Number(u64),
    /// ASCII, padded with zeros.
    Text(String),
}

/// Far above what a descriptor has.
const MAX_FIELD_LEN: usize = 1 << 16;

/// The bytes of a free-form descriptor.
pub(super) fn descriptor_bytes(fields: &[DescriptorField]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for DescriptorField {
        name,
        length,
        value,
    } in fields
    {
        let mut value = match value {
            FieldValue::Text(text) => {
                ensure!(text.is_ascii(), "field {name:?}: the text is not ASCII");
                text.clone().into_bytes()
            }
            FieldValue::Number(number) => {
                let digits = number.to_le_bytes();
                let used = digits
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1);
                digits.iter().take(used).copied().collect()
            }
        };
        ensure!(
            value.len() <= *length,
            "field {name:?}: the value has {} bytes, the field {length}",
            value.len()
        );
        ensure!(
            *length <= MAX_FIELD_LEN,
            "field {name:?}: {length} bytes are more than the {MAX_FIELD_LEN} that are allowed"
        );
        value.resize(*length, 0);
        bytes.extend(value);
    }
    Ok(bytes)
}

/// A descriptor as declared in TOML: the usual one, or fields of any kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DescriptorToml {
    version: Option<u32>,
    version_string: Option<String>,
    build_date: Option<String>,
    #[serde(default)]
    field: Vec<DescriptorField>,
}

impl DescriptorToml {
    /// Reads a file with one.
    pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
        let text = read_text(path)?;
        let descriptor: Self = toml::from_str(&text)
            .with_context(|| format!("{}: not a descriptor", path.display()))?;
        descriptor
            .bytes()
            .with_context(|| path.display().to_string())
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        let usual = (
            self.version,
            self.version_string.as_deref(),
            self.build_date.as_deref(),
        );
        match usual {
            (None, None, None) if self.field.is_empty() => {
                bail!(
                    "an empty descriptor: give version, version_string and build_date, or [[field]] tables"
                )
            }
            (None, None, None) => descriptor_bytes(&self.field),
            _ if !self.field.is_empty() => {
                bail!("version, version_string and build_date cannot stand beside [[field]] tables")
            }
            (Some(version), Some(version_string), build_date) => {
                let build_date = build_date.unwrap_or_default();
                let ascii = version_string.is_ascii() && build_date.is_ascii();
                ensure!(ascii, "the texts of a descriptor are ASCII");
                Ok(Descriptor::new(version, version_string, build_date)?
                    .emit()
                    .to_vec())
            }
            _ => bail!("version and version_string are both needed"),
        }
    }
}
