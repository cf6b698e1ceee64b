//! `airlift image create`: images byte for byte as the official tools make them.

use std::path::{Path, PathBuf};

use airlift_formats::matter::image::{DigestAlgorithm, ImageBuilder};
use anyhow::{Context as _, bail, ensure};

use super::bundle::Bundle;
use super::inspection::{Inspection, Options, PayloadKind};
use super::parts::{
    Custom, DEFAULT_BUILD_DATE, DEFAULT_VERSION, DEFAULT_VERSION_STRING, DescriptorToml,
    FactoryFiles, Firmware, Parts, Rule,
};
use super::{LegacyKey, parse_id, parse_number, read, show, tlv_json};
use crate::file::{self, Readers};
use crate::output::{self, Look, grouped};

/// Make an image from a payload, or from several images and files
///
/// With --app, --bootloader, --factory-data, --tlv or --tlv-json the payload has parts by tag, as the multi-image updates of
/// NXP and Silicon Labs have them. The bytes are those of the official tools.
#[derive(clap::Args)]
#[command(
    override_usage = "airlift image create -o OUT.ota --vendor ID --product ID --version N --version-string TEXT [OPTIONS] PAYLOAD...\n       \
                      airlift image create -o OUT.ota --vendor ID --product ID --version N --version-string TEXT [OPTIONS] [PARTS]\n       \
                      airlift image create -o OUT.ota --from BUNDLE.toml [OPTIONS]"
)]
#[command(group = clap::ArgGroup::new("content").required(true).multiple(true))]
pub(crate) struct Create {
    /// Files that are the payload, one behind the other
    #[arg(group = "content", conflicts_with_all = ["app", "bootloader", "factory_data", "tlv", "tlv_json"])]
    payload: Vec<PathBuf>,
    /// The image to write
    #[arg(short, long, value_name = "OUT.ota")]
    output: PathBuf,
    /// Vendor of the devices; 0: of any vendor
    #[arg(long, alias = "vendor-id", value_name = "ID", value_parser = parse_id, required_unless_present = "from")]
    vendor: Option<u16>,
    /// Product; 0: any product of the vendor
    #[arg(long, alias = "product-id", value_name = "ID", value_parser = parse_id, required_unless_present = "from")]
    product: Option<u16>,
    /// Version, which devices compare
    #[arg(long = "version", value_name = "N", value_parser = parse_number, required_unless_present = "from")]
    release_version: Option<u32>,
    /// Version for people: 1 to 64 bytes
    #[arg(
        long,
        alias = "version-str",
        value_name = "TEXT",
        required_unless_present = "from"
    )]
    version_string: Option<String>,
    /// Least version that can be updated [default: any]
    #[arg(long, value_name = "N", value_parser = parse_number)]
    min_version: Option<u32>,
    /// Highest version that can be updated [default: any]
    #[arg(long, value_name = "N", value_parser = parse_number)]
    max_version: Option<u32>,
    /// Where release notes are, at most 256 bytes
    #[arg(long, value_name = "URL")]
    release_notes: Option<String>,
    /// Digest of the payload: sha256, sha384, sha512, sha3-224, sha3-256, sha3-384, sha3-512 [default: sha256]
    #[arg(long, alias = "digest-algorithm", value_name = "NAME")]
    digest: Option<DigestAlgorithm>,
    /// The application
    #[arg(long, value_name = "FILE", group = "content", help_heading = "Parts")]
    app: Option<PathBuf>,
    /// Version in its descriptor [default: 50000, as NXP's tool]
    #[arg(long, value_name = "N", value_parser = parse_number, requires = "app", conflicts_with_all = ["payload", "from"], help_heading = "Parts")]
    app_version: Option<u32>,
    /// Version for people in its descriptor [default: 50000-default]
    #[arg(
        long,
        alias = "app-version-str",
        value_name = "TEXT",
        requires = "app", conflicts_with_all = ["payload", "from"],
        help_heading = "Parts"
    )]
    app_version_string: Option<String>,
    /// Build date in its descriptor [default: 2023-01-01]
    #[arg(long, value_name = "TEXT", requires = "app", conflicts_with_all = ["payload", "from"], help_heading = "Parts")]
    app_build_date: Option<String>,
    /// The second-stage boot loader (SSBL)
    #[arg(long, value_name = "FILE", group = "content", help_heading = "Parts")]
    bootloader: Option<PathBuf>,
    /// Version in its descriptor [default: 50000, as NXP's tool]
    #[arg(long, alias = "bl-version", value_name = "N", value_parser = parse_number, requires = "bootloader", conflicts_with_all = ["payload", "from"], help_heading = "Parts")]
    bootloader_version: Option<u32>,
    /// Version for people in its descriptor [default: 50000-default]
    #[arg(
        long,
        alias = "bl-version-str",
        value_name = "TEXT",
        requires = "bootloader", conflicts_with_all = ["payload", "from"],
        help_heading = "Parts"
    )]
    bootloader_version_string: Option<String>,
    /// Build date in its descriptor [default: 2023-01-01]
    #[arg(
        long,
        alias = "bl-build-date",
        value_name = "TEXT",
        requires = "bootloader", conflicts_with_all = ["payload", "from"],
        help_heading = "Parts"
    )]
    bootloader_build_date: Option<String>,
    /// Factory data: private key, DAC, PAI and certification declaration; leave out what stays as it is: key.bin,,,cd.der
    #[arg(long, value_name = "KEY,DAC,PAI,CD", group = "content", value_parser = parse_factory, help_heading = "Parts")]
    factory_data: Option<FactoryArg>,
    /// A custom part: its tag (100 and above, or 4 to 11), its file, a TOML file with its descriptor; any number of times
    #[arg(long, value_name = "TAG:FILE[:DESCRIPTOR.toml]", group = "content", value_parser = parse_tlv, help_heading = "Parts")]
    tlv: Vec<TlvArg>,
    /// Custom parts as NXP's tool has them in JSON; paths in it count from the working directory
    #[arg(long, value_name = "FILE", group = "content", help_heading = "Parts")]
    tlv_json: Vec<PathBuf>,
    /// Put a manifest in front: digests and order of the parts, so that a device need not fetch what it holds. NXP's code refuses such an image
    #[arg(long, conflicts_with_all = ["payload", "from"], help_heading = "Parts")]
    manifest: bool,
    /// The parts that have to be applied before one (implies --manifest); any number of times
    #[arg(long, value_name = "TAG:TAG[,TAG...]", value_parser = parse_requires, conflicts_with_all = ["payload", "from"], help_heading = "Parts")]
    requires: Vec<Rule>,
    /// When a part is applied, lower numbers first [default: 0] (implies --manifest); any number of times
    #[arg(long, value_name = "TAG:N", value_parser = parse_order, conflicts_with_all = ["payload", "from"], help_heading = "Parts")]
    order: Vec<Rule>,
    /// Everything declared in a file; options for the header go before what it says
    #[arg(
        long,
        value_name = "BUNDLE.toml",
        group = "content",
        conflicts_with_all = ["payload", "app", "bootloader", "factory_data", "tlv", "tlv_json"]
    )]
    from: Option<PathBuf>,
    #[command(flatten)]
    key: LegacyKey,
    /// Print JSON: what `airlift image show --json` prints
    #[arg(long)]
    json: bool,
}

