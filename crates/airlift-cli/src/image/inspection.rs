//! What is in an image and what is wrong with it: found once, for every command to show.

use airlift_formats::{
    matter::{
        ChipError,
        image::{
            DigestAlgorithm, FIXED_HEADER_LEN, FixedHeader, Hasher, Header, ImageReader,
            MAX_HEADER_LEN, OtaImageError, Rules, Summary,
        },
    },
    nxp::{
        self, Content, DESCRIPTOR_LEN, Descriptor, FactoryData, FactoryDataError, Manifest,
        ManifestError, ManifestPart, PayloadError, PayloadReader, Tags, Tlv, legacy, tag,
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::output::hex;

/// Parts that are looked at, at most: more than any device has processors for.
const MAX_PARTS: usize = 1024;

/// What the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PayloadKind {
    /// NXP parts if it starts like one or consists of nothing else; raw otherwise
    Auto,
    /// One image, not looked into
    Raw,
    /// Parts by tag, as NXP's and Silicon Labs' multi-image updates have them: checked to the last byte
    Nxp,
}

/// How to look at an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) payload: PayloadKind,
    /// By the reference's rules, and not by Airlift's.
    pub(super) lenient: bool,
    pub(super) key: Option<legacy::Key>,
}

impl Options {
    /// Airlift's rules.
    pub(super) const fn strict(key: Option<legacy::Key>) -> Self {
        Self {
            // Only parts are encrypted.
            payload: match key {
                Some(_) => PayloadKind::Nxp,
                None => PayloadKind::Auto,
            },
            lenient: false,
            key,
        }
    }

    const fn image_rules(self) -> Rules {
        if self.lenient {
            Rules::lenient()
        } else {
            Rules::strict()
        }
    }
}

/// One part of the payload.
pub(super) struct Part<'a> {
    pub(super) tlv: Tlv,
    pub(super) content: Content,
    /// What is there of its value, decrypted if there is a key.
    pub(super) value: std::borrow::Cow<'a, [u8]>,
    /// Its descriptor, if it has one or looks like it.
    pub(super) descriptor: Option<Descriptor>,
    encrypted: bool,
}

impl Part<'_> {
    /// The value behind the descriptor.
    pub(super) fn image(&self) -> &[u8] {
        let start = self.descriptor.map_or(0, |_| DESCRIPTOR_LEN);
        self.value.get(start..).unwrap_or(&[])
    }

    /// The fields, if it is factory data.
    pub(super) fn factory_data(&self) -> Option<Result<FactoryData<'_>, FactoryDataError>> {
        (self.content == Content::FactoryData).then(|| {
            if self.encrypted {
                FactoryData::parse_padded(&self.value)
            } else {
                FactoryData::parse(&self.value)
            }
        })
    }
}

/// Why an image is not good.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Image(OtaImageError),
    Payload(PayloadError),
    FactoryData {
        tlv: Tlv,
        error: FactoryDataError,
    },
    Manifest(ManifestError),
    /// Lenient: nobody knows how to compute the digest.
    DigestNotChecked {
        id: u8,
    },
}

impl Fault {
    fn token(&self) -> &'static str {
        match self {
            Self::Image(error) => OtaImageError::token(error.code()),
            Self::Payload(error) => PayloadError::token(error.code()),
            Self::FactoryData { error, .. } => FactoryDataError::token(error.code()),
            Self::Manifest(error) => ManifestError::token(error.code()),
            Self::DigestNotChecked { .. } => "matter-digest-not-checked",
        }
    }

    fn tag(&self) -> Option<u32> {
        match self {
            Self::Payload(error) => error.tlv().map(|tlv| tlv.tag),
            Self::FactoryData { tlv, .. } => Some(tlv.tag),
            Self::Manifest(error) => error.tag(),
            _ => None,
        }
    }

    fn chip_error(&self) -> Option<ChipError> {
        match self {
            Self::Image(error) => error.chip_error(),
            Self::Payload(error) => error.chip_error(),
            Self::FactoryData { error, .. } => error.chip_error(),
            // Any device without Airlift refuses any of them.
            Self::Manifest(_) => Some(ChipError::OTA_PROCESSOR_NOT_REGISTERED),
            Self::DigestNotChecked { .. } => None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
            Self::Manifest(error) => error.fmt(f),
            Self::FactoryData { tlv, error } => {
                write!(f, "payload offset {}, tag {}: {error}", tlv.offset, tlv.tag)?;
                match error {
                    FactoryDataError::NotAStructure => {
                        f.write_str(" (--nxp-legacy-key reads them, with the right key)")
                    }
                    _ => Ok(()),
                }
            }
            Self::DigestNotChecked { id } => write!(
                f,
                "the digest cannot be checked: of type {id}, or of a length that its type does not have"
            ),
        }
    }
}

