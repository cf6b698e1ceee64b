//! Matter OTA images: the header, sizes and digest by the strict rules, and the parts if the payload has any.

use airlift_formats::matter::image::{
    FIXED_HEADER_LEN, Header, HeaderParser, MAX_HEADER_LEN, OtaImageError, PayloadVerifier, Rules,
};
use airlift_formats::nxp::{self, Content, Event, FactoryData, PayloadReader, TLV_HEADER_LEN, Tlv};

use super::BadImage;
use crate::catalog::release;

/// The partition that Matter OTA images are released for. It is reserved: nothing else is published for it.
pub(crate) const PARTITION: &str = "matter-ota";

/// First bytes of a Matter OTA image.
pub(super) const MAGIC: [u8; 4] = airlift_formats::matter::image::FILE_IDENTIFIER.to_le_bytes();

/// Parts that a payload may have: more than any device has processors for.
const MAX_PARTS: usize = 1024;

/// What an image says of itself, and what is odd about it and harms nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatterImage {
    pub(crate) says: release::MatterHeader,
    pub(crate) remarks: Vec<String>,
}

/// Takes an image from its first byte on.
#[derive(Default)]
pub(super) struct Matter {
    /// What may be header.
    head: Vec<u8>,
    body: Option<Body>,
}

impl Matter {
    pub(super) fn update(&mut self, bytes: &[u8]) -> Result<(), BadImage> {
        if let Some(body) = &mut self.body {
            return body.update(bytes);
        }
        let room = (FIXED_HEADER_LEN + MAX_HEADER_LEN).saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(head);
        // `ImageReader` borrows its buffer, so it cannot be kept here; its two halves can be used one after the other.
        let mut buffer = [0; MAX_HEADER_LEN];
        let mut parser = HeaderParser::new(&mut buffer, Rules::strict());
        let mut input = self.head.as_slice();
        if !parser.push(&mut input).map_err(bad_image)? {
            return Ok(());
        }
        let mut body = Body::new(&parser.header().map_err(bad_image)?, parser.position());
        body.update(input)?;
        body.update(rest)?;
        self.head = Vec::new();
        self.body = Some(body);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<MatterImage, BadImage> {
        if let Some(body) = self.body {
            return body.finish();
        }
        // The parser looks at the magic number when all 16 bytes are there. A short file of another kind is not a cut one.
        if let Some(start) = self.head.first_chunk().filter(|start| **start != MAGIC) {
            let found = u32::from_le_bytes(*start);
            return Err(bad_image(OtaImageError::FileIdentifier { found }));
        }
        let found = self.head.len() as u64;
        let needed = self
            .head
            .first_chunk()
            .map(airlift_formats::matter::image::FixedHeader::parse)
            .map_or(FIXED_HEADER_LEN as u64, |fixed| fixed.payload_offset());
        Err(bad_image(OtaImageError::Truncated {
            needed,
            found,
            in_header: true,
        }))
    }
}

/// The image from the first byte of its payload on.
struct Body {
    about: MatterImage,
    payload: PayloadVerifier,
    parts: Parts,
}

impl Body {
    fn new(header: &Header<'_>, offset: u64) -> Self {
        let version = header.software_version_string.as_str().unwrap_or_default();
        Self {
            about: MatterImage {
                says: release::MatterHeader {
                    vendor_id: header.vendor_id,
                    product_id: header.product_id,
                    software_version: header.software_version,
                    software_version_string: version.to_owned(),
                    min_applicable_software_version: header.min_applicable_software_version,
                    max_applicable_software_version: header.max_applicable_software_version,
                    parts: None,
                },
                remarks: header.remarks().map(|remark| remark.to_string()).collect(),
            },
            payload: PayloadVerifier::new(header, offset, &Rules::strict()),
            parts: Parts::new(header.payload_size),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) -> Result<(), BadImage> {
        loop {
            match self.payload.update(&mut bytes).map_err(bad_image)? {
                [] => return Ok(()),
                payload => self.parts.update(payload),
            }
        }
    }

    fn finish(self) -> Result<MatterImage, BadImage> {
        // The digest first: in a damaged payload, what the parts say is no more than a consequence.
        self.payload.finish().map_err(bad_image)?;
        let mut about = self.about;
        about.says.parts = self.parts.finish()?;
        Ok(about)
    }
}

/// Reads every payload as parts; whether it is meant to be parts is known at its end.
struct Parts {
    size: u64,
    /// Header of what would be the first part.
    first: Vec<u8>,
    reader: PayloadReader<MAX_PARTS>,
    /// The factory data, as far as they have come: as a part, no longer than the reader allows.
    factory_data: Vec<u8>,
    bad_factory_data: Option<String>,
}

impl Parts {
    fn new(size: u64) -> Self {
        Self {
            size,
            first: Vec::new(),
            reader: PayloadReader::new(size, nxp::Rules::strict()),
            factory_data: Vec::new(),
            bad_factory_data: None,
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        let missing = TLV_HEADER_LEN.saturating_sub(self.first.len());
        self.first
            .extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        // The reader keeps its error.
        while let Ok(Some(event)) = self.reader.read(&mut bytes) {
            match event {
                Event::Value { tlv, bytes } if is_factory_data(tlv) => {
                    self.factory_data.extend_from_slice(bytes);
                }
                Event::End(tlv) if is_factory_data(tlv) => {
                    let error = FactoryData::parse(&self.factory_data).err();
                    self.bad_factory_data = error
                        .map(|e| format!("payload offset {}, tag {}: {e}", tlv.offset, tlv.tag));
                }
                _ => {}
            }
        }
    }

    /// Number of parts; none if the payload is something else.
    fn finish(self) -> Result<Option<u32>, BadImage> {
        // As `airlift image verify` decides.
        let starts_like_one = self.first.first_chunk().is_some_and(|header| {
            let tlv = Tlv::parse(header, 0);
            matches!(tlv.tag, 1..=11 | 100..=1023) && u64::from(tlv.length) <= self.size
        });
        match self.reader.finish() {
            Err(error) if starts_like_one => Err(inside(&error)),
            Ok(summary) if summary.parts > 0 => match self.bad_factory_data {
                Some(error) => Err(inside(&error)),
                None => Ok(Some(summary.parts)),
            },
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

fn is_factory_data(tlv: Tlv) -> bool {
    Content::of(tlv.tag) == Content::FactoryData
}

fn bad_image(error: OtaImageError) -> BadImage {
    match error {
        // Says itself what is not what.
        OtaImageError::FileIdentifier { .. } => BadImage(error.to_string()),
        _ => inside(&error),
    }
}

fn inside(error: &dyn std::fmt::Display) -> BadImage {
    BadImage(format!("in the Matter OTA image: {error}"))
}