/// Files by field; an empty name is a field that stays as it is.
#[derive(Debug, Clone)]
struct FactoryArg([Option<PathBuf>; 4]);

fn parse_factory(text: &str) -> Result<FactoryArg, String> {
    let files: Vec<Option<PathBuf>> = text
        .split(',')
        .map(|name| (!name.is_empty()).then(|| name.into()))
        .collect();
    let some = files.iter().any(Option::is_some);
    match files.try_into() {
        Ok(files) if some => Ok(FactoryArg(files)),
        _ => Err("give four names, some of them empty: key.bin,dac.der,pai.der,cd.der".to_owned()),
    }
}

#[derive(Debug, Clone)]
struct TlvArg {
    tag: u32,
    file: PathBuf,
    descriptor: Option<PathBuf>,
}

fn parse_tlv(text: &str) -> Result<TlvArg, String> {
    let wrong = || "give a tag, a file and perhaps a descriptor: 100:custom.bin:descriptor.toml";
    let (tag, rest) = text.split_once(':').ok_or_else(wrong)?;
    let tag = parse_number(tag)?;
    // A file name may have colons in it.
    let (file, descriptor) = match rest.rsplit_once(':') {
        Some((file, descriptor)) if has_toml_extension(descriptor) => (file, Some(descriptor)),
        _ => (rest, None),
    };
    if file.is_empty() {
        return Err(wrong().to_owned());
    }
    Ok(TlvArg {
        tag,
        file: file.into(),
        descriptor: descriptor.map(Into::into),
    })
}