impl std::error::Error for Fault {}

/// What there is in a file.
pub(super) struct Inspection<'a> {
    pub(super) file_len: usize,
    pub(super) fixed: Option<FixedHeader>,
    /// Read leniently: what can be shown.
    pub(super) header: Result<Header<'a>, OtaImageError>,
    /// What there is of the payload.
    pub(super) payload: &'a [u8],
    /// The digest that the payload has, if it is known how to compute it.
    pub(super) computed_digest: Option<Vec<u8>>,
    /// None: the payload is raw.
    pub(super) parts: Option<Vec<Part<'a>>>,
    /// The first thing that is wrong.
    pub(super) fault: Option<Fault>,
}

impl<'a> Inspection<'a> {
    pub(super) fn of(bytes: &'a [u8], options: Options) -> Self {
        let verdict = judge(bytes, options);
        let fixed = bytes.first_chunk().map(FixedHeader::parse);
        let header_size = fixed.map_or(0, |fixed| fixed.header_size as usize);
        let behind_fixed = bytes.get(FIXED_HEADER_LEN..).unwrap_or(&[]);
        let (header, payload) = behind_fixed
            .split_at_checked(header_size)
            .unwrap_or((behind_fixed, &[]));
        let header = Header::parse(header, &Rules::lenient());
        let payload_size = header.map_or(0, |header| header.payload_size);
        let payload = usize::try_from(payload_size)
            .ok()
            .and_then(|size| payload.get(..size))
            .unwrap_or(payload);
        let computed_digest = header.ok().and_then(|header| {
            let mut hasher = Hasher::new(header.digest_algorithm()?)?;
            hasher.update(payload);
            Some(hasher.finish().as_bytes().to_vec())
        });
        let mut inspection = Self {
            file_len: bytes.len(),
            fixed,
            header,
            payload,
            computed_digest,
            parts: None,
            fault: match verdict {
                Err(error) => Some(Fault::Image(error)),
                Ok(summary) if !summary.digest_checked => Some(Fault::DigestNotChecked {
                    id: header.map_or(0, |header| header.digest_type),
                }),
                Ok(_) => None,
            },
        };
        let has_parts = match options.payload {
            PayloadKind::Raw => false,
            PayloadKind::Nxp => true,
            PayloadKind::Auto => looks_like_parts(payload),
        };
        if has_parts && inspection.header.is_ok() {
            let parts = walk(payload, payload_size, options.key);
            let fault = check_parts(payload, payload_size, options, &parts);
            inspection.fault = inspection.fault.or(fault);
            inspection.parts = Some(parts);
        }
        inspection
    }

    /// The digest of the header, if it is the payload's.
    pub(super) fn digest_is_right(&self) -> Option<bool> {
        let stored = self.header.ok()?.digest;
        Some(self.computed_digest.as_deref()? == stored)
    }

