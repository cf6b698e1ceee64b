//! An image declared in a file: `airlift image create --from bundle.toml`.

use std::path::{Path, PathBuf};

use airlift_formats::matter::image::DigestAlgorithm;
use airlift_formats::nxp::tag;
use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::parts::{Custom, DescriptorToml, FactoryFiles, Firmware, Parts, Rule};
use super::{beside, read_text};

/// The file. Paths in it count from its folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bundle {
    pub(super) vendor: Option<u16>,
    pub(super) product: Option<u16>,
    pub(super) version: Option<u32>,
    pub(super) version_string: Option<String>,
    pub(super) min_version: Option<u32>,
    pub(super) max_version: Option<u32>,
    pub(super) release_notes: Option<String>,
    digest: Option<String>,
    /// Whether there is a manifest; there is one if a part has an order or requires others.
    manifest: Option<bool>,
    /// Raw payload, in place of parts.
    #[serde(default)]
    payload: Vec<PathBuf>,
    app: Option<FirmwareToml>,
    bootloader: Option<FirmwareToml>,
    factory_data: Option<FactoryToml>,
    #[serde(default)]
    tlv: Vec<TlvToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirmwareToml {
    file: PathBuf,
    version: Option<u32>,
    version_string: Option<String>,
    build_date: Option<String>,
    order: Option<u16>,
    #[serde(default)]
    requires: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FactoryToml {
    dac_key: Option<PathBuf>,
    dac_cert: Option<PathBuf>,
    pai_cert: Option<PathBuf>,
    cert_declaration: Option<PathBuf>,
    order: Option<u16>,
    #[serde(default)]
    requires: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlvToml {
    tag: u32,
    file: PathBuf,
    descriptor: Option<DescriptorSource>,
    order: Option<u16>,
    #[serde(default)]
    requires: Vec<u32>,
}

/// A file with a descriptor, or the descriptor itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum DescriptorSource {
    File(PathBuf),
    Here(DescriptorToml),
}

impl Bundle {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        toml::from_str(&read_text(path)?)
            .with_context(|| format!("{}: not a bundle", path.display()))
    }

    pub(super) fn digest(&self) -> anyhow::Result<Option<DigestAlgorithm>> {
        let parse = |name: &String| name.parse().with_context(|| format!("digest = {name:?}"));
        self.digest.as_ref().map(parse).transpose()
    }

    /// What is said of the order of the parts, if anything is.
    fn rules(&self) -> anyhow::Result<Option<Vec<Rule>>> {
        let mut said = Vec::new();
        if let Some(app) = &self.app {
            said.push((tag::APPLICATION, app.order, &app.requires));
        }
        if let Some(bootloader) = &self.bootloader {
            said.push((tag::BOOTLOADER, bootloader.order, &bootloader.requires));
        }
        if let Some(data) = &self.factory_data {
            said.push((tag::FACTORY_DATA, data.order, &data.requires));
        }
        for tlv in &self.tlv {
            said.push((tlv.tag, tlv.order, &tlv.requires));
        }
        said.retain(|(_, order, requires)| order.is_some() || !requires.is_empty());
        let rules: Vec<Rule> = said
            .into_iter()
            .map(|(tag, order, requires)| Rule {
                tag,
                order: order.unwrap_or_default(),
                requires: requires.clone(),
            })
            .collect();
        match self.manifest {
            Some(false) if !rules.is_empty() => {
                bail!("manifest = false, and parts with order or requires: these need a manifest")
            }
            Some(true) => Ok(Some(rules)),
            _ => Ok((!rules.is_empty()).then_some(rules)),
        }
    }

    /// The files of the raw payload, and the parts.
    pub(super) fn content(self, path: &Path) -> anyhow::Result<(Vec<PathBuf>, Parts)> {
        let manifest = self.rules()?;
        let at = |file: &PathBuf| beside(path, file);
        let firmware = |firmware: FirmwareToml| Firmware {
            file: beside(path, &firmware.file),
            version: firmware.version,
            version_string: firmware.version_string,
            build_date: firmware.build_date,
        };
        let custom = |tlv: TlvToml| {
            let descriptor = match &tlv.descriptor {
                None => Ok(Vec::new()),
                Some(DescriptorSource::File(file)) => DescriptorToml::read(&beside(path, file)),
                Some(DescriptorSource::Here(descriptor)) => descriptor.bytes(),
            };
            Ok(Custom {
                tag: tlv.tag,
                descriptor: descriptor.with_context(|| format!("descriptor of tag {}", tlv.tag))?,
                file: beside(path, &tlv.file),
            })
        };
        let parts = Parts {
            manifest,
            application: self.app.map(firmware),
            bootloader: self.bootloader.map(firmware),
            factory_data: self.factory_data.map(|files| FactoryFiles {
                dac_key: files.dac_key.as_ref().map(at),
                dac_cert: files.dac_cert.as_ref().map(at),
                pai_cert: files.pai_cert.as_ref().map(at),
                cert_declaration: files.cert_declaration.as_ref().map(at),
            }),
            customs: self
                .tlv
                .into_iter()
                .map(custom)
                .collect::<anyhow::Result<_>>()?,
        };
        let payload: Vec<PathBuf> = self.payload.iter().map(at).collect();
        match (payload.is_empty(), parts.is_empty()) {
            (true, true) => {
                bail!("nothing in it: give payload, or app, bootloader, factory_data and tlv")
            }
            (false, true) if parts.manifest.is_some() => {
                bail!("a manifest is about parts: a raw payload has none")
            }
            (false, false) => {
                bail!("payload cannot stand beside app, bootloader, factory_data and tlv")
            }
            _ => Ok((payload, parts)),
        }
    }
}