fn parse_requires(text: &str) -> Result<Rule, String> {
    let wrong = || "give a tag, and those that it requires: 100:101,2".to_owned();
    let (tag, others) = text.split_once(':').ok_or_else(wrong)?;
    let requires = others.split(',').map(parse_number);
    Ok(Rule {
        tag: parse_number(tag)?,
        order: 0,
        requires: requires.collect::<Result<_, _>>()?,
    })
}

fn parse_order(text: &str) -> Result<Rule, String> {
    let wrong = || "give a tag, and a number up to 65535: 100:1".to_owned();
    let (tag, order) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Rule {
        tag: parse_number(tag)?,
        order: u16::try_from(parse_number(order)?).map_err(|_| wrong())?,
        requires: Vec::new(),
    })
}

fn has_toml_extension(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

impl Create {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let (builder, payload_files, parts) = match &self.from {
            Some(path) => self
                .bundled(path)
                .with_context(|| path.display().to_string())?,
            None => (
                self.header(None)?,
                self.payload.clone(),
                self.declared_parts()?,
            ),
        };
        let key = self.key.take();
        ensure!(
            key.is_none() || !parts.is_empty(),
            "only parts are encrypted, a raw payload is not: leave --nxp-legacy-key out"
        );
        let mut payload = Vec::new();
        let kind = if parts.is_empty() {
            for file in &payload_files {
                payload.extend(read(file)?);
            }
            PayloadKind::Raw
        } else {
            payload = parts.build(key)?;
            PayloadKind::Nxp
        };
        let image = builder.build(&payload)?;
        let inspection = Inspection::of(
            &image,
            Options {
                payload: kind,
                lenient: false,
                key,
            },
        );
        if let Some(fault) = inspection.fault {
            return Err(
                anyhow::Error::new(fault).context("what was made is not good, and not written")
            );
        }
        file::replace_with(&self.output, &[&image], Readers::All)
            .with_context(|| self.output.display().to_string())?;
        if self.json {
            output::print(&format!("{:#}\n", inspection.to_json()));
        } else {
            output::print(&self.summary(&inspection, &parts));
        }
        Ok(())
    }

    fn bundled(&self, path: &Path) -> anyhow::Result<(ImageBuilder, Vec<PathBuf>, Parts)> {
        let bundle = Bundle::read(path)?;
        let builder = self.header(Some(&bundle))?;
        let (payload, parts) = bundle.content(path)?;
        Ok((builder, payload, parts))
    }

    /// The header: from the options, and where they are silent from the bundle.
    fn header(&self, bundle: Option<&Bundle>) -> anyhow::Result<ImageBuilder> {
        let vendor = self.vendor.or(bundle.and_then(|bundle| bundle.vendor));
        let product = self.product.or(bundle.and_then(|bundle| bundle.product));
        let version = self
            .release_version
            .or(bundle.and_then(|bundle| bundle.version));
        let declared = bundle.and_then(|bundle| bundle.version_string.as_deref());
        let version_string = self.version_string.as_deref().or(declared);
        let (Some(vendor), Some(product), Some(version), Some(version_string)) =
            (vendor, product, version, version_string)
        else {
            bail!("vendor, product, version and version_string are needed, there or as options");
        };
        let mut builder = ImageBuilder::new(vendor, product, version, version_string);
        if let Some(min) = self
            .min_version
            .or(bundle.and_then(|bundle| bundle.min_version))
        {
            builder = builder.min_version(min);
        }
        if let Some(max) = self
            .max_version
            .or(bundle.and_then(|bundle| bundle.max_version))
        {
            builder = builder.max_version(max);
        }
        let declared = bundle.and_then(|bundle| bundle.release_notes.as_deref());
        if let Some(url) = self.release_notes.as_deref().or(declared) {
            builder = builder.release_notes_url(url);
        }
        let declared = match bundle {
            Some(bundle) => bundle.digest()?,
            None => None,
        };
        if let Some(digest) = self.digest.or(declared) {
            builder = builder.digest(digest);
        }
        Ok(builder)
    }

    fn declared_parts(&self) -> anyhow::Result<Parts> {
        let mut customs = Vec::new();
        for file in &self.tlv_json {
            customs.extend(tlv_json::read(file)?);
        }
        for TlvArg {
            tag,
            file,
            descriptor,
        } in &self.tlv
        {
            let descriptor = match descriptor {
                Some(path) => DescriptorToml::read(path)?,
                None => Vec::new(),
            };
            customs.push(Custom {
                tag: *tag,
                descriptor,
                file: file.clone(),
            });
        }
        let app = self.app.clone().map(|file| Firmware {
            file,
            version: self.app_version,
            version_string: self.app_version_string.clone(),
            build_date: self.app_build_date.clone(),
        });
        let bootloader = self.bootloader.clone().map(|file| Firmware {
            file,
            version: self.bootloader_version,
            version_string: self.bootloader_version_string.clone(),
            build_date: self.bootloader_build_date.clone(),
        });
        let factory_data = self.factory_data.clone().map(|FactoryArg(files)| {
            let [dac_key, dac_cert, pai_cert, cert_declaration] = files;
            FactoryFiles {
                dac_key,
                dac_cert,
                pai_cert,
                cert_declaration,
            }
        });
        Ok(Parts {
            manifest: self.rules(),
            application: app,
            bootloader,
            factory_data,
            customs,
        })
    }

    /// One rule for each tag that has been given an order, or requires others.
    fn rules(&self) -> Option<Vec<Rule>> {
        let mut rules: Vec<Rule> = Vec::new();
        for said in self.requires.iter().chain(&self.order) {
            match rules.iter_mut().find(|rule| rule.tag == said.tag) {
                Some(rule) => {
                    rule.order = rule.order.max(said.order);
                    rule.requires.extend(&said.requires);
                }
                None => rules.push(said.clone()),
            }
        }
        (self.manifest || !rules.is_empty()).then_some(rules)
    }

    fn summary(&self, inspection: &Inspection<'_>, parts: &Parts) -> String {
        let look = Look::stdout();
        let mut text = format!(
            "{} {}, {} bytes\n",
            look.good("Made"),
            self.output.display(),
            grouped(inspection.file_len as u64)
        );
        let mut line = |name: &str, value: String| text += &format!("  {name:<8} {value}\n");
        if let Ok(header) = &inspection.header {
            line(
                "for",
                format!(
                    "vendor {:#06x}, product {:#06x}, {}",
                    header.vendor_id,
                    header.product_id,
                    show::applicable(header)
                ),
            );
            line(
                "version",
                format!(
                    "{} ({})",
                    header.software_version, header.software_version_string
                ),
            );
            let digest = header
                .digest_algorithm()
                .map_or("digest", |algorithm| algorithm.name());
            line(digest, output::hex(header.digest));
            for part in inspection.parts.iter().flatten() {
                line(
                    "part",
                    format!(
                        "{} {}, {} bytes",
                        part.tlv.tag,
                        part.content.name(),
                        grouped(part.tlv.length.into())
                    ),
                );
            }
            for remark in header.remarks() {
                line("note", remark.to_string());
            }
        }
        for (name, firmware) in [
            ("application", &parts.application),
            ("boot loader", &parts.bootloader),
        ] {
            if firmware.as_ref().is_some_and(Firmware::has_defaults) {
                line(
                    "note",
                    format!(
                        "the descriptor of the {name} has defaults of NXP's tool in it: \
                         {DEFAULT_VERSION}, {DEFAULT_VERSION_STRING}, {DEFAULT_BUILD_DATE}"
                    ),
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_parts_are_read_from_the_command_line() {
        let tlv = parse_tlv("100:custom.bin:descriptor.toml").unwrap();
        assert_eq!((tlv.tag, tlv.file), (100, "custom.bin".into()));
        assert_eq!(tlv.descriptor, Some("descriptor.toml".into()));
        let tlv = parse_tlv("0x65:a:b.bin").unwrap();
        assert_eq!((tlv.tag, tlv.file), (101, "a:b.bin".into()));
        assert_eq!(tlv.descriptor, None);
        for text in ["", "100", "100:", ":a", "x:a", "100::d.toml"] {
            assert!(parse_tlv(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_are_read_from_the_command_line() {
        let rule = parse_requires("0x64:101,2").unwrap();
        assert_eq!((rule.tag, rule.requires), (100, vec![101, 2]));
        let rule = parse_order("100:65535").unwrap();
        assert_eq!((rule.tag, rule.order), (100, 65535));
        for text in ["", "100", "100:", ":1", "100:1,", "a:b"] {
            assert!(parse_requires(text).is_err(), "{text}");
        }
        for text in ["", "100", "100:", ":1", "100:65536", "100:1,2"] {
            assert!(parse_order(text).is_err(), "{text}");
        }
    }

    #[test]
    fn factory_data_have_four_places() {
        let FactoryArg(files) = parse_factory("k,,,c").unwrap();
        assert_eq!(files, [Some("k".into()), None, None, Some("c".into())]);
        for text in ["", "k", ",,,", "a,b,c,d,e"] {
            assert!(parse_factory(text).is_err(), "{text}");
        }
    }
}