    /// The manifest, if there is a sound one.
    pub(super) fn manifest(&self) -> Option<Manifest<'_>> {
        let first = self.parts.as_deref()?.first()?;
        (first.content == Content::Manifest)
            .then(|| Manifest::parse(&first.value).ok())
            .flatten()
    }

    /// One JSON document for everything.
    pub(super) fn to_json(&self) -> Value {
        let mut root = match &self.fault {
            None => json!({ "valid": true }),
            Some(fault) => json!({
                "valid": false,
                "error": fault.token(),
                "message": fault.to_string(),
                "tag": fault.tag(),
                "chip_error": fault.chip_error().map(|error| error.name),
            }),
        };
        root["file_len"] = json!(self.file_len);
        root["total_size"] = json!(self.fixed.map(|fixed| fixed.total_size));
        root["header_size"] = json!(self.fixed.map(|fixed| fixed.header_size));
        root["header"] = match &self.header {
            Ok(header) => json!({
                "vendor_id": header.vendor_id,
                "product_id": header.product_id,
                "software_version": header.software_version,
                "software_version_string": header.software_version_string.to_string(),
                "payload_size": header.payload_size,
                "min_applicable_software_version": header.min_applicable_software_version,
                "max_applicable_software_version": header.max_applicable_software_version,
                "release_notes_url": header.release_notes_url.map(|url| url.to_string()),
                "digest_type": header.digest_type,
                "digest_algorithm": header.digest_algorithm().map(DigestAlgorithm::name),
                "digest": hex(header.digest),
            }),
            Err(_) => Value::Null,
        };
        root["digest"] = json!(self.computed_digest.as_ref().map(|computed| json!({
            "computed": hex(computed),
            "valid": self.digest_is_right(),
        })));
        root["remarks"] = self
            .header
            .iter()
            .flat_map(Header::remarks)
            .map(|remark| json!({ "remark": remark.token(), "message": remark.to_string() }))
            .collect();
        root["payload"] =
            json!(
                self.header
                    .ok()
                    .map(|_| if self.parts.is_some() { "nxp" } else { "raw" })
            );
        root["payload_offset"] = json!(
            self.header
                .ok()
                .and(self.fixed)
                .map(|fixed| fixed.payload_offset())
        );
        root["manifest"] = json!(self.manifest().map(|manifest| {
            let parts: Vec<Value> = manifest
                .parts()
                .map(|part| {
                    json!({
                        "tag": part.tag,
                        "length": part.length,
                        "descriptor_len": part.descriptor_len,
                        "order": part.order,
                        "requires": required(&manifest, &part),
                        "sha256": hex(&part.sha256),
                    })
                })
                .collect();
            json!({ "parts": parts, "applied": applied(&manifest) })
        }));
        root["parts"] = json!(
            self.parts
                .as_ref()
                .map(|parts| parts.iter().map(part_json).collect::<Vec<_>>())
        );
        root
    }
}

/// The tags that a part requires.
pub(super) fn required(manifest: &Manifest<'_>, part: &ManifestPart) -> Vec<u32> {
    let parts = manifest.parts().enumerate();
    let needed = parts.filter(|(index, _)| part.requires & Manifest::bit(*index) != 0);
    needed.map(|(_, part)| part.tag).collect()
}

/// The tags in the order in which their parts are applied.
pub(super) fn applied(manifest: &Manifest<'_>) -> Vec<u32> {
    let mut done = 0;
    let mut tags = Vec::new();
    while let Some(next) = manifest.next(done) {
        done |= Manifest::bit(next);
        tags.extend(manifest.get(next).map(|part| part.tag));
    }
    tags
}

fn part_json(part: &Part<'_>) -> Value {
    let mut json = json!({
        "tag": part.tlv.tag,
        "content": part.content.name(),
        "offset": part.tlv.offset,
        "length": part.tlv.length,
        "image_len": part.image().len(),
        "image_sha256": hex(&Sha256::digest(part.image())),
        "descriptor": part.descriptor.map(|descriptor| json!({
            "version": descriptor.version,
            "version_string": descriptor.version_text().to_string(),
            "build_date": descriptor.build_date_text().to_string(),
        })),
    });
    if let Some(Ok(data)) = part.factory_data() {
        let fields = data.fields();
        json["fields"] = fields
            .map(|(field, value)| json!({ "tag": field.tag(), "name": field.name(), "length": value.len() }))
            .collect();
    }
    json
}

/// Runs the reader over the bytes of a file.
fn judge(bytes: &[u8], options: Options) -> Result<Summary, OtaImageError> {
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut reader = ImageReader::new(&mut buffer, options.image_rules());
    let mut input = bytes;
    while reader.read(&mut input)?.is_some() {}
    reader.finish()
}

