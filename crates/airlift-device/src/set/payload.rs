//! The payload as it streams by, or as far as the device has it already.

use airlift_formats::matter::image::{
    HeaderParser, MAX_HEADER_LEN, OtaImageError, PayloadVerifier, Rules,
};
use airlift_formats::nxp::{self, Event, Manifest, ManifestPart, PayloadReader, Tags, Tlv};
use sha2::{Digest as _, Sha256};

use super::super::updater::read_part;
use super::super::{NorFlash, dual};
use super::{Copy, MAX_PARTS, Processors};
use crate::Refusal;
use crate::flash::Region;

/// Digest and parts, and the manifest, if there is one.
pub(super) struct Payload<'h> {
    pub(super) verifier: PayloadVerifier,
    // The manifest is a part, too.
    reader: PayloadReader<{ MAX_PARTS + 1 }>,
    /// Parts that have begun, the manifest not counted.
    pub(super) begun: usize,
    /// What held the header before.
    buffer: &'h mut [u8; MAX_HEADER_LEN],
    kept: usize,
    /// Bytes of the manifest.
    manifest: usize,
}

#[dual(AFIT)]
impl<'h> Payload<'h> {
    pub(super) fn new(parser: HeaderParser<'h>) -> Result<Self, OtaImageError> {
        let header = parser.header()?;
        let rules = nxp::Rules {
            tags: Tags::Any,
            ..nxp::Rules::strict()
        };
        Ok(Self {
            verifier: PayloadVerifier::new(&header, parser.position(), &Rules::strict()),
            reader: PayloadReader::new(header.payload_size, rules),
            begun: 0,
            buffer: parser.into_buffer(),
            kept: 0,
            manifest: 0,
        })
    }

    /// Reads the next event off the front of `bytes`, of `most` of them. `None`: there are no more.
    pub(super) fn read<'i>(
        &mut self,
        bytes: &mut &'i [u8],
        most: usize,
    ) -> Result<Option<Event<'i>>, Refusal> {
        let is_over = self.verifier.remaining() == 0;
        let most = if is_over { 0 } else { most };
        let (whole, behind) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
        let mut rest = whole;
        let event = self.reader.read(&mut rest)?;
        let taken = whole.len() - rest.len();
        self.verifier
            .update(&mut whole.get(..taken).unwrap_or_default())?;
        if event.is_none() && is_over {
            // Something follows, or nothing.
            self.verifier.update(bytes)?;
        } else if event.is_none() {
            *bytes = behind;
        } else {
            *bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(event)
    }

    /// A part begins; what the manifest says of it.
    pub(super) fn begin(&mut self, tlv: Tlv) -> Result<Option<ManifestPart>, Refusal> {
        let index = self.begun;
        self.begun += 1;
        match self.manifest() {
            Some(manifest) => Ok(Some(manifest.check_part(index, tlv)?)),
            None => Ok(None),
        }
    }

    /// Keeps bytes of the manifest. The reader has seen to it that there is room.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        for (to, from) in self.buffer.iter_mut().skip(self.kept).zip(bytes) {
            *to = *from;
        }
        self.kept += bytes.len();
    }

    pub(super) fn end_manifest(&mut self) -> Result<(), Refusal> {
        Manifest::parse(self.buffer.get(..self.kept).unwrap_or_default())?;
        self.manifest = self.kept;
        Ok(())
    }

    pub(super) fn manifest(&self) -> Option<Manifest<'_>> {
        let bytes = self.buffer.get(..self.manifest).unwrap_or_default();
        (!bytes.is_empty()).then(|| Manifest::view(bytes))
    }

    /// Whether it ended where it should, with the digest that it should have. The manifest.
    pub(super) fn finish(&self) -> Result<Option<Manifest<'_>>, Refusal> {
        self.verifier.clone().finish()?;
        self.reader.clone().finish()?;
        let manifest = self.manifest();
        if let Some(manifest) = &manifest {
            manifest.check_end(self.begun)?;
        }
        Ok(manifest)
    }

    /// The next `length` bytes are known.
    pub(super) fn pass(&mut self, passed: PayloadVerifier, length: u32) {
        self.reader.skip(length);
        self.verifier = passed;
    }
}

/// Reads the next bytes of the payload where the flash has them, and takes them into the image's digest: their own. `None`: they cannot be read.
#[dual(AFIT)]
pub(super) async fn look<F: NorFlash>(
    flash: &mut F,
    region: Region,
    buffer: &mut [u8],
    image: &mut PayloadVerifier,
) -> Option<Sha256> {
    let mut digest = Sha256::new();
    let mut at = 0;
    while at < region.len {
        let mut bytes = read_part(flash, region, at, buffer).await.ok()?;
        at += bytes.len() as u32;
        digest.update(bytes);
        image.update(&mut bytes).ok()?;
    }
    Some(digest)
}

/// As [`look`], but it is a processor that has them.
#[dual(AFIT)]
pub(super) async fn ask<P: Processors>(
    processors: &mut P,
    (tag, copy, length): (u32, Copy, u32),
    buffer: &mut [u8],
    mut image: Option<&mut PayloadVerifier>,
) -> Option<Sha256> {
    let mut digest = Sha256::new();
    let mut at = 0;
    while at < length {
        let want = buffer.len().min((length - at) as usize);
        let bytes = buffer.get_mut(..want).unwrap_or_default();
        let there = processors.read(tag, copy, at, bytes).await;
        if there != Ok(true) {
            return None;
        }
        at += want as u32;
        digest.update(&*bytes);
        if let Some(image) = &mut image {
            image.update(&mut &*bytes).ok()?;
        }
    }
    Some(digest)
}

/// Whether what was read has this digest.
pub(super) fn is(read: Option<Sha256>, sha256: &[u8; 32]) -> bool {
    read.is_some_and(|read| <[u8; 32]>::from(read.finalize()) == *sha256)
}