/// Whether a payload starts like a part with one of the usual tags, or consists of parts and nothing else.
fn looks_like_parts(payload: &[u8]) -> bool {
    let starts_like_one = payload.first_chunk().is_some_and(|header| {
        let tlv = Tlv::parse(header, 0);
        let usual = matches!(tlv.tag, 1..=11 | 100..=1023 | tag::MANIFEST);
        usual && tlv.length as usize <= payload.len()
    });
    let consists_of_parts = || {
        let mut reader =
            PayloadReader::<MAX_PARTS>::new(payload.len() as u64, nxp::Rules::strict());
        let mut input = payload;
        while let Ok(Some(_)) = reader.read(&mut input) {}
        reader.finish().is_ok_and(|summary| summary.parts > 0)
    };
    starts_like_one || consists_of_parts()
}

/// The parts as far as they can be read.
fn walk(payload: &[u8], size: u64, key: Option<legacy::Key>) -> Vec<Part<'_>> {
    let mut reader = PayloadReader::<0>::new(size, nxp::Rules::lenient());
    let mut input = payload;
    let mut parts = Vec::new();
    while let Ok(Some(event)) = reader.read(&mut input) {
        if let nxp::Event::Begin(tlv) = event {
            if parts.len() == MAX_PARTS {
                break;
            }
            let start = tlv.value_offset() as usize;
            let value = payload.get(start..).unwrap_or(&[]);
            let value = value.get(..tlv.length as usize).unwrap_or(value);
            parts.push(Part::new(tlv, value, key.as_ref()));
        }
    }
    parts
}

impl<'a> Part<'a> {
    fn new(tlv: Tlv, value: &'a [u8], key: Option<&legacy::Key>) -> Self {
        let content = Content::of(tlv.tag);
        let mut part = Part {
            tlv,
            content,
            value: value.into(),
            descriptor: None,
            encrypted: false,
        };
        if let (Some(key), Some(clear)) = (key, legacy::clear_len(tlv.tag)) {
            if let Some(hidden) = part.value.to_mut().get_mut(clear..) {
                legacy::Cipher::new(key).apply(hidden);
            }
            part.encrypted = true;
        }
        let descriptor = part.value.first_chunk().map(Descriptor::parse);
        part.descriptor = match content {
            Content::Application | Content::Bootloader => descriptor,
            Content::Extra | Content::Custom => descriptor.filter(Descriptor::is_plausible),
            Content::FactoryData | Content::Manifest | Content::Unassigned => None,
        };
        part
    }
}

/// The first thing that is wrong with the parts.
fn check_parts(payload: &[u8], size: u64, options: Options, parts: &[Part<'_>]) -> Option<Fault> {
    let mut rules = nxp::Rules::strict();
    if options.lenient {
        rules.tags = Tags::Any;
    }
    let mut reader = PayloadReader::<MAX_PARTS>::new(size, rules);
    let mut input = payload;
    let read = loop {
        match reader.read(&mut input) {
            Ok(Some(_)) => {}
            Ok(None) => break reader.finish().map(|_| ()),
            Err(error) => break Err(error),
        }
    };
    let payload_fault = read.err().map(Fault::Payload);
    let factory_data = parts.iter().find_map(|part| {
        let error = part.factory_data()?.err()?;
        Some(Fault::FactoryData {
            tlv: part.tlv,
            error,
        })
    });
    let manifest = || match options.lenient {
        true => None,
        false => check_manifest(parts).err().map(Fault::Manifest),
    };
    // Where the parts do not add up, what is in them says nothing.
    payload_fault.or(factory_data).or_else(manifest)
}

/// Whether the parts are what the manifest in front of them says, if there is one.
fn check_manifest(parts: &[Part<'_>]) -> Result<(), ManifestError> {
    let Some((first, parts)) = parts.split_first() else {
        return Ok(());
    };
    if first.content != Content::Manifest {
        return Ok(());
    }
    let manifest = Manifest::parse(&first.value)?;
    for (index, part) in parts.iter().enumerate() {
        let said = manifest.check_part(index, part.tlv)?;
        let content = part.value.get(usize::from(said.descriptor_len)..);
        let digest = Sha256::digest(content.unwrap_or_default());
        if said.sha256 != <[u8; 32]>::from(digest) {
            return Err(ManifestError::Digest { tag: said.tag });
        }
    }
    manifest.check_end(parts.len())
}
